"""The servers that are measured do what the benchmark protocol says, again and again."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.support import PROJECT, Pki

FACES = ("node-face", "twisted-face")


@pytest.fixture
def growth(benchmark: Callable[[str], ModuleType], pki: Pki, tmp_path: Path) -> ModuleType:
    (tmp_path / "cert.pem").write_bytes(pki.server.cert)
    (tmp_path / "key.pem").write_bytes(pki.server.key)
    return benchmark("growth")


@pytest.fixture(params=[*FACES, *(f"{face}+uvloop" for face in FACES)])
def port(request: pytest.FixtureRequest, growth: ModuleType, tmp_path: Path) -> Iterator[int]:
    face, _, reactor = request.param.partition("+")
    command = [sys.executable]
    if reactor:
        command += [str(PROJECT / "benchmarks" / "on_reactor.py"), reactor]
    command += [str(PROJECT / "benchmarks" / f"{face.replace('-', '_')}.py")]
    with growth.Process(command, more=files(tmp_path)) as server:
        yield server.port


def files(folder: Path) -> dict[str, str]:
    return {"BENCH_CERT": str(folder / "cert.pem"), "BENCH_KEY": str(folder / "key.pem")}


def test_it_sends_what_is_asked_for_each_time(growth: ModuleType, port: int) -> None:
    """A second command comes as soon as the last byte of the first was read."""
    with growth.connected(growth.trusting(), port) as client:
        for size in (1, 70_000, 3_000_000, 65_536, 3_000_000):
            client.sendall(b"S %d 65536\n" % size)
            growth.receive(client, size, bytearray(1 << 16))
        client.sendall(b"D 5\nabcde")
        assert client.recv(2) == b"K\n"


def test_it_discards_and_says_so(growth: ModuleType, port: int) -> None:
    with growth.connected(growth.trusting(), port) as client:
        client.sendall(b"D 2000000\n" + bytes(2_000_000))
        assert client.recv(2) == b"K\n"
        client.sendall(b"E\nhello")
        assert client.recv(5) == b"hello"


@pytest.mark.parametrize("face", FACES)
def test_each_of_many_names_has_its_certificate(
    growth: ModuleType, tmp_path: Path, face: str
) -> None:
    folder = tmp_path / "contexts"
    folder.mkdir()
    for number in range(3):
        name = growth.nameOf(number)
        (folder / f"{name}.pem").write_bytes(growth.certificate(name))
    command = [sys.executable, str(PROJECT / "benchmarks" / "growing_face.py"), face]
    more = {**files(tmp_path), "BENCH_CONTEXTS": str(folder)}
    with growth.Process(command, more=more) as server:
        for number in range(3):
            name = growth.nameOf(number)
            with growth.connected(growth.trusting(), server.port, name) as client:
                assert name.encode() in client.getpeercert(True)


@pytest.mark.parametrize(
    ("face", "how"), [("node-face", "store"), ("node-face", "events"), ("twisted-face", "store")]
)
def test_a_session_among_many_is_resumed(
    growth: ModuleType, tmp_path: Path, face: str, how: str
) -> None:
    client = growth.trusting()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.options |= ssl.OP_NO_TICKET
    command = [sys.executable, str(PROJECT / "benchmarks" / "growing_face.py"), face]
    more = {**files(tmp_path), "BENCH_SESSIONS": how}
    with growth.Process(command, more=more) as server:
        with growth.connected(client, server.port) as first:
            session = first.session
        with growth.connected(client, server.port, session=session) as filling:
            filling.sendall(b"F 50\n")
            assert filling.recv(2) == b"K\n"
        with growth.connected(client, server.port, session=session) as again:
            assert again.session_reused
