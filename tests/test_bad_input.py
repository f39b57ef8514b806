"""
Bad input, whatever it is, is one clear error with Node's code; what was opened is closed; and who
serves goes on serving.

Options are tried through each face: Python, endpoint string, daemon.  (How the daemon says it on
its command line: daemon/test_service.py.)
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from twisted.internet import defer, protocol, reactor, task
from twisted.internet.endpoints import TCP4ServerEndpoint, clientFromString, serverFromString
from twisted.internet.threads import deferToThread

import txnodetls as tls
from tests.cutting import Cutter
from tests.interop.peers import NodePeer, payload
from tests.loopback import Census, Loopback, Received, echo, until
from tests.support import Pki, happened, makePki, nodeBinary, runTool
from txnodetls.daemon.config import SwitchError, readConfig
from txnodetls.errors import Blame, Phase
from txnodetls.options.reading import UnknownOptionWarning

both = pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])


@pytest_twisted.async_yield_fixture
async def loopback(pki: Pki) -> Any:
    async with Loopback(pki) as opened:
        yield opened


# -- options

MISMATCH = "ERR_OSSL_X509_KEY_VALUES_MISMATCH"
DECRYPT = "ERR_OSSL_BAD_DECRYPT"
NO_START = "ERR_OSSL_PEM_NO_START_LINE"
UNSUPPORTED = "ERR_OSSL_UNSUPPORTED"

# What is wrong: the options (a name in FILES, or a text), Node's code, and the option to blame.
WRONG: dict[str, tuple[dict[str, str], str | None, str]] = {
    "key of another certificate": ({"key": "other.key", "cert": "cert.pem"}, MISMATCH, "key"),
    "wrong passphrase": (
        {"key": "locked.key", "cert": "cert.pem", "passphrase": "simsim"},
        DECRYPT,
        "passphrase",
    ),
    "no passphrase": ({"key": "locked.key", "cert": "cert.pem"}, DECRYPT, "key"),
    "garbage for a key": ({"key": "garbage", "cert": "cert.pem"}, UNSUPPORTED, "key"),
    "half a key": ({"key": "half.key", "cert": "cert.pem"}, UNSUPPORTED, "key"),
    "a certificate for a key": ({"key": "cert.pem", "cert": "cert.pem"}, UNSUPPORTED, "key"),
    "garbage for a certificate": ({"key": "key.pem", "cert": "garbage"}, NO_START, "cert"),
    "half a certificate": (
        {"key": "key.pem", "cert": "half.pem"},
        "ERR_OSSL_PEM_BAD_END_LINE",
        "cert",
    ),
    "a key for a certificate": ({"key": "key.pem", "cert": "key.pem"}, NO_START, "cert"),
    "an empty certificate": ({"key": "key.pem", "cert": "blank"}, NO_START, "cert"),
    "garbage for a CRL": ({"crl": "garbage"}, "ERR_CRYPTO_OPERATION_FAILED", "crl"),
    "wrong passphrase of a PFX": (
        {"pfx": "locked.pfx", "passphrase": "simsim"},
        None,
        "pfx",
    ),
    "no cipher": ({"ciphers": "NONSENSE"}, "ERR_SSL_NO_CIPHER_MATCH", "ciphers"),
    "no curve": ({"ecdhCurve": "square"}, "ERR_CRYPTO_OPERATION_FAILED", "ecdhCurve"),
    "no version": ({"minVersion": "TLSv9"}, "ERR_TLS_INVALID_PROTOCOL_VERSION", "minVersion"),
    "no method": ({"secureProtocol": "X"}, "ERR_TLS_INVALID_PROTOCOL_METHOD", "secureProtocol"),
}
wrong = pytest.mark.parametrize(("given", "code", "blamed"), WRONG.values(), ids=WRONG.keys())


@pytest.fixture(scope="module")
def files(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("input")
    key: Any = serialization.load_pem_private_key(pki.server.key, None)
    cert = x509.load_pem_x509_certificate(pki.server.cert)
    lock = serialization.BestAvailableEncryption(b"sesame")
    contents = {
        "key.pem": pki.server.key,
        "cert.pem": pki.server.cert,
        "ca.pem": pki.ca,
        "other.key": makePki().server.key,
        "locked.key": key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock
        ),
        "locked.pfx": pkcs12.serialize_key_and_certificates(b"x", key, cert, None, lock),
        "half.key": pki.server.key[: len(pki.server.key) // 2],
        "half.pem": pki.server.cert[:300],
        "garbage": bytes(range(256)),
        "blank": b" \n",
    }
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    return directory


def asOptions(given: dict[str, str], files: Path) -> dict[str, Any]:
    """As Python's calls take them: contents."""
    return {
        name: (files / text).read_bytes() if (files / text).exists() else text
        for name, text in given.items()
    }


