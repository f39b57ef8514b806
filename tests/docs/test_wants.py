"""Each want of `docs/twisted.md`'s table is fulfilled by the endpoint string that stands there."""

from __future__ import annotations

import http.client
import os
import re
import ssl
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
import trustme
from twisted.internet import error, protocol, reactor
from twisted.internet.endpoints import clientFromString, serverFromString

from tests.daemon.running import Twistd
from tests.docs.running import DOCS
from tests.support import eventually, unusedPort
from tests.twisted_face.pairs import Making, Recorder
from txnodetls.twisted.endpoints import ClientEndpoint

PAGE = (DOCS / "twisted.md").read_text()
TABLE = re.findall(r"^\| (.*?) \| (.*) \|$", PAGE.partition("| wanted | how |")[2], re.MULTILINE)
ROWS = dict(TABLE[: next(i for i, row in enumerate(TABLE) if row[0].startswith("little")) + 1])
STRINGS = {want: re.findall(r"`(nodetls:.*?)`", how) for want, how in ROWS.items()}


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the strings name, in the working directory."""
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost", "127.0.0.1", "::1")
    leaf.private_key_pem.write_to_path(tmp_path / "server.key")
    for pem in leaf.cert_chain_pems:
        pem.write_to_path(tmp_path / "server.pem", append=True)
    authority.cert_pem.write_to_path(tmp_path / "client.pem")
    (tmp_path / "ticket.keys").write_bytes(os.urandom(48))
    (tmp_path / "psk").write_text("me:00112233445566778899aabbccddeeff\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def strings(begin: str, count: int) -> list[str]:
    """The strings of the row that begins so."""
    (found,) = (strings for want, strings in STRINGS.items() if want.startswith(begin))
    assert len(found) == count
    return found


class Ends:
    """Connections between endpoint strings, on a port of their own."""

    def __init__(self, server: str) -> None:
        self.factory = Making()
        self.text = server.replace("8443", "0") + ":interface=127.0.0.1"
        self.port: Any = None

    async def __aenter__(self) -> Ends:
        self.port = await serverFromString(reactor, self.text).listen(self.factory)
        return self

    async def __aexit__(self, *_: object) -> None:
        await eventually(lambda: all(each.reason for each in self.factory.made))
        await self.port.stopListening()

    async def connect(self, client: str) -> Any:
        number = str(self.port.getHost().port)
        endpoint = clientFromString(reactor, client.replace("8443", number) + ":family=4")
        return await endpoint.connect(Making())

    async def talk(self, client: Any) -> Any:
        """The server's protocol, once it has heard a word of the client's, which then leaves."""
        client.transport.write(b"word")
        await eventually(lambda: self.factory.made and self.factory.made[-1].received == b"word")
        client.transport.loseConnection()
        await eventually(lambda: client.reason)
        return self.factory.made[-1]


PLAIN = "nodetls:localhost:8443:ca=client.pem"


def test_every_want_has_a_string_or_leads_to_the_lines() -> None:
    assert len(ROWS) == 14
    titles = re.findall(r"^### (.*)$", PAGE, re.MULTILINE)
    anchors = {title.lower().replace(" ", "-") for title in titles}
    for how in ROWS.values():
        links = re.findall(r"\(#([\w-]+)\)", how)
        assert set(links) <= anchors
        assert links or "nodetls:" in how


@pytest_twisted.ensureDeferred
async def test_certificates_of_clients() -> None:
    server, client = strings("certificates of clients", 2)
    async with Ends(server) as ends:
        made = await ends.talk(await ends.connect(client))
        assert made.transport.tlsSocket.authorized
        # And who has none does not come in.
        stranger = await ends.connect(PLAIN)
        await eventually(lambda: stranger.reason)
        assert stranger.lost.__cause__.code == "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED"
        assert len(ends.factory.made) == 1


@pytest_twisted.ensureDeferred
async def test_versions_and_ciphers() -> None:
    (server,) = strings("versions and ciphers", 1)
    async with Ends(server) as ends:
        made = await ends.talk(await ends.connect(PLAIN))
        assert made.transport.tlsSocket.authorizationError is None
        for version, cipher in (("TLSv1.2", "ECDHE-ECDSA-AES"), ("TLSv1.3", "TLS_AES_128_GCM_SHA")):
            client = await ends.connect(f"{PLAIN}:maxVersion={version}")
            assert client.transport.tlsSocket.getCipher()["name"].startswith(cipher)
            await ends.talk(client)
        with pytest.raises(Exception, match="handshake failure") as refused:
            await ends.connect(f"{PLAIN}:ciphers=TLS_AES_256_GCM_SHA384")
        assert refused.value.alert == 40  # type: ignore[attr-defined]


@pytest_twisted.ensureDeferred
async def test_a_time_limit_for_handshakes() -> None:
    server, client = strings("a time limit", 2)
    refused: list[str] = []
    async with Ends(server.replace("5000", "50")) as ends:
        ends.port.tlsServer.on("tlsClientError", lambda error, socket: refused.append(error.code))
        idle = await ClientEndpointOfTCP(ends.port).connect(Making())
        await eventually(lambda: idle.reason)
        assert refused == ["ERR_TLS_HANDSHAKE_TIMEOUT"]
        await ends.talk(await ends.connect(client))
    silent: Any = protocol.Factory.forProtocol(protocol.Protocol)
    silent.noisy = False
    port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(silent)
    text = client.replace("8443", str(port.getHost().port)).replace("=5", "=0.05")
    with pytest.raises(error.TimeoutError):
        await clientFromString(reactor, f"{text}:family=4").connect(Making())
    await port.stopListening()


def ClientEndpointOfTCP(port: Any) -> Any:
    return clientFromString(reactor, f"tcp:127.0.0.1:{port.getHost().port}")


@pytest_twisted.ensureDeferred
async def test_resumption_at_another_server() -> None:
    (server,) = strings("resumption", 1)
    trust = {"ca": Path("client.pem").read_bytes(), "family": 4}
    sessions: list[bytes] = []
    async with Ends(server) as one, Ends(server) as other:
        for ends, reused in ((one, False), (other, True), (one, True)):
            number = ends.port.getHost().port
            options = {**trust, "session": sessions[0] if sessions else None}
            client: Any = await ClientEndpoint(reactor, "localhost", number, options).connect(
                Making(Recorder)
            )
            client.transport.tlsSocket.on("session", sessions.append)
            assert client.transport.tlsSocket.isSessionReused() is reused
            await eventually(lambda: sessions)
            await ends.talk(client)


def test_several_processes_on_one_port(directory: Path) -> None:
    (server,) = strings("several processes", 1)
    port = unusedPort()
    listen = server.replace("8443", str(port)) + ":interface=127.0.0.1"
    for name in ("one", "two"):
        (directory / name).mkdir()
        (directory / name / "index.html").write_text(name)
    trusting = ssl.create_default_context(cafile="client.pem")
    web = ("web", "--listen", listen, "--path")
    with Twistd(*web, "one", cwd=directory) as one, Twistd(*web, "two", cwd=directory) as two:
        one.waitFor("starting on")
        two.waitFor("starting on")
        answers = set()
        # The kernel chooses by the client's port: soon both have been asked.
        for _ in range(200):
            client = http.client.HTTPSConnection("localhost", port, timeout=30, context=trusting)
            client.request("GET", "/")
            answers.add(client.getresponse().read())
            client.close()
            if len(answers) == 2:
                break
        assert answers == {b"one", b"two"}


@pytest_twisted.ensureDeferred
async def test_pre_shared_keys() -> None:
    (server,) = strings("pre-shared keys", 1)
    psk = {"identity": "me", "psk": bytes.fromhex("00112233445566778899aabbccddeeff")}
    options = {
        "ciphers": "PSK+AESGCM",
        "maxVersion": "TLSv1.2",
        "family": 4,
        "pskCallback": lambda hint: psk,
        "checkServerIdentity": lambda host, certificate: None,
    }
    async with Ends(server) as ends:
        number = ends.port.getHost().port
        client: Any = await ClientEndpoint(reactor, "localhost", number, options).connect(Making())
        assert client.transport.tlsSocket.authorized
        made = await ends.talk(client)
        assert made.reason is not None
