"""
C{python -m txnodetls}: what one wants to know of an installation.

    python -m txnodetls doctor      versions, OpenSSL, features of this platform, plugins
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run a command.

    @return: the exit status: 0, or 1 if something is wrong.
    """
    parser = argparse.ArgumentParser(prog="python -m txnodetls", description="Node's TLS.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("doctor", help="explain this installation")
    parser.parse_args(arguments)
    from txnodetls.doctor import examine

    report, healthy = examine()
    sys.stdout.write(report)
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main())