def asTexts(given: dict[str, str], files: Path) -> dict[str, str]:
    """As strings and switches take them: names of files."""
    return {
        name: str(files / text) if (files / text).exists() else text for name, text in given.items()
    }


FACES: dict[str, Callable[..., Any]] = {
    "createSecureContext": tls.createSecureContext,
    "createServer": tls.createServer,
    "connect": lambda options: tls.connect(1, "127.0.0.1", options),
}


@wrong
@pytest.mark.parametrize("face", FACES)
def test_in_python_a_wrong_option_is_nodes_error_before_anything_is_opened(
    face: str, given: dict[str, str], code: str | None, blamed: str, files: Path
) -> None:
    census = Census()
    with pytest.raises(tls.NodeError) as caught:
        FACES[face](asOptions(given, files))
    assert caught.value.code == code
    assert caught.value.blame is Blame.CONFIGURATION
    assert caught.value.phase is Phase.CONFIGURING
    assert str(caught.value)
    assert census.more() == {}


@wrong
@pytest.mark.parametrize(
    ("parse", "prefix"),
    [(serverFromString, "nodetls:0:"), (clientFromString, "nodetls:localhost:1:")],
)
def test_in_an_endpoint_string_it_is_a_ValueError_that_names_the_option(
    parse: Any, prefix: str, given: dict[str, str], code: str | None, blamed: str, files: Path
) -> None:
    texts = asTexts(given, files)
    string = prefix + ":".join(f"{name}={text}" for name, text in texts.items())
    with pytest.raises(ValueError, match=f"^option {blamed}: ") as caught:
        parse(reactor, string)
    assert getattr(caught.value, "code", None) == (code or "ERR_INVALID_ARG_VALUE")


@wrong
def test_at_the_daemon_it_is_a_line_that_names_the_switch(
    given: dict[str, str], code: str | None, blamed: str, files: Path
) -> None:
    with pytest.raises(SwitchError, match=f"^--{blamed}: .") as caught:
        readConfig(asTexts(given, files))
    assert "\n" not in str(caught.value)


@wrong
def test_a_server_that_is_given_them_later_keeps_what_it_has(
    given: dict[str, str], code: str | None, blamed: str, files: Path, pki: Pki
) -> None:
    server: Any = tls.createServer(key=pki.server.key, cert=pki.server.cert)
    context = server._context
    with pytest.raises(tls.NodeError) as caught:
        server.setSecureContext(asOptions(given, files))
    assert caught.value.code == code
    with pytest.raises(tls.NodeError) as caught:
        server.addContext("localhost", asOptions(given, files))
    assert caught.value.code == code
    assert server._context is context
    assert server.removeContext("localhost") is False


def test_the_codes_are_nodes(files: Path) -> None:
    script = """
        const given = JSON.parse(process.argv[1], (key, value) =>
          value && typeof value.$hex === 'string' ? Buffer.from(value.$hex, 'hex') : value);
        const codes = given.map((options) => {
          try { require('tls').createSecureContext(options); return 'none'; }
          catch (error) { return error.code || null; }
        });
        console.log(JSON.stringify(codes));
    """
    options = [asOptions(given, files) for given, _, _ in WRONG.values()]
    told = json.dumps(options, default=lambda data: {"$hex": data.hex()})
    done = runTool([nodeBinary(), "-e", script, told])
    codes = dict(zip(WRONG, json.loads(done.stdout), strict=True))
    assert codes == {name: code for name, (_, code, _) in WRONG.items()}


