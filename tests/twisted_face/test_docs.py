"""What `docs/twisted.md` shows works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.endpoints import clientFromString, serverFromString

from tests.support import PROJECT, Pki, eventually
from tests.twisted_face.pairs import Making

PAGE = (PROJECT / "docs" / "twisted.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def files(pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "server.key").write_bytes(pki.server.key)
    (tmp_path / "server.pem").write_bytes(pki.server.cert)
    (tmp_path / "client.pem").write_bytes(pki.ca)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_string_is_understood(files: Path) -> None:
    strings = [line for line in blocks("text")[0].splitlines() if line]
    assert len(strings) == 6
    for string in strings:
        parse = serverFromString if "key=" in string else clientFromString
        parse(reactor, string)


@pytest_twisted.ensureDeferred
async def test_the_endpoints_talk_to_each_other(files: Path) -> None:
    names: dict[str, object] = {}
    # A free port in place of the documented one.
    code = blocks("python")[0]
    assert "8443" in code
    server = Making()
    exec(code.replace("port=8443", "port=0"), names)
    port = await names["server"].listen(server)  # type: ignore[attr-defined]
    exec(code.replace("8443", str(port.getHost().port)), names)
    client = await names["client"].connect(Making())  # type: ignore[attr-defined]
    client.transport.write(b"hello")
    await eventually(lambda: server.made and server.made[0].received == b"hello")
    client.transport.loseConnection()
    await eventually(lambda: client.reason and server.made[0].reason)
    await port.stopListening()


def test_the_pair_in_memory(capsys: pytest.CaptureFixture[str]) -> None:
    exec(blocks("python")[1], {})
    assert capsys.readouterr().out == "received b'hello'\n"
