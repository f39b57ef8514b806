"""The shared areas have one memory and two faces."""

from __future__ import annotations

import socket

from OpenSSL import _util

from txnodetls.openssl.areas import INPUT, OUTPUT, Area


def test_both_faces_show_the_same_memory() -> None:
    area = Area(16)
    area.view[:3] = b"abc"
    assert bytes(_util.ffi.buffer(area.pointer, 3)) == b"abc"
    area.pointer[1] = b"x"
    assert bytes(area.view[:4]) == b"axc\0"
    assert area.size == len(area.view) == 16


def test_a_socket_reads_into_and_sends_from_an_area() -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(b"hello")
        assert near.recv_into(INPUT.view) == 5
        OUTPUT.view[:5] = INPUT.view[:5]
        near.send(OUTPUT.view[:5])
        assert far.recv(10) == b"hello"
