"""Staples out of files: which are sent, and which are better not."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from zope.interface.verify import verifyObject

from tests.loopback import Loopback
from tests.stapling import NOW, Authority, derOf
from tests.support import Pki, happened, requireTool
from txnodetls.interfaces import IOCSPResponder
from txnodetls.ocsp.checking import MAX_SIZE, checkStaple
from txnodetls.ocsp.files import CHECK_EVERY, FileOCSPResponder


@pytest.fixture(scope="module")
def authority(pki: Pki) -> Authority:
    return Authority(pki)


@pytest.fixture
def leaf(pki: Pki) -> bytes:
    return derOf(pki.server.cert)


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the log says of responses that are not used."""
    texts: list[str] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_namespace") == "txnodetls.ocsp.files.FileOCSPResponder":
            texts.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield texts
    globalLogPublisher.removeObserver(observe)


# -- files


class Time:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def test_it_provides_the_interface(tmp_path: Path) -> None:
    assert verifyObject(IOCSPResponder, FileOCSPResponder(tmp_path / "none"))


def test_a_file_is_served(tmp_path: Path, authority: Authority, leaf: bytes) -> None:
    data = authority.response(leaf)
    (tmp_path / "der").write_bytes(data)
    for path in (tmp_path / "der", str(tmp_path / "der"), [tmp_path / "der"]):
        responder = FileOCSPResponder(path, now=Time())
        assert responder.respond(leaf, authority.der) == data
        assert responder.respond(leaf, authority.der) == data


def test_of_several_files_the_one_for_the_certificate_serves(
    tmp_path: Path, pki: Pki, authority: Authority, leaf: bytes, said: list[str]
) -> None:
    other = derOf(pki.client.cert)
    (tmp_path / "one").write_bytes(authority.response(leaf))
    (tmp_path / "other").write_bytes(authority.response(other))
    responder = FileOCSPResponder([tmp_path / "one", tmp_path / "other"], now=Time())
    assert responder.respond(leaf, authority.der) == (tmp_path / "one").read_bytes()
    assert responder.respond(other, authority.der) == (tmp_path / "other").read_bytes()
    assert said == []


def test_of_several_for_a_certificate_the_one_that_lapses_last_serves(
    tmp_path: Path, authority: Authority, leaf: bytes
) -> None:
    (tmp_path / "short").write_bytes(authority.response(leaf, until=100))
    (tmp_path / "long").write_bytes(authority.response(leaf, until=200))
    clock = Time()
    responder = FileOCSPResponder([tmp_path / "short", tmp_path / "long"], now=clock)
    assert responder.respond(leaf, authority.der) == (tmp_path / "long").read_bytes()


def test_a_file_that_is_replaced_is_read_again(
    tmp_path: Path, authority: Authority, leaf: bytes
) -> None:
    clock, path = Time(), tmp_path / "der"
    responder = FileOCSPResponder(path, now=clock)
    assert responder.respond(leaf, authority.der) is None
    for until in (1000, 2000):
        (tmp_path / "new").write_bytes(authority.response(leaf, until=until))
        os.replace(tmp_path / "new", path)
        clock.now += 2
        assert responder.respond(leaf, authority.der) == path.read_bytes()
    path.unlink()
    clock.now += 2
    assert responder.respond(leaf, authority.der) is None


def test_a_response_that_lapses_is_not_served_any_more(
    tmp_path: Path, authority: Authority, leaf: bytes, said: list[str]
) -> None:
    clock, path = Time(), tmp_path / "der"
    path.write_bytes(authority.response(leaf, until=30))
    responder = FileOCSPResponder(path, now=clock)
    assert responder.respond(leaf, authority.der) is not None
    clock.now += 29
    assert responder.respond(leaf, authority.der) is not None
    clock.now += 1
    assert responder.respond(leaf, authority.der) is None
    assert "lapsed" in said[-1]


def test_one_from_the_future_is_served_when_its_time_has_come(
    tmp_path: Path, authority: Authority, leaf: bytes
) -> None:
    clock, path = Time(), tmp_path / "der"
    path.write_bytes(authority.response(leaf, since=310))
    responder = FileOCSPResponder(path, now=clock)
    assert responder.respond(leaf, authority.der) is None
    clock.now += CHECK_EVERY
    assert responder.respond(leaf, authority.der) == path.read_bytes()


