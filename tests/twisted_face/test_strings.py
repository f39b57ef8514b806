"""Endpoint strings: found as plugins, read by Node's names, refused with reasons."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.endpoints import clientFromString, quoteStringArgument, serverFromString

from tests.support import Pki, eventually, makePki
from tests.twisted_face.pairs import Making
from txnodetls.options import CONNECT, SERVER


@pytest.fixture
def files(pki: Pki, tmp_path: Path) -> Path:
    (tmp_path / "key.pem").write_bytes(pki.server.key)
    (tmp_path / "cert.pem").write_bytes(pki.server.cert)
    (tmp_path / "ca.pem").write_bytes(pki.ca)
    (tmp_path / "client-key.pem").write_bytes(pki.client.key)
    (tmp_path / "client-cert.pem").write_bytes(pki.client.cert)
    (tmp_path / "other.pem").write_bytes(makePki().server.key)
    return tmp_path


async def talk(server: str, client: str) -> tuple[Any, Any]:
    """Both protocols of a connection between these, which has carried a word."""
    serving, asking = Making(), Making()
    port = await serverFromString(reactor, server).listen(serving)
    number = getattr(port.getHost(), "port", 0)
    endpoint = clientFromString(reactor, client.replace("PORT", str(number)))
    made = await endpoint.connect(asking)
    made.transport.write(b"word")
    await eventually(lambda: serving.made and serving.made[0].received == b"word")
    made.transport.loseConnection()
    await eventually(lambda: made.reason and serving.made[0].reason)
    await port.stopListening()
    return serving.made[0], made


@pytest_twisted.ensureDeferred
async def test_a_server_and_a_client(files: Path) -> None:
    server, client = await talk(
        f"nodetls:0:interface=127.0.0.1:key={files}/key.pem:cert={files}/cert.pem",
        f"nodetls:localhost:PORT:ca={files}/ca.pem:family=4",
    )
    assert client.transport.tlsSocket.authorized
    assert server.transport.tlsSocket is not client.transport.tlsSocket


@pytest_twisted.ensureDeferred
async def test_options_by_nodes_names(files: Path) -> None:
    server, client = await talk(
        f"nodetls:port=0:host=127.0.0.1:key={files}/key.pem:cert={files}/cert.pem"
        f":ca={files}/ca.pem:requestCert=yes:ALPNProtocols=b,a:maxVersion=TLSv1.2"
        ":ciphers=ECDHE-ECDSA-AES256-GCM-SHA384",
        f"nodetls:host=127.0.0.1:port=PORT:ca={files}/ca.pem:servername=localhost"
        f":key={files}/client-key.pem:cert={files}/client-cert.pem:ALPNProtocols=a,c"
        ":connectTimeout=20",
    )
    assert server.transport.tlsSocket.authorized
    assert server.transport.negotiatedProtocol == b"a"
    assert server.transport.tlsSocket.servername == "localhost"
    assert client.transport.negotiatedProtocol == b"a"


@pytest_twisted.ensureDeferred
async def test_over_another_endpoint(files: Path) -> None:
    below = quoteStringArgument(f"unix:{files}/socket")
    await talk(
        f"nodetls:endpoint={below}:key={files}/key.pem:cert={files}/cert.pem",
        f"nodetls:endpoint={below}:servername=localhost:ca={files}/ca.pem",
    )


@pytest_twisted.ensureDeferred
async def test_over_a_unix_socket(files: Path) -> None:
    await talk(
        f"nodetls:path={files}/socket:key={files}/key.pem:cert={files}/cert.pem",
        f"nodetls:path={files}/socket:servername=localhost:ca={files}/ca.pem",
    )


@pytest.mark.parametrize(
    ("string", "text"),
    [
        ("nodetls:0:cret=x", "unknown option cret; did you mean cert?"),
        ("nodetls:0:intreface=x", "unknown option intreface; did you mean interface?"),
        ("nodetls:0:SNICallback=f", "SNICallback is a callback and has no text form; use"),
        ("nodetls:0:requestCert=perhaps", "option requestCert: 'perhaps' is neither"),
        ("nodetls:0:key=/absent", "option key: cannot read /absent"),
        ("nodetls:0:key=FILES/other.pem:cert=FILES/cert.pem", "option key: .*mismatch"),
        ("nodetls:0:minVersion=9", "option minVersion: "),
        ("nodetls:x", "option port: 'x' is not a whole number"),
        ("nodetls:0:port=1", "option port is given twice"),
        ("nodetls:0:1", "'1' has no meaning there"),
        ("nodetls:0", "a server needs key and cert, or pfx, or pskFile"),
        ("nodetls:0:ca=FILES/ca.pem", "a server needs key and cert, or pfx, or pskFile"),
        ("nodetls:0:key=FILES/key.pem", "option cert is missing, without which key is of no"),
        ("nodetls:0:cert=FILES/cert.pem", "option key is missing, without which cert is of no"),
        ("nodetls:cert=FILES/cert.pem:key=FILES/key.pem", "the port is missing"),
        ("nodetls:0:host=a:interface=b", "interface and host are two names of one option"),
        ("nodetls:0:endpoint=tcp\\:0", "option port has no meaning together with endpoint"),
    ],
)
def test_a_wrong_server_string_is_refused_with_the_option_and_the_reason(
    string: str, text: str, files: Path
) -> None:
    with pytest.raises(ValueError, match=f"^{text}"):
        serverFromString(reactor, string.replace("FILES", str(files)))


@pytest.mark.parametrize(
    ("string", "text"),
    [
        ("nodetls:localhost:1:severname=x", "unknown option severname; did you mean servername?"),
        ("nodetls:localhost:1:checkServerIdentity=f", "checkServerIdentity is a callback"),
        ("nodetls:localhost", "host and port are missing"),
        ("nodetls:localhost:port", "option port: 'port' is not a whole number"),
        ("nodetls:localhost:1:connectTimeout=long", "option connectTimeout: 'long' is not"),
        ("nodetls:localhost:1:connectTimeout=-1", "option connectTimeout: '-1' is not a time"),
        ("nodetls:endpoint=tcp\\:h\\:1", r'The "options.servername" and "options.host"'),
        ("nodetls:endpoint=tcp\\:h\\:1:port=2", "option port has no meaning together"),
        ("nodetls:path=/run/x", r'The "options.servername" and "options.host"'),
        ("nodetls:localhost:1:ca=/absent", "option ca: cannot read /absent"),
    ],
)
def test_a_wrong_client_string_likewise(string: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}"):
        clientFromString(reactor, string)


@pytest.mark.parametrize(
    ("table", "parse", "string"),
    [
        (SERVER, serverFromString, "nodetls:1:zzz=1"),
        (CONNECT, clientFromString, "nodetls:h:1:zzz=1"),
    ],
)
def test_a_refusal_lists_all_names(table: Any, parse: Any, string: str) -> None:
    with pytest.raises(ValueError, match="all of them") as caught:
        parse(reactor, string)
    listed = set(re.findall(r"\w+", str(caught.value).partition("all of them: ")[2]))
    assert set(table.textNames()) <= listed
    assert "endpoint" in listed
