"""
A server or a client under load, on a reactor of one's choice.

    on_reactor.py NAME SCRIPT [ARGUMENT…]

C{NAME} is one that C{twistd --reactor} takes.
"""

from __future__ import annotations

import runpy
import sys

from twisted.application.reactors import installReactor


def main() -> None:
    _, name, *sys.argv = sys.argv
    installReactor(name)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
