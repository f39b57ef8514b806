"""What is to be known of a connection."""

from __future__ import annotations

import time
from typing import Any

import pytest
import pytest_twisted

from tests.loopback import Loopback, until
from tests.stapling import Authority, derOf
from tests.support import Pki
from txnodetls.command.findings import Findings, Origin, gather

VERSIONS = ("TLSv1.2", "TLSv1.3")
both = pytest.mark.parametrize("version", VERSIONS)


@pytest_twisted.async_yield_fixture
async def loopback(pki: Pki) -> Any:
    async with Loopback(pki) as opened:
        yield opened


async def found(loopback: Loopback, server: Any, **options: Any) -> tuple[Findings, Any]:
    client = await loopback.secure(server, rejectUnauthorized=False, **options)
    servername = options.get("servername", "localhost")
    return gather(client, servername or "127.0.0.1", servername, None), client


@both
@pytest_twisted.ensureDeferred
async def test_of_a_server_that_is_trusted(version: str, loopback: Loopback) -> None:
    server = await loopback.serve(maxVersion=version, ALPNProtocols=["h2"])
    findings, client = await found(loopback, server, ALPNProtocols=["h2"])
    assert (findings.trusted, findings.code, findings.reason) == (True, None, None)
    assert (findings.protocol, findings.alpn, findings.staple) == (version, "h2", None)
    assert findings.cipher == client.getCipher()["standardName"]
    assert (findings.address, findings.port) == ("127.0.0.1", server.address()["port"])
    assert findings.group not in ("", "none")
    leaf, root = findings.chain
    assert (leaf.origin, root.origin) == (Origin.SENT, Origin.TRUSTED)
    assert (leaf.selfIssued, root.selfIssued) == (False, True)
    assert leaf.fingerprint == client.getPeerCertificate()["fingerprint256"]
    assert leaf.issuer == root.subject
    assert leaf.key == "EC, P-256"
    assert findings.unused == ()


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        ({"servername": "x.test"}, "ERR_TLS_CERT_ALTNAME_INVALID", "Host: x.test. is not in"),
        ({"ca": None}, "UNABLE_TO_VERIFY_LEAF_SIGNATURE", "unable to verify the first certific"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_of_a_server_that_is_not(
    options: dict[str, Any], code: str, reason: str, loopback: Loopback
) -> None:
    pki = loopback.pki
    named = pki.issue("other.test")
    credentials = pki.server if "ca" in options else named
    server = await loopback.serve(key=credentials.key, cert=credentials.cert)
    findings, _ = await found(loopback, server, **options)
    assert not findings.trusted
    assert findings.code == code
    assert findings.reason is not None
    assert findings.reason.startswith(reason)


@both
@pytest_twisted.ensureDeferred
async def test_of_a_resumed_session(version: str, loopback: Loopback) -> None:
    """Nothing is sent then, but the session knows whose it is, and the name is checked again."""
    sessions: list[bytes] = []
    server = await loopback.serve(maxVersion=version)
    first = await loopback.secure(server)
    first.on("session", sessions.append)
    if first.getSession() and version == "TLSv1.2":
        sessions.append(first.getSession())
    await until(lambda: sessions)
    findings, client = await found(loopback, server, session=sessions[-1])
    assert client.isSessionReused()
    assert findings.session.reused
    assert findings.trusted
    assert [each.origin for each in findings.chain][-1] is Origin.TRUSTED
    assert "localhost" in (findings.chain[0].names or "")


@pytest.mark.parametrize(("until_", "words"), [(86400, "good, until "), (-60, "of no use: it has")])
@pytest_twisted.ensureDeferred
async def test_of_a_staple(until_: float, words: str, loopback: Loopback) -> None:
    pki = loopback.pki
    response = Authority(pki).response(derOf(pki.server.cert), now=time.time(), until=until_)
    server = await loopback.serve()
    client = await loopback.secure(server)
    findings = gather(client, "localhost", "localhost", response)
    assert findings.staple is not None
    assert findings.staple.startswith(words)


@pytest_twisted.ensureDeferred
async def test_of_what_is_sent_to_no_use(loopback: Loopback) -> None:
    pki = loopback.pki
    stranger = pki.issue("stranger.test").cert
    server = await loopback.serve(key=pki.server.key, cert=pki.server.cert + stranger)
    findings, _ = await found(loopback, server)
    assert findings.trusted
    assert len(findings.unused) == 1