def test_what_cannot_be_used_is_logged_once_for_each_change(
    tmp_path: Path, authority: Authority, leaf: bytes, said: list[str]
) -> None:
    clock, path = Time(), tmp_path / "der"
    responder = FileOCSPResponder(path, now=clock)

    def asked() -> int:
        for _ in range(5):
            clock.now += CHECK_EVERY
            assert responder.respond(leaf, authority.der) is None
        return len(said)

    assert asked() == 1
    assert "there is no" in said[0]
    path.write_bytes(b"garbage")
    assert asked() == 2
    assert "cannot be read" in said[1]
    path.write_bytes(bytes(MAX_SIZE + 1))
    assert asked() == 3
    assert "larger than" in said[2]
    path.unlink()
    os.mkfifo(path)
    assert asked() == 4
    assert "no plain file" in said[3]


def test_a_single_file_for_another_certificate_is_a_mistake(
    tmp_path: Path, pki: Pki, authority: Authority, leaf: bytes, said: list[str]
) -> None:
    (tmp_path / "der").write_bytes(authority.response(derOf(pki.client.cert)))
    responder = FileOCSPResponder(tmp_path / "der", now=Time())
    assert responder.respond(leaf, authority.der) is None
    assert "another certificate" in said[0]


def test_a_file_is_checked_once_and_not_for_each_handshake(
    tmp_path: Path, authority: Authority, leaf: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from txnodetls.ocsp import files as module

    checks: list[bytes] = []

    def counting(data: bytes, *arguments: Any) -> Any:
        checks.append(data)
        return checkStaple(data, *arguments)

    monkeypatch.setattr(module, "checkStaple", counting)
    (tmp_path / "der").write_bytes(authority.response(leaf))
    responder = FileOCSPResponder(tmp_path / "der", now=Time())
    for _ in range(100):
        assert responder.respond(leaf, authority.der)
    assert len(checks) == 1


def test_what_is_no_path_is_refused() -> None:
    with pytest.raises(TypeError):
        FileOCSPResponder([3])  # type: ignore[list-item]


# -- servers


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest_twisted.ensureDeferred
async def test_a_server_staples_what_is_in_the_file(
    pki: Pki, authority: Authority, tmp_path: Path, version: str
) -> None:
    now = time.time()
    data = authority.response(derOf(pki.server.cert), now=now)
    (tmp_path / "der").write_bytes(data)
    async with Loopback(pki) as loopback:
        server = await loopback.serve(
            ocspResponder=FileOCSPResponder(tmp_path / "der"), ca=pki.ca, maxVersion=version
        )
        client = loopback.dial(server, requestOCSP=True)
        assert await happened(client, "OCSPResponse") == (data,)
        await happened(client, "secureConnect")
        # Who does not ask is not told.
        other = await loopback.secure(server)
        assert other.authorized


@pytest_twisted.ensureDeferred
async def test_openssl_makes_the_file_and_believes_the_staple(pki: Pki, tmp_path: Path) -> None:
    openssl = requireTool("openssl")
    files = {
        "ca.pem": pki.ca,
        "ca.key": pki.authority.private_key_pem.bytes(),
        "leaf.pem": pki.server.cert,
        "index.txt": b"",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    serial = subprocess.run(
        [openssl, "x509", "-in", "leaf.pem", "-noout", "-serial"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    ).stdout.decode()
    number = serial.strip().partition("=")[2]
    (tmp_path / "index.txt").write_text(f"V\t490101000000Z\t\t{number}\tunknown\t/CN=leaf\n")
    asking = "-issuer ca.pem -cert leaf.pem -reqout request -no_nonce"
    answering = "-reqin request -respout response -index index.txt -CA ca.pem -ndays 2"
    for arguments in (asking, f"{answering} -rsigner ca.pem -rkey ca.key"):
        subprocess.run(
            [openssl, "ocsp", *arguments.split()],
            cwd=tmp_path,
            capture_output=True,
            check=True,
            timeout=20,
        )
    async with Loopback(pki) as loopback:
        server = await loopback.serve(
            ocspResponder=FileOCSPResponder(tmp_path / "response"), ca=pki.ca
        )
        client = loopback.dial(server, requestOCSP=True)
        assert await happened(client, "OCSPResponse") == ((tmp_path / "response").read_bytes(),)
