"""
An interpreter that every user can run, with all that the daemon needs, wherever this one is.

Often the tests' Python, their environment and the project lie below somebody's home directory,
where a daemon that has given up its rights finds nothing any more.  Then they are put together
again, as links, in a directory that everyone can enter.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

from tests.support import PROJECT, runTool

__all__ = ["NOBODY", "Interpreter", "interpreterForEveryone"]

NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python: C{path}, and what it needs in its environment."""

    path: str
    environment: dict[str, str]

    def runsForNobody(self) -> bool:
        """Whether a user with no rights at all can start a worker with it."""
        done = runTool(
            ["/usr/bin/env", self.path, "-c", "import txnodetls.daemon.runtime"],
            env=os.environ | self.environment,
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            cwd="/",
        )
        return done.returncode == 0


def interpreterForEveryone(directory: Path) -> Interpreter:
    """This one, if it will do; else one in this directory, which everyone can enter."""
    here = Interpreter(sys.executable, {"PYTHONPATH": str(PROJECT)})
    if here.runsForNobody():
        return here
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    binary, stdlib = directory / "bin" / version, directory / "lib" / version
    binary.parent.mkdir()
    _link(os.path.realpath(sys.executable), binary)
    _linkTree(Path(sysconfig.get_path("stdlib")), stdlib)
    for library in Path(sysconfig.get_config_var("LIBDIR") or "/absent").glob("libpython*.so*"):
        _link(library, directory / "lib" / library.name)
    ours = directory / "ours"
    _linkTree(PROJECT / "txnodetls", ours / "txnodetls")
    _linkTree(PROJECT / "twisted", ours / "twisted")
    _linkDistributions("txnodetls", ours, set())
    made = Interpreter(
        str(binary),
        {
            "PYTHONHOME": str(directory),
            "PYTHONPATH": str(ours),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LD_LIBRARY_PATH": str(directory / "lib"),
        },
    )
    assert made.runsForNobody()
    return made


def _link(source: str | Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileExistsError:
        pass
    except OSError:  # it is on another disk
        shutil.copy2(source, target)


def _linkTree(source: Path, target: Path) -> None:
    leaving = shutil.ignore_patterns("test", "tests", "site-packages", "idlelib", "tkinter")
    shutil.copytree(
        source,
        target,
        ignore=leaving,
        copy_function=lambda one, other: _link(one, Path(other)),
        dirs_exist_ok=True,
    )


def _linkDistributions(name: str, target: Path, done: set[str]) -> None:
    """What this distribution needs, and what that needs in turn."""
    for text in distribution(name).requires or []:
        requirement = Requirement(text)
        marker, key = requirement.marker, requirement.name.lower()
        if key in done or (marker is not None and not marker.evaluate({"extra": ""})):
            continue
        done.add(key)
        try:
            found = distribution(key)
        except PackageNotFoundError:
            continue
        for file in found.files or []:
            if ".." not in file.parts and "test" not in file.parts:
                _link(Path(str(file.locate())), target / file)
        _linkDistributions(key, target, done)
