"""A user's program, which `.ci/run` checks with mypy --strict against the public API, runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.support import PROJECT, Pki, runTool

HERE = Path(__file__).resolve().parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PROJECT)}


def test_the_program_runs(pki: Pki, tmp_path: Path) -> None:
    files = {"key.pem": pki.server.key, "cert.pem": pki.server.cert, "ca.pem": pki.ca}
    for name, pem in files.items():
        (tmp_path / name).write_bytes(pem)
    command = [sys.executable, str(HERE / "program.py"), *files]
    done = runTool(command, cwd=tmp_path, env=ENVIRONMENT)
    assert done.stderr.decode() == ""
    first, second, third = done.stdout.decode().splitlines()
    assert first == "b'node' b'twisted' b'memory'"
    assert sorted((second.split()[0], third.split()[0])) == ["ERR_INVALID_ARG_TYPE", "refused"]
