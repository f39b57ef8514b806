"""
The command line of C{twistd nodetls}.
"""

from __future__ import annotations

import shutil
import sys
import time
from typing import Any, NoReturn

from twisted.python import usage

from txnodetls.daemon.config import readConfig
from txnodetls.daemon.manual import manual
from txnodetls.daemon.plan import Config
from txnodetls.daemon.settings import FLAGS, SETTINGS
from txnodetls.daemon.sharing import STAYING, Rights
from txnodetls.daemon.validity import troubles
from txnodetls.daemon.written import ConfigError
from txnodetls.options import SERVER

__all__ = ["Options", "leave"]

_SHORT = {"port": "p", "interface": "i"}


class Options(usage.Options):
    """
    The command line.

    @ivar config: the L{Config}, once it is parsed.
    @ivar switches: what was given, by name.
    """

    synopsis = "[options]"
    optParameters = [
        [setting.name, _SHORT.get(setting.name), None, setting.help]
        for setting in SETTINGS.values()
        if setting.kind
    ]
    optFlags = [[name, None, SETTINGS[name].help] for name in SETTINGS if name in FLAGS]
    config: Config
    switches: dict[str, str]

    def parseOptions(self, options: Any = None) -> None:
        """
        Parse.

        @raise SystemExit: something is wrong; its text is one line that names the switch, or
            the file, line and key.
        """
        try:
            super().parseOptions(options)
        except ConfigError as error:
            leave(str(error))
        except usage.UsageError as error:
            leave(_withNearest(str(error)))

    def parseArgs(self) -> None:
        """There are none."""

    def postOptions(self) -> None:
        """Check what was given."""
        self.switches = {
            name: "yes" if name in FLAGS else value for name, value in self.items() if value
        }
        rights = STAYING if self.parent is None else Rights.given(self.parent)
        self.config = readConfig(self.switches, rights=rights)
        if self["test-config"]:
            for listener in self.config.listeners:
                sys.stdout.write(f"{listener.name}: {listener.serving}\n")
            days, now = self.config.own.certWarning, time.time()
            validities = [
                each for listener in self.config.listeners for each in listener.validities
            ]
            for warning in [*self.config.warnings, *troubles(validities, now, days)]:
                sys.stderr.write(f"warning: {warning}\n")
            sys.stdout.write("the configuration is good\n")
            raise SystemExit(0)

    def getUsage(self, width: int | None = None) -> str:
        """The manual page."""
        return manual(width or shutil.get_terminal_size().columns)

    def getSynopsis(self) -> str:
        """Nothing: the page has it."""
        return ""


def leave(problem: str) -> NoReturn:
    """End the program with one line about what is wrong, and status 1."""
    raise SystemExit(f"twistd nodetls: {problem}")


def _withNearest(problem: str) -> str:
    """getopt's text about an unknown switch, with the nearest known one."""
    words = problem.split()
    if words[:1] == ["option"] and "not recognized" in problem:
        name = words[1].lstrip("-")
        nearest = SERVER.nearest(name, list(SETTINGS))
        hint = f"; did you mean --{nearest}?" if nearest else ""
        return f"--{name}: unknown{hint} (all of them: twistd nodetls --help)"
    return problem
