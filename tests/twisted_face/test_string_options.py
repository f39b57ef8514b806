"""Every option with a text form in strings of both kinds; places: systemd, PROXY, IPv6, sockets."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.endpoints import (
    HostnameEndpoint,
    clientFromString,
    connectProtocol,
    quoteStringArgument,
    serverFromString,
)

from tests.support import Pki, eventually, runPython
from tests.twisted_face.pairs import Making, Recorder
from txnodetls import connect
from txnodetls.options import CONNECT, LISTEN, SERVER

# A text for each option, and what it is to make of it; None: whatever it makes.
SAMPLES: dict[str, tuple[str, Any]] = {
    "ALPNProtocols": ("h2, http/1.1", b"\x02h2\x08http/1.1"),
    "NPNProtocols": ("a,b", b"\x01a\x01b"),
    "allowHalfOpen": ("yes", True),
    "allowPartialTrustChain": ("on", True),
    "autoSelectFamily": ("false", False),
    "autoSelectFamilyAttemptTimeout": ("300", 300),
    "backlog": ("7", 7),
    "ca": ("FILES/ca.pem,FILES/ca.pem", None),
    "cert": ("FILES/cert.pem", None),
    "certificateCompression": ("zlib", None),
    "ciphers": ("ECDHE+AESGCM\\:TLS_AES_128_GCM_SHA256", "ECDHE+AESGCM:TLS_AES_128_GCM_SHA256"),
    "crl": ("FILES/crl.pem", None),
    "dhparam": ("auto", "auto"),
    "ecdhCurve": ("X25519\\:P-256", "X25519:P-256"),
    "enableTrace": ("no", False),
    "exclusive": ("no", False),
    "family": ("4", 4),
    "handshakeTimeout": ("2500", 2500),
    "highWaterMark": ("0x8000", 0x8000),
    "hints": ("0", 0),
    "honorCipherOrder": ("no", False),
    "host": ("127.0.0.1", "127.0.0.1"),
    "ipv6Only": ("yes", True),
    "keepAlive": ("yes", True),
    "keepAliveInitialDelay": ("1500", 1500),
    "key": ("FILES/key.pem", None),
    "localAddress": ("127.0.0.1", "127.0.0.1"),
    "localPort": ("0", 0),
    "maxVersion": ("TLSv1.2", "TLSv1.2"),
    "minDHSize": ("2048", 2048),
    "minVersion": ("TLSv1.3", "TLSv1.3"),
    "noDelay": ("1", True),
    "passphrase": ("se\\:cret", "se:cret"),
    "passphraseFile": ("FILES/passphrase", "se:cret"),
    "pauseOnConnect": ("off", False),
    "pfx": ("FILES/both.pfx", None),
    "postHandshakeAuth": ("yes", True),
    "pskFile": ("FILES/psk", None),
    "pskIdentityHint": ("who are you", "who are you"),
    "readableAll": ("yes", True),
    "rejectUnauthorized": ("no", False),
    "requestCert": ("yes", True),
    "requestOCSP": ("yes", True),
    "reusePort": ("no", False),
    "secureOptions": ("NO_TICKET,NO_RENEGOTIATION", SSL.OP_NO_TICKET | (1 << 30)),
    "secureProtocol": ("TLSv1_2_method", "TLSv1_2_method"),
    "servername": ("localhost", "localhost"),
    "sessionIdContext": ("ours", "ours"),
    "sessionCache": ("yes", True),
    "sessionStore": ("memory\\:", "memory:"),
    "sessionTimeout": ("60", 60),
    "sigalgs": ("ECDSA+SHA256", "ECDSA+SHA256"),
    "ticketKeyRing": ("file\\:FILES/ring?interval=60", None),
    "ticketKeys": ("FILES/tickets", None),
    "ticketKeysFile": ("FILES/tickets", None),
    "timeout": ("1000", 1000),
    "writableAll": ("no", False),
}
# Those are known, checked and then refused, as in Node 24.
ENGINES = {"clientCertEngine", "privateKeyEngine", "privateKeyIdentifier"}
# Those are where to listen or connect, and have tests of their own.
PLACES = {"port", "path", "fd"}
NAMES_IN_TEXT = {
    "passphraseFile": "passphrase",
    "pskFile": "pskCallback",
    "ticketKeysFile": "ticketKeys",
}


@pytest.fixture(scope="module")
def files(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files")
    (path / "key.pem").write_bytes(pki.server.key)
    (path / "cert.pem").write_bytes(pki.server.cert)
    (path / "ca.pem").write_bytes(pki.ca)
    (path / "passphrase").write_text("se:cret\n")
    (path / "psk").write_text("me:00112233\n")
    (path / "tickets").write_bytes(bytes(range(48)))
    key = serialization.load_pem_private_key(pki.server.key, None)
    cert = x509.load_pem_x509_certificate(pki.server.cert)
    both = pkcs12.serialize_key_and_certificates(
        b"both",
        key,
        cert,
        None,
        serialization.NoEncryption(),  # type: ignore[arg-type]
    )
    (path / "both.pfx").write_bytes(both)
    now = datetime.now(UTC)
    authority = serialization.load_pem_private_key(pki.authority.private_key_pem.bytes(), None)
    issuer = x509.load_pem_x509_certificate(pki.ca).subject
    building = x509.CertificateRevocationListBuilder().issuer_name(issuer)
    building = building.last_update(now).next_update(now + timedelta(days=1))
    crl = building.sign(authority, hashes.SHA256())  # type: ignore[arg-type]
    (path / "crl.pem").write_bytes(crl.public_bytes(serialization.Encoding.PEM))
    return path


def test_every_text_form_has_a_sample_here() -> None:
    names = {*SERVER.textNames(), *CONNECT.textNames(), *LISTEN.textNames()}
    assert names - {*SAMPLES, *ENGINES, *PLACES} == set()


def check(options: Any, name: str, expected: Any) -> None:
    found = options[NAMES_IN_TEXT.get(name, name)]
    if expected is None:
        assert found is not None
    else:
        assert found == expected


@pytest.mark.parametrize("name", sorted({*SERVER.textNames(), *LISTEN.textNames()} & {*SAMPLES}))
def test_a_server_string_takes(name: str, files: Path) -> None:
    text, expected = SAMPLES[name]
    written = text.replace("FILES", str(files))
    own = f"key={files}/key.pem:cert={files}/cert.pem"
    more = "" if name in ("key", "cert") else f":{name}={written}"
    endpoint: Any = serverFromString(reactor, f"nodetls:port=0:{own}{more}")
    check(endpoint._where if name in LISTEN else endpoint._options, name, expected)


@pytest.mark.parametrize("name", sorted({*CONNECT.textNames()} & {*SAMPLES} - {"host"}))
def test_a_client_string_takes(name: str, files: Path) -> None:
    text, expected = SAMPLES[name]
    written = text.replace("FILES", str(files))
    other = {"key": f":cert={files}/cert.pem", "cert": f":key={files}/key.pem"}.get(name, "")
    endpoint: Any = clientFromString(reactor, f"nodetls:localhost:1:{name}={written}{other}")
    check(endpoint._options, name, expected)


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_engines_are_refused_as_in_node(name: str) -> None:
    pair = ("privateKeyEngine", "privateKeyIdentifier")
    other = {pair[0]: f":{pair[1]}=b", pair[1]: f":{pair[0]}=b"}
    with pytest.raises(ValueError, match="engine") as caught:
        serverFromString(reactor, f"nodetls:0:{name}=a{other.get(name, '')}")
    assert caught.value.code == "ERR_CRYPTO_CUSTOM_ENGINE_NOT_SUPPORTED"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("table", "parse", "begin"),
    [(SERVER, serverFromString, "nodetls:0"), (CONNECT, clientFromString, "nodetls:localhost:1")],
)
def test_what_has_no_text_form_is_refused_naming_the_python_way(
    table: Any, parse: Any, begin: str
) -> None:
    without = [name for name in table if table[name].parse is None]
    assert len(without) > 5
    for name in without:
        with pytest.raises(
            ValueError, match=f"{name} is an? (callback|object).*; use .* in Python"
        ):
            parse(reactor, f"{begin}:{name}=x")


async def talk(port: Any, serving: Making, client: str) -> tuple[Any, Any]:
    made: Any = await connectProtocol(clientFromString(reactor, client), Recorder())
    made.transport.write(b"word")
    await eventually(lambda: serving.made and serving.made[-1].received == b"word")
    return made, serving.made[-1]


async def end(port: Any, *sides: Any) -> None:
    sides[0].transport.loseConnection()
    await eventually(lambda: all(side.reason for side in sides))
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_ipv6(files: Path) -> None:
    serving = Making()
    text = f"nodetls:0:interface=\\:\\:1:key={files}/key.pem:cert={files}/cert.pem"
    port: Any = await serverFromString(reactor, text).listen(serving)
    assert isinstance(port.getHost(), IPv6Address)
    number = port.getHost().port
    client, server = await talk(port, serving, f"nodetls:\\:\\:1:{number}:ca={files}/ca.pem")
    assert server.transport.getHost() == IPv6Address("TCP", "::1", number)
    assert client.transport.tlsSocket.authorized
    await end(port, client, server)


@pytest_twisted.ensureDeferred
async def test_unix_sockets_by_both_names(files: Path, tmp_path: Path) -> None:
    credentials = f"key={files}/key.pem:cert={files}/cert.pem"
    asking = f"servername=localhost:ca={files}/ca.pem"
    for place in (f"path={tmp_path}/a", f"endpoint={quoteStringArgument(f'unix:{tmp_path}/b')}"):
        serving = Making()
        port: Any = await serverFromString(reactor, f"nodetls:{place}:{credentials}").listen(
            serving
        )
        client, server = await talk(port, serving, f"nodetls:{place}:{asking}")
        assert server.transport.tlsSocket.servername == "localhost"
        await end(port, client, server)


@pytest_twisted.ensureDeferred
async def test_behind_a_proxy_that_tells_who_it_is(files: Path) -> None:
    serving = Making()
    text = (
        "nodetls:endpoint=haproxy\\:tcp\\:0\\:interface\\=127.0.0.1"
        f":key={files}/key.pem:cert={files}/cert.pem"
    )
    port: Any = await serverFromString(reactor, text).listen(serving)
    proxy: Any = await connectProtocol(
        HostnameEndpoint(reactor, "127.0.0.1", port.getHost().port), Recorder()
    )
    proxy.transport.write(b"PROXY TCP4 192.0.2.9 192.0.2.1 5555 443\r\n")
    # And behind the header, TLS on the same connection.
    ca = (files / "ca.pem").read_bytes()
    socket = connect({"socket": proxy.transport, "servername": "localhost", "ca": ca})
    socket.write(b"word")
    await eventually(lambda: serving.made and serving.made[0].received == b"word")
    server = serving.made[0]
    assert server.transport.getPeer() == IPv4Address("TCP", "192.0.2.9", 5555)
    assert server.transport.tlsSocket.remoteAddress == "192.0.2.9"
    socket.destroySoon()
    await eventually(lambda: server.reason and socket.closed)
    await port.stopListening()


SYSTEMD = """
    import os, socket, sys
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    os.dup2(listening.fileno(), 3)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="tls")
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred
    from twisted.internet.endpoints import clientFromString, connectProtocol, serverFromString
    from twisted.internet.protocol import Factory, Protocol
    from twisted.internet.task import react

    class Echo(Protocol):
        def dataReceived(self, data):
            self.transport.write(data + b" " + self.transport.tlsSocket.getProtocol().encode())

    class Ask(Protocol):
        def connectionMade(self):
            self.answer = Deferred()
            self.transport.write(b"word")
        def dataReceived(self, data):
            self.answer.callback(data)

    async def main(reactor):
        files = sys.argv[1]
        server = serverFromString(reactor, "nodetls:endpoint=systemd\\\\:domain=INET\\\\:index=0"
            f":key={files}/key.pem:cert={files}/cert.pem")
        listening = await server.listen(Factory.forProtocol(Echo))
        assert listening.getHost().port == port
        client = clientFromString(reactor, f"nodetls:localhost:{port}:family=4:ca={files}/ca.pem")
        print(await (await connectProtocol(client, Ask())).answer)

    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
"""


def test_a_socket_of_systemds(files: Path) -> None:
    done = runPython(textwrap.dedent(SYSTEMD), str(files))
    assert (done.stdout, done.stderr) == (b"b'word TLSv1.3'\n", b"")
