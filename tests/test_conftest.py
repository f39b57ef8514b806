"""The rules in `conftest` hold: these run small test files of their own under it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.support import PROJECT, runTool

HEADER = """
import pytest, pytest_twisted, time
from twisted.internet import defer, reactor
from twisted.logger import Logger
from tests.conftest import *
from tests.support import requireTool

@pytest.fixture
def slowToEnd():
    yield
    time.sleep(5)
"""


def runTests(directory: Path, body: str, **environment: str) -> tuple[int, str]:
    """Run these tests under the project's rules; exit status and output."""
    (directory / "conftest.py").write_text("from tests.conftest import *\n")
    (directory / "test_inner.py").write_text(HEADER + body)
    command = [sys.executable, "-m", "pytest", "-c", str(PROJECT / "pyproject.toml")]
    command += ["--rootdir", str(directory), "-p", "no:cacheprovider", "test_inner.py"]
    inherited = {key: value for key, value in os.environ.items() if key != "CI"}
    inherited["PYTHONPATH"] = str(PROJECT)
    done = runTool(command, cwd=directory, env={**inherited, **environment})
    return done.returncode, done.stdout.decode() + done.stderr.decode()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("def test_it():\n    time.sleep(5)", id="in the test's own code"),
        pytest.param(
            "@pytest_twisted.ensureDeferred\nasync def test_it():\n    await defer.Deferred()",
            id="waiting in the reactor",
        ),
        pytest.param(
            "@pytest_twisted.ensureDeferred\nasync def test_it():\n"
            "    d = defer.Deferred()\n"
            "    reactor.callLater(0, lambda: d.callback(time.sleep(30)))\n"
            "    await d",
            id="stuck in a callback",
        ),
        pytest.param(
            "@pytest_twisted.ensureDeferred\nasync def test_it():\n"
            "    d = defer.Deferred(lambda d: None)\n"
            "    reactor.callLater(0.6, d.callback, None)\n"
            "    await d",
            id="waiting for what is late",
        ),
        pytest.param("def test_it(slowToEnd):\n    pass", id="in a fixture"),
    ],
)
def test_a_test_that_hangs_fails_and_the_next_one_runs(tmp_path: Path, body: str) -> None:
    after = "\n\n@pytest_twisted.ensureDeferred\nasync def test_next():\n    pass\n"
    status, output = runTests(tmp_path, f"@pytest.mark.timeLimit(0.3)\n{body}{after}")
    assert status == 1
    assert "longer than its time limit, 0.3 s" in output
    assert "test_next" not in output.partition("short test summary")[2]
    assert "1 passed" in output or "2 passed, 1 error" in output


def test_a_failure_in_the_log_fails_the_test(tmp_path: Path) -> None:
    body = """
def test_loud():
    try:
        1 / 0
    except ZeroDivisionError:
        Logger().failure("on the side")

def test_critical():
    Logger().critical("it burns")

def test_expected(loggedErrors):
    Logger().critical("it burns")
    assert [str(e) for e in loggedErrors.flush()] == ["it burns"]
"""
    status, output = runTests(tmp_path, body)
    assert status == 1
    assert "ZeroDivisionError" in output
    assert "3 passed, 2 errors" in output


TOOL = "def test_tool():\n    requireTool('no-such-tool-anywhere')\n"


def test_a_missing_tool_skips_the_test_by_name(tmp_path: Path) -> None:
    status, output = runTests(tmp_path, TOOL)
    assert status == 0
    assert "no-such-tool-anywhere is missing" in output
    assert "1 skipped" in output


def test_a_missing_tool_is_a_failure_in_ci(tmp_path: Path) -> None:
    status, output = runTests(tmp_path, TOOL, CI="true")
    assert status == 1
    assert "no-such-tool-anywhere is missing" in output
