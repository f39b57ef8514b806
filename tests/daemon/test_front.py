"""The TLS server of a listener: whom it lets in, and what its host is told."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor

from tests.loopback import until
from tests.support import Pki, happened
from txnodetls import connect
from txnodetls.daemon.front import FrontServer
from txnodetls.daemon.records import Record


class Host:
    """Lets all in, and notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.records: list[Record] = []
        self.refuses: BaseException | None = None

    def arrived(self, server: FrontServer, carrier: Any) -> None:
        self.told.append("arrived")
        if self.refuses is not None:
            raise self.refuses
        record = Record("web", None, None, 0.0)
        self.records.append(record)
        server.enter(carrier, record)

    def secured(self, server: FrontServer, record: Record) -> None:
        self.told.append("secured")

    def failed(self, record: Record, error: BaseException) -> None:
        self.told.append("failed")

    def ended(self, record: Record) -> None:
        self.told.append("ended")


def serving(pki: Pki, **more: Any) -> tuple[Host, FrontServer]:
    host = Host()
    options = {"key": pki.server.key, "cert": pki.server.cert, **more}
    server = FrontServer(host, "what it serves", options, reactor)
    server.listen({"port": 0, "host": "127.0.0.1"})
    return host, server


def dial(server: FrontServer, pki: Pki, **more: Any) -> Any:
    address: Any = server.address()
    options = {"port": address["port"], "host": "127.0.0.1", "ca": pki.ca}
    return connect({**options, "servername": "localhost", **more}, reactor=reactor)


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@ensureDeferred
async def test_a_connection_is_told_of_from_its_first_moment_to_its_last(
    version: str, pki: Pki
) -> None:
    host, server = serving(pki)
    await happened(server, "listening")
    client = dial(server, pki, maxVersion=version)
    await happened(client, "secureConnect")
    await until(lambda: host.told == ["arrived", "secured"])
    assert host.records[0].socket.getProtocol() == version
    client.destroy()
    await until(lambda: host.told == ["arrived", "secured", "ended"])
    assert not server._records
    server.close()


@ensureDeferred
async def test_a_handshake_that_fails_is_told_with_the_name_that_was_asked_for(pki: Pki) -> None:
    # Who chooses by name is asked about each ClientHello.
    host, server = serving(pki, SNICallback=lambda name, callback: callback(None, None))
    await happened(server, "listening")
    client = dial(server, pki, minVersion="TLSv1.3", ciphers="TLS_AES_128_GCM_SHA256", ca=[])
    await happened(client, "error", fails=False)
    await until(lambda: "ended" in host.told)
    assert host.told == ["arrived", "failed", "ended"]
    assert host.records[0].agreed == {"name": "localhost"}
    server.close()


@ensureDeferred
async def test_a_host_that_fails_costs_that_connection_only(pki: Pki, loggedErrors: Any) -> None:
    host, server = serving(pki)
    await happened(server, "listening")
    host.refuses = ZeroDivisionError()
    client = dial(server, pki)
    await happened(client, "error", fails=False)
    assert [type(error) for error in loggedErrors.flush()] == [ZeroDivisionError]
    host.refuses = None
    client = dial(server, pki)
    await happened(client, "secureConnect")
    client.destroy()
    await until(lambda: host.told[-1] == "ended")
    server.close()
