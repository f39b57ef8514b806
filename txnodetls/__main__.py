"""
C{python -m txnodetls}: what one wants to know of an installation, and of a server.

    python -m txnodetls doctor              versions, OpenSSL, features of this platform, plugins
    python -m txnodetls connect HOST:PORT   a server: its certificates, and whether to trust it
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run a command.

    @return: the exit status: 0, or 1 if something is wrong; C{connect} has more of them
        (L{txnodetls.command.connect}).
    """
    parser = argparse.ArgumentParser(prog="python -m txnodetls", description="Node's TLS.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("doctor", help="explain this installation")
    connecting = commands.add_parser(
        "connect",
        help="connect to a server, and say who it is",
        allow_abbrev=False,
        epilog="Exit status: 0 trusted, 1 not trusted, 2 bad usage, 3 no connection.",
    )
    from txnodetls.command import connect

    connect.addArguments(connecting)
    given = parser.parse_args(arguments)
    if given.command == "connect":
        return connect.run(given, connecting)
    from txnodetls.doctor import examine

    report, healthy = examine()
    sys.stdout.write(report)
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main())