@pytest.mark.parametrize("option", ["key", "cert", "ca", "crl", "pfx", "dhparam"])
def test_a_file_that_is_missing_is_named(option: str, tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    for parse, prefix in (
        (serverFromString, "nodetls:0:"),
        (clientFromString, "nodetls:localhost:1:"),
    ):
        with pytest.raises(ValueError, match=f"^option {option}: cannot read {absent}: No such"):
            parse(reactor, f"{prefix}{option}={absent}")
    with pytest.raises(SwitchError, match=f"^--{option}: cannot read {absent}: No such file"):
        readConfig({option: str(absent)})


def test_authorities_in_whose_place_is_garbage_are_warned_about() -> None:
    """Node says nothing and trusts nobody; so do we, but we say so."""
    with pytest.warns(UserWarning, match=r"options\.ca holds no certificate: nobody is trusted"):
        tls.createSecureContext(ca=b"garbage")


@pytest.mark.parametrize("face", FACES)
def test_an_unknown_option_is_warned_about_with_the_nearest_known(face: str) -> None:
    wanted = {"createSecureContext": "ciphers", "createServer": "requestCert"}
    known = wanted.get(face, "servername")
    given = {known[:-1]: "x", "rejectUnauthorized": False}
    with pytest.warns(UnknownOptionWarning, match=f"'{known[:-1]}'; did you mean '{known}'"):
        made = FACES[face](given)
    if face == "connect":
        made.on("error", lambda error: None)
        made.destroy()


# -- listening and connecting


@pytest_twisted.ensureDeferred
async def test_a_port_in_use_is_an_error_event_and_the_server_can_listen_later(
    loopback: Loopback, pki: Pki
) -> None:
    first = await loopback.serve()
    where = first.address()
    census = Census()
    second: Any = tls.createServer({"key": pki.server.key, "cert": pki.server.cert}, echo)
    failing = happened(second, "error")
    second.listen(where["port"], "127.0.0.1")
    (error,) = await failing
    assert (error.code, error.syscall, error.errno) == ("EADDRINUSE", "listen", -98)
    assert (error.address, error.port) == ("127.0.0.1", where["port"])
    assert str(error) == f"listen EADDRINUSE: address already in use 127.0.0.1:{where['port']}"
    assert error.blame is Blame.CONFIGURATION
    assert second.listening is False
    await census.restored()
    await loopback.proveServing(first)
    closed = happened(first, "close")
    first.close()
    await closed
    listening = happened(second, "listening")
    second.listen(where["port"], "127.0.0.1")
    await listening
    await loopback.proveServing(second)
    second.close()


@pytest.mark.parametrize(
    ("where", "code"),
    [
        (("192.0.2.1",), "EADDRNOTAVAIL"),
        (("/nonexistent/socket",), "EACCES"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_where_one_cannot_listen_is_an_error_event(
    where: tuple[str, ...], code: str, pki: Pki
) -> None:
    census = Census()
    server: Any = tls.createServer(key=pki.server.key, cert=pki.server.cert)
    failing = happened(server, "error")
    if where[0].startswith("/"):
        server.listen(where[0])
    else:
        server.listen(0, where[0])
    (error,) = await failing
    assert (error.code, error.syscall) == (code, "listen")
    await census.restored()


@pytest.mark.parametrize("port", [-1, 65536, "x", 1.5])
def test_what_is_no_port_is_refused_at_once(port: Any, pki: Pki) -> None:
    server = tls.createServer(key=pki.server.key, cert=pki.server.cert)
    with pytest.raises(tls.NodeError) as caught:
        server.listen({"port": port})
    assert caught.value.code == "ERR_SOCKET_BAD_PORT"
    with pytest.raises(tls.NodeError) as caught:
        tls.connect({"port": port})
    assert caught.value.code == "ERR_SOCKET_BAD_PORT"


@pytest_twisted.ensureDeferred
async def test_where_nobody_listens_is_an_error_event(loopback: Loopback) -> None:
    server = await loopback.serve()
    port = server.address()["port"]
    server.close()
    census = Census()
    client = loopback.dial(port)
    client.write(b"never to be sent")
    received = Received(client)
    await received
    assert (received.errors, received.closed) == (["ECONNREFUSED"], True)
    error = received.error
    assert (error.syscall, error.address, error.port) == ("connect", "127.0.0.1", port)
    loopback.sockets.clear()
    del client, received, error
    await census.restored()


# -- what is not TLS on the TLS port


def hello() -> bytes:
    """The ClientHello of a client that supports everything."""
    return _Memory().step(b"")


class _Memory:
    """Python's TLS client on memory."""

    def __init__(self, version: str = "TLSv1.3") -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion[version.replace(".", "_")]
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_hostname="localhost")
        self.secure = False

    def step(self, data: bytes) -> bytes:
        """What it says to what it is told; while it has not said all it has to, nothing."""
        self._in.write(data)
        if not self.secure:
            try:
                self.tls.do_handshake()
                self.secure = True
            except ssl.SSLWantReadError:
                pass
        return self._out.read()


HELLO = hello()
UNEXPECTED = "ERR_SSL_UNEXPECTED_MESSAGE"
VERSION = "ERR_SSL_WRONG_VERSION_NUMBER"

# What comes in: the bytes, Node's code, and the alert that it is answered with, if any.
GARBAGE: dict[str, tuple[bytes, str, int | None]] = {
    "every byte": (bytes(range(256)), VERSION, None),
    "zeros": (bytes(100), VERSION, None),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "ERR_SSL_HTTP_REQUEST", None),
    "HTTP for a proxy": (b"CONNECT a:1 HTTP/1.1\r\n\r\n", "ERR_SSL_HTTPS_PROXY_REQUEST", None),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", VERSION, None),
    "PROXY protocol": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", VERSION, None),
    "a record too long": (b"\x16\x03\x01\xff\xff" + bytes(99), "ERR_SSL_DATA_LENGTH_TOO_LONG", 22),
    "data at once": (b"\x17\x03\x03\x00\x05hello", UNEXPECTED, 10),
    "an alert at once": (b"\x15\x03\x03\x00\x02\x02\x28", UNEXPECTED, 10),
    "close_notify at once": (b"\x15\x03\x03\x00\x02\x01\x00", UNEXPECTED, 10),
    "a ServerHello": (b"\x16\x03\x03\x00\x04\x02\x00\x00\x00", UNEXPECTED, 10),
    "no handshake message": (b"\x16\x03\x01\x00\x05hello", UNEXPECTED, 10),
    "a hello that is too large": (
        b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(16380),
        "ERR_SSL_EXCESSIVE_MESSAGE_SIZE",
        47,
    ),
    "a hello that is too short": (
        b"\x16\x03\x01\x00\x2a\x01\x00\x00\x26" + HELLO[9 : 9 + 0x26],
        "ERR_SSL_LENGTH_MISMATCH",
        50,
    ),
    "a hello of version 0": (
        HELLO[:9] + b"\x00\x00" + HELLO[11:],
        "ERR_SSL_BAD_LEGACY_VERSION",
        70,
    ),
    "a hello, then garbage": (HELLO + bytes(range(1, 200)), "ERR_SSL_BAD_RECORD_TYPE", 10),
    "a hello, then another": (HELLO + HELLO, "ERR_SSL_BAD_RECORD_TYPE", 10),
    "a hello, then an alert": (
        HELLO + b"\x15\x03\x03\x00\x02\x02\x28",
        "ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE",
        None,
    ),
}
garbage = pytest.mark.parametrize(("sent", "code", "alert"), GARBAGE.values(), ids=GARBAGE.keys())


def say(port: int, data: bytes, *, byByte: bool = False) -> Any:
    """A Deferred of what a server answers to these bytes, up to its end."""

    def run() -> bytes:
        with socket.create_connection(("127.0.0.1", port), 10) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answer = b""
            try:
                for piece in (data[n : n + 1] for n in range(len(data))) if byByte else [data]:
                    plain.sendall(piece)
                while received := plain.recv(65536):
                    answer += received
            except (ConnectionResetError, BrokenPipeError):
                pass  # it did not read all of it
            return answer

    return deferToThread(run)


@garbage
@pytest.mark.parametrize("asks", [False, True], ids=["plain", "with SNI contexts"])
@pytest_twisted.ensureDeferred
async def test_what_is_not_tls_is_one_tlsClientError(
    asks: bool, sent: bytes, code: str, alert: int | None, loopback: Loopback, pki: Pki
) -> None:
    server = await loopback.serve()
    if asks:
        # The ClientHello is then read by ourselves before OpenSSL sees it.
        server.addContext("other", {"key": pki.server.key, "cert": pki.server.cert})
    census = Census()
    answer = await say(server.address()["port"], sent)
    await until(lambda: server.failures)
    (failure,) = server.failures
    assert failure.code == code
    assert (failure.blame, failure.phase) == (Blame.PEER, Phase.HANDSHAKING)
    if alert is None:
        assert answer[:1] in (b"", b"\x16")
    elif answer[:1] == b"\x15":
        assert (answer[5:7], len(answer)) == (bytes((2, alert)), 7)
    else:
        # A TLS 1.3 server that has sent its hello has encrypted the alert.
        assert answer[:1] == b"\x16"
    assert server.secured == []
    server.failures.clear()
    del failure
    await census.restored()
    await loopback.proveServing(server)


@pytest_twisted.ensureDeferred
async def test_the_codes_for_what_is_not_tls_are_nodes(pki: Pki) -> None:
    options = {"key": pki.server.key, "cert": pki.server.cert}
    async with NodePeer("server", options) as node:
        port = await node.event("listening")
        for number, name in enumerate(GARBAGE, 1):
            await say(port, GARBAGE[name][0])
            await until(lambda number=number: node.names.count("clientError") == number)
        codes = [value for event, value in node.happenings if event == "clientError"]
    assert dict(zip(GARBAGE, codes, strict=True)) == {
        name: code for name, (_, code, _) in GARBAGE.items()
    }


@pytest.mark.parametrize("asks", [False, True], ids=["plain", "with SNI contexts"])
@pytest_twisted.ensureDeferred
async def test_byte_by_byte_it_is_the_same(asks: bool, loopback: Loopback, pki: Pki) -> None:
    server = await loopback.serve()
    if asks:
        server.addContext("other", {"key": pki.server.key, "cert": pki.server.cert})
    for number, name in enumerate(("HTTP", "a hello that is too short", "a hello, then an alert")):
        sent, code, _ = GARBAGE[name]
        await say(server.address()["port"], sent, byByte=True)
        await until(lambda number=number: len(server.failures) == number + 1)
        assert server.failures[number].code == code
    await loopback.proveServing(server)


# What a client is told by something that is no TLS server, and Node's code.
ANSWERS: dict[str, tuple[bytes, str]] = {
    "every byte": (bytes(range(256)), "ERR_SSL_WRONG_VERSION_NUMBER"),
    "HTTP": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "ERR_SSL_WRONG_VERSION_NUMBER"),
    "SMTP": (b"220 mail.example.test ESMTP\r\n", "ERR_SSL_WRONG_VERSION_NUMBER"),
    "data": (b"\x17\x03\x03\x00\x05hello", "ERR_SSL_UNEXPECTED_MESSAGE"),
    "its own hello": (HELLO, "ERR_SSL_UNEXPECTED_MESSAGE"),
    "an alert": (b"\x15\x03\x03\x00\x02\x02\x28", "ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE"),
    "half a record": (b"\x16\x03\x03\x00\x7a\x02", "ECONNRESET"),
    "nothing": (b"", "ECONNRESET"),
}


class Pretender(protocol.Protocol):
    """Answers the first bytes with something, and ends."""

    answer = b""
    transport: Any

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(self.answer)
        self.transport.loseConnection()


@pytest.mark.parametrize(("answer", "code"), ANSWERS.values(), ids=ANSWERS.keys())
@pytest_twisted.ensureDeferred
async def test_what_is_no_tls_server_is_one_error_of_the_client(
    answer: bytes, code: str, loopback: Loopback, pki: Pki
) -> None:
    factory = protocol.Factory.forProtocol(Pretender)
    factory.noisy = False
    listening = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
    Pretender.answer = answer
    port = listening.getHost().port
    census = Census()
    client = loopback.dial(port)
    client.write(b"a secret")
    received = Received(client)
    await received
    assert (received.errors, received.closed) == ([code], True)
    assert (received.error.blame, received.error.phase) == (Blame.PEER, Phase.HANDSHAKING)
    assert received.data == b""
    loopback.sockets.clear()
    del client, received
    await census.restored()
    async with NodePeer("client", {"port": port, "ca": pki.ca}) as node:
        assert await node.event("error") == code
    await listening.stopListening()


# -- a peer that hangs in the handshake


@pytest.fixture
def plain() -> Iterator[Callable[[Any], socket.socket]]:
    """Plain connections to a server; they end with the test."""
    opened: list[socket.socket] = []

    def dial(server: Any) -> socket.socket:
        opened.append(socket.create_connection(("127.0.0.1", server.address()["port"]), 10))
        return opened[-1]

    yield dial
    for each in opened:
        each.close()


@pytest.mark.parametrize("said", [b"", HELLO[:3], HELLO[:100], HELLO], ids=len)
@pytest.mark.parametrize("asks", [False, True], ids=["plain", "with SNI contexts"])
@pytest_twisted.ensureDeferred
async def test_a_peer_that_hangs_in_the_handshake_is_dropped(
    asks: bool, said: bytes, loopback: Loopback, pki: Pki, plain: Any
) -> None:
    server = await loopback.serve(handshakeTimeout=60)
    if asks:
        server.addContext("other", {"key": pki.server.key, "cert": pki.server.cert})
    census = Census()
    hanging = plain(server)
    hanging.sendall(said)
    end = await deferToThread(_readToEnd, hanging)
    assert end == b"" or said == HELLO
    (failure,) = server.failures
    assert failure.code == "ERR_TLS_HANDSHAKE_TIMEOUT"
    assert (failure.blame, failure.phase) == (Blame.PEER, Phase.HANDSHAKING)
    hanging.close()
    server.failures.clear()
    del failure
    await census.restored()
    await loopback.proveServing(server)


def _readToEnd(sock: socket.socket) -> bytes:
    pieces = []
    try:
        while piece := sock.recv(65536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


@pytest_twisted.ensureDeferred
async def test_a_peer_that_drips_gets_no_more_time_than_one_that_hangs(
    loopback: Loopback, plain: Any
) -> None:
    server = await loopback.serve(handshakeTimeout=100)
    dripping = plain(server)
    dripped = 0
    while not server.failures:
        assert dripped < len(HELLO)
        try:
            dripping.sendall(HELLO[dripped : dripped + 1])
        except OSError:
            break
        dripped += 1
        await task.deferLater(reactor, 0.01)  # type: ignore[arg-type]
    await until(lambda: server.failures)
    assert [failure.code for failure in server.failures] == ["ERR_TLS_HANDSHAKE_TIMEOUT"]
    await loopback.proveServing(server)


@pytest_twisted.ensureDeferred
async def test_a_client_is_told_that_its_server_hangs_and_can_leave(loopback: Loopback) -> None:
    factory = protocol.Factory.forProtocol(protocol.Protocol)
    factory.noisy = False
    listening = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
    census = Census()
    client = loopback.dial(listening.getHost().port, timeout=50)
    received = Received(client)
    await happened(client, "timeout")
    assert client.secureConnecting
    client.destroy()
    await received
    assert (received.errors, received.closed) == ([], False)
    loopback.sockets.clear()
    del client, received
    await census.restored()
    await listening.stopListening()


# -- a reset, or an end of TCP, at any moment

CONVERSATION = 3000


async def converse(loopback: Loopback, server: Any, port: int, version: str) -> Received:
    """Data there and back, and a clean end, unless something comes between."""
    client = loopback.dial(port, minVersion=version, maxVersion=version)
    received = Received(client)
    client.write(payload(CONVERSATION))

    def all_() -> None:
        if len(received.data) == CONVERSATION:
            client.end()

    client.on("data", lambda data: all_())
    await received
    # The server, too, has seen it, in one way or another, and has done with it.
    await until(lambda: len(server.failures) + len(server.secured) == 1)
    await until(lambda: all(socket.closed for socket in server.secured))
    await until(lambda: not server.connections)
    return received


@both
@pytest.mark.parametrize("how", ["reset", "end"])
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest_twisted.ensureDeferred
async def test_a_cut_behind_any_byte_is_an_orderly_end_on_both_sides(
    direction: str, how: str, version: str, loopback: Loopback
) -> None:
    server = await loopback.serve()
    cutter = await Cutter.start(server.address()["port"])
    whole = await converse(loopback, server, cutter.port, version)
    assert (whole.errors, len(whole.data)) == ([], CONVERSATION)
    total = cutter.passed[direction]
    loopback.sockets.clear()
    server.secured.clear()
    del whole
    census = Census()
    # Everywhere near the ends of records and flights would be better still, and take minutes.
    for after in (*range(12), *range(12, total, max(1, total // 40))):
        for kept in (server.secured, server.seen, server.failures, server.errors):
            kept.clear()
        cutter.arm(direction, after, reset=how == "reset")
        ended = await converse(loopback, server, cutter.port, version)
        assert cutter.isCut
        told = [*ended.errors, *(error.code for error in (*server.failures, *server.errors))]
        assert set(told) <= {"ECONNRESET", "EPIPE"}, (after, told)
        assert len(ended.errors) <= 1
        # One error at most, before it was secure or then.
        assert len(server.failures) + len(server.errors) <= 1
        secure = loopback.sockets[0].alpnProtocol is not None
        if not secure:
            assert ended.errors == ["ECONNRESET"]
        elif how == "end":
            assert set(ended.errors) <= {"EPIPE", "ECONNRESET"}
        loopback.sockets.clear()
        del ended
    for kept in (server.secured, server.seen, server.failures, server.errors):
        kept.clear()
    await census.restored()
    cutter.disarm()
    await cutter.stop()
    await loopback.proveServing(server)


def reset(sock: socket.socket) -> None:
    """Leave with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("question", ["SNICallback", "OCSPRequest"])
@pytest_twisted.ensureDeferred
async def test_a_reset_while_the_application_thinks_ends_the_question(
    question: str, loopback: Loopback, plain: Any
) -> None:
    answers: list[Any] = []
    options: dict[str, Any] = {}
    if question == "SNICallback":
        options["SNICallback"] = lambda name, answer: answers.append(answer)
    server = await loopback.serve(**options)
    asked: list[Any] = []
    server.on("OCSPRequest", lambda leaf, issuer, answer: asked.append(answer))
    if question == "OCSPRequest":
        answers = asked
    census = Census()
    memory = _Memory()
    thinking = plain(server)
    thinking.sendall(_withStatusRequest(memory))
    await until(lambda: answers)
    reset(thinking)
    await until(lambda: server.failures)
    assert [failure.code for failure in server.failures] == ["ECONNRESET"]
    answers.pop()(None, None)
    # No further question, and no further failure.
    assert asked == []
    assert len(server.failures) == 1
    server.failures.clear()
    await census.restored()


def _withStatusRequest(memory: _Memory) -> bytes:
    """Python's ssl does not ask for a staple; the extension is put in by hand."""
    said = memory.step(b"")
    record, body = said[:5], said[5:]
    # Where the extensions begin: version, random, session id, ciphers, compression.
    at = 4 + 2 + 32
    at += 1 + body[at]
    at += 2 + int.from_bytes(body[at : at + 2], "big")
    at += 1 + body[at]
    extensions = body[at + 2 :] + bytes.fromhex("0005 0005 01 0000 0000")
    hello = body[4:at] + len(extensions).to_bytes(2, "big") + extensions
    message = b"\x01" + len(hello).to_bytes(3, "big") + hello
    return record[:3] + len(message).to_bytes(2, "big") + message


@both
@pytest_twisted.ensureDeferred
async def test_a_reset_while_much_is_being_sent_lets_go_of_it(
    version: str, loopback: Loopback, plain: Any
) -> None:
    data = payload(8 * 1024 * 1024)
    server = await loopback.serve(minVersion=version, maxVersion=version)
    census = Census()
    server.once("secureConnection", lambda socket: socket.write(data))
    memory = _Memory(version)
    reading = plain(server)
    reading.setblocking(False)
    reading.send(memory.step(b""))
    while not memory.secure:
        try:
            answer = memory.step(reading.recv(65536))
        except BlockingIOError:
            await task.deferLater(reactor, 0.002)  # type: ignore[arg-type]
            continue
        reading.send(answer)
    await until(lambda: server.secured)
    await until(lambda: server.secured[0]._carrier.queued)
    reset(reading)
    await until(lambda: server.secured[0].closed)
    assert [error.code for error in server.errors] in (["ECONNRESET"], ["EPIPE"])
    assert server.errors[0].phase is Phase.OPEN
    loopback.sockets.clear()
    server.secured.clear()
    server.errors.clear()
    await census.restored()
    await loopback.proveServing(server)


def _destroying(socket: Any) -> Callable[..., None]:
    return lambda *arguments: socket.destroy()


@both
@pytest.mark.parametrize("moment", ["at once", "connect", "secureConnect", "data", "end"])
@pytest_twisted.ensureDeferred
async def test_destroying_at_any_moment_leaves_nothing(
    moment: str, version: str, loopback: Loopback
) -> None:
    server = await loopback.serve(minVersion=version, maxVersion=version)
    census = Census()
    client = loopback.dial(server)
    received = Received(client)
    client.write(b"hello")
    if moment == "at once":
        client.destroy()
    else:
        client.once(moment, _destroying(client))
    if moment == "end":
        client.end()
    await received
    assert (received.errors, received.closed) == ([], False)
    await until(lambda: not server.connections)
    loopback.sockets.clear()
    for kept in (server.secured, server.failures, server.errors):
        kept.clear()
    del client, received
    await census.restored()
    await loopback.proveServing(server)


@pytest_twisted.ensureDeferred
async def test_many_bad_clients_at_once_do_not_keep_a_good_one_out(
    loopback: Loopback, plain: Any
) -> None:
    server = await loopback.serve(handshakeTimeout=60_000)
    bad = [plain(server) for _ in range(60)]
    for number, each in enumerate(bad):
        each.sendall([b"", HELLO[:50], HELLO, bytes(range(256))][number % 4])
    await defer.gatherResults(
        [defer.ensureDeferred(loopback.proveServing(server)) for _ in range(10)]
    )
    for each in bad:
        reset(each)
    await until(lambda: len(server.failures) == len(bad))
    assert {failure.code for failure in server.failures} == {
        "ECONNRESET",
        "ERR_SSL_WRONG_VERSION_NUMBER",
    }
    await until(lambda: not server.connections)
