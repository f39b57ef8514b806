"""
Bad options and bad places to listen: one clear error each, with Node's code where Node has one, and
nothing is left open.

Options are tried through each face: Python, endpoint string, daemon.  (How the daemon says it on
its command line: daemon/test_service.py.)  What peers do is in test_bad_peers.py and
test_cut_off.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from twisted.internet import reactor
from twisted.internet.endpoints import clientFromString, serverFromString

import txnodetls as tls
from tests.loopback import Census, Loopback, Received, echo
from tests.support import Pki, happened, lockedKey, makePki, nodeBinary, runTool
from txnodetls.daemon.config import readConfig
from txnodetls.daemon.written import ConfigError
from txnodetls.errors import Blame, Phase
from txnodetls.options.reading import UnknownOptionWarning


@pytest_twisted.async_yield_fixture
async def loopback(pki: Pki) -> Any:
    async with Loopback(pki) as opened:
        yield opened


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
        "locked.key": lockedKey(pki.server.key),
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
    with pytest.raises(ConfigError, match=f"^--{blamed}: .") as caught:
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
def test_a_file_that_is_missing_is_named(option: str, tmp_path: Path, pki: Pki) -> None:
    absent, ca = tmp_path / "absent", tmp_path / "ca"
    ca.write_bytes(pki.ca)
    for parse, prefix in (
        (serverFromString, "nodetls:0:"),
        (clientFromString, "nodetls:localhost:1:"),
    ):
        with pytest.raises(ValueError, match=f"^option {option}: cannot read {absent}: No such"):
            parse(reactor, f"{prefix}{option}={absent}")
    with pytest.raises(ConfigError, match=f"^--{option}: cannot read {absent}: No such file"):
        # Without authorities there is nothing to revoke.
        readConfig({"ca": str(ca), option: str(absent)})


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
