"""
What the pages of the documentation show, run.

The Python of one page is one program, a block behind the other, in one process and on its
reactor; blocks may await.  What a page takes for given (keys, a server to talk to, functions of the
reader's) it gets from its preamble, in `pages.py`.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support import PROJECT

__all__ = ["DOCS", "Block", "blocks", "main"]

DOCS = PROJECT / "docs"
_BLOCK = re.compile(r"^```(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a page: the language it says it is in, and its text."""

    language: str
    text: str

    @property
    def isProgram(self) -> bool:
        """Whether it runs the reactor by itself."""
        return bool(re.search(r"^(reactor\.run\(\)|react\()", self.text, re.MULTILINE))


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in order; what Sphinx makes of `{…}` is none."""
    found = [Block(*each) for each in _BLOCK.findall((DOCS / page).read_text())]
    return [block for block in found if not block.language.startswith("{")]


def main(told: str) -> None:
    """Run what C{told} says: {'preamble': text, 'blocks': [text]}."""
    from twisted.internet.defer import Deferred
    from twisted.internet.task import deferLater, react
    from twisted.logger import LogLevel, globalLogPublisher
    from twisted.python.failure import Failure

    given = json.loads(told)
    failed: list[str] = []

    def observe(event: dict) -> None:  # type: ignore[type-arg]
        if event.get("log_level") is LogLevel.critical:
            failure = event.get("log_failure")
            failed.append(failure.getTraceback() if failure else str(event.get("log_format")))

    async def run(reactor: object) -> None:
        names: dict[str, object] = {"reactor": reactor, "__name__": "page"}
        for number, text in enumerate([given["preamble"], *given["blocks"]]):
            where = f"block {number}"
            code = compile(text, where, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, names)
            if result is not None:
                await result
            await deferLater(reactor, 0.05)  # type: ignore[arg-type]
        check = names.get("afterwards")
        if callable(check):
            await check()

    def start(reactor: object) -> Deferred[None]:
        globalLogPublisher.addObserver(observe)
        return Deferred.fromCoroutine(run(reactor)).addErrback(report)

    def report(failure: Failure) -> None:
        failed.append(failure.getTraceback())

    try:
        react(start)
    except SystemExit:
        sys.stderr.write("\n".join(failed))
        sys.stderr.flush()
        os._exit(1 if failed else 0)


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    main(sys.argv[1])
