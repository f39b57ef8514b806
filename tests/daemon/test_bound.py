"""Ports: bound once, told apart, handed on."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from txnodetls.daemon.bound import Bound, bind, placeOf
from txnodetls.errors import NodeError


def test_places_are_told_apart() -> None:
    here = {"host": "127.0.0.1", "port": 5}
    assert placeOf("a", here) == placeOf("b", here)
    free = {"host": "127.0.0.1", "port": 0}
    assert placeOf("a", free) != placeOf("b", free)
    assert placeOf("a", {"path": "x"}) == placeOf("b", {"path": "x"})


def test_a_port_in_use_is_an_error_of_nodes() -> None:
    first = bind({"host": "127.0.0.1", "port": 0})
    assert first.address is not None
    with pytest.raises(NodeError, match="listen EADDRINUSE") as caught:
        bind({"host": "127.0.0.1", "port": first.address[1]})
    assert caught.value.code == "EADDRINUSE"
    first.close()


def test_a_duplicate_outlives_nothing_but_itself() -> None:
    port = bind({"host": "127.0.0.1", "port": 0})
    os.close(port.duplicate())
    assert port.address is not None
    with socket.create_connection(port.address, 5):
        pass
    port.close()


def test_a_descriptor_of_others_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = bind({"descriptor": other.fileno()})
        assert port.address == other.getsockname()
        port.close()
        assert other.fileno() != -1


def test_a_unix_socket_goes_with_its_port(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    port = bind({"path": str(path), "writableAll": True})
    assert path.stat().st_mode & 0o777 & 0o222 == 0o222
    assert str(port) == str(path)
    port.close()
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced_and_one_in_use_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)
    stale.close()
    port: Bound = bind({"path": path})
    with pytest.raises(NodeError, match="EADDRINUSE"):
        bind({"path": path})
    port.close()
