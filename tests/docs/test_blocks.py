"""Every block of the documentation that can run is run; every endpoint string is understood."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import ssl
import sys
from pathlib import Path

import pytest
import trustme
from twisted.internet import reactor
from twisted.internet.endpoints import clientFromString, serverFromString

from tests.daemon.running import Twistd, run
from tests.docs.pages import COMMON, ELSEWHERE, PAGES
from tests.docs.running import DOCS, blocks
from tests.support import PROJECT, nodeBinary, requireModule, runTool, unusedPort

ALL = sorted(
    str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md") if "_build" not in str(path)
)
RUNNER = PROJECT / "tests" / "docs" / "running.py"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the files that the pages name."""
    path = tmp_path_factory.mktemp("docs")
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost", "127.0.0.1", "::1")
    leaf.private_key_pem.write_to_path(path / "server.key")
    for pem in leaf.cert_chain_pems:
        pem.write_to_path(path / "server.pem", append=True)
    authority.cert_pem.write_to_path(path / "client.pem")
    (path / "index.html").write_text("<p>a page</p>")
    (path / "staple.der").write_bytes(b"")
    (path / "psk").write_text("me:00112233445566778899aabbccddeeff\n")
    return path


def test_every_page_with_python_is_run() -> None:
    with_ = {page for page in ALL if any(each.language == "python" for each in blocks(page))}
    assert with_ == {*PAGES} | {page for page in ELSEWHERE if page in with_}
    assert all((PROJECT / test).exists() for page, test in ELSEWHERE.items() if page in with_)


@pytest.mark.parametrize("page", sorted(PAGES))
def test_the_python_of_a_page(page: str, directory: Path) -> None:
    about = PAGES[page]
    ours, theirs = unusedPort(), unusedPort()
    used = theirs if about.serves else ours
    replaced = {**about.replaced, "8443": str(used)}
    texts = []
    for block in blocks(page):
        if block.language == "python":
            assert not block.isProgram, "a whole program needs a test of its own"
            checks = [check for text, check in about.checks.items() if text in block.text]
            for each in (block.text, *checks):
                for old, new in replaced.items():
                    each = each.replace(old, new)
                texts.append(each)
    for text in about.checks:
        assert any(text in block.text for block in blocks(page))
    preamble = (COMMON + about.preamble).replace("PORT", str(ours))
    told = json.dumps({"preamble": preamble, "blocks": texts})
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONWARNINGS": "error::UserWarning"}
    done = runTool([sys.executable, str(RUNNER), told], cwd=directory, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr.decode() == ""


def test_the_javascript_beside_it_does_the_same(directory: Path) -> None:
    (script,) = (block.text for block in blocks("node.md") if block.language == "js")
    script = script.replace("8443", str(unusedPort()))
    script += "client.on('data', () => process.exit(0));\n"
    done = runTool([nodeBinary(), "-e", script], cwd=directory)
    assert (done.stdout.decode(), done.stderr) == ("true TLSv1.3\nwelcome\n\n", b"")
    # As the page's Python prints it, which `test_the_python_of_a_page` runs.
    python = next(block.text for block in blocks("node.md") if block.language == "python")
    assert "print(client.authorized, client.getProtocol())" in python


STRINGS = [
    (page, line)
    for page in ALL
    for block in blocks(page)
    if block.language == "text"
    for line in block.text.splitlines()
    if line.startswith("nodetls:")
]


@pytest.mark.parametrize(("page", "line"), STRINGS)
def test_every_endpoint_string_is_understood(
    page: str, line: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory)
    parse = serverFromString if "key=" in line or "pskFile=psk:server" in line else clientFromString
    parse(reactor, line)


WEB = [
    (page, block.text)
    for page in ALL
    for block in blocks(page)
    if block.language == "sh" and block.text.startswith("twistd -n web")
]


@pytest.mark.parametrize(("page", "command"), WEB)
def test_every_command_for_a_web_server_serves(page: str, command: str, directory: Path) -> None:
    requireModule("h2")
    port = unusedPort()
    words = shlex.split(command.replace("8443", str(port)))
    trusting = ssl.create_default_context(cafile=str(directory / "client.pem"))
    with Twistd(*words[2:], cwd=directory) as server:
        server.waitFor("starting on")
        asking = http.client.HTTPSConnection("localhost", port, timeout=30, context=trusting)
        asking.request("GET", "/")
        assert asking.getresponse().read() == b"<p>a page</p>"
        asking.close()


DAEMON = [
    (page, block.text)
    for page in ALL
    for block in blocks(page)
    if block.language == "sh" and block.text.startswith("twistd -n nodetls")
]


@pytest.mark.parametrize(("page", "command"), DAEMON)
def test_every_command_for_a_daemon_listens(page: str, command: str, directory: Path) -> None:
    port = unusedPort()
    # On the loopback and a free port, whatever it says.
    here = command.replace("\\\n", " ").replace("8443", str(port))
    words = shlex.split(here.replace("0.0.0.0", "127.0.0.1"))[2:]
    if "--port" not in words and "--config" not in words:
        words += ["--port", str(port)]
    with Twistd(*words, cwd=directory) as daemon:
        daemon.waitFor(f"listening on 127.0.0.1:{port}")


FILES_OF_DAEMON = [
    (page, block.text) for page in ALL for block in blocks(page) if block.language == "toml"
]


@pytest.mark.parametrize(("page", "text"), FILES_OF_DAEMON)
def test_every_file_for_a_daemon_is_a_good_one(page: str, text: str, directory: Path) -> None:
    # What is in the system's directory is in one here.
    system = directory / "etc"
    (system / "certs").mkdir(parents=True, exist_ok=True)
    key, cert, ca = (
        (directory / name).read_bytes() for name in ("server.key", "server.pem", "client.pem")
    )
    files = {"staff.key": key, "staff.pem": cert, "staff-ca.pem": ca, "internal-ca.pem": ca}
    for name, content in {**files, "certs/all.pem": key + cert}.items():
        (system / name).write_bytes(content)
    (directory / "nodetls.toml").write_text(text.replace("/etc/nodetls", str(system)))
    status, told = run("nodetls", "--config", "nodetls.toml", "--test-config", cwd=directory)
    assert status == 0, told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nobody.knows(this)", "name 'nobody' is not defined"),
        ("import warnings; warnings.warn('an option', UserWarning)", "an option"),
        ("await tls.connect(1, '127.0.0.1').whenSecure()", "ECONNREFUSED"),
    ],
)
def test_a_block_that_fails_would_be_seen(text: str, told: str, directory: Path) -> None:
    preamble = COMMON.replace("PORT", str(unusedPort()))
    given = json.dumps({"preamble": preamble, "blocks": [text]})
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONWARNINGS": "error::UserWarning"}
    done = runTool([sys.executable, str(RUNNER), given], cwd=directory, env=environment)
    assert done.returncode == 1
    assert told in done.stderr.decode()
