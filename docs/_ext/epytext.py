"""
The API reference out of what the sources say: docstrings in epytext, zope interfaces, tables of
options.

Docstrings here are Twisted's kind: C{code}, L{references}, and fields with an @.  Of that
reStructuredText is made, with everything else in them taken as plain text.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from zope.interface import Attribute
from zope.interface.interface import InterfaceClass, Method

_FIELDS = {
    "param": "param",
    "return": "returns",
    "raise": "raises",
    "ivar": "ivar",
    "cvar": "cvar",
    "type": "type",
}
_FIELD = re.compile(r"@(\w+)(?: ([\w.*]+))?:\s*(.*)")
_URL = re.compile(r"https?://\S+")


def _braces(text: str, start: int) -> int:
    """Where the brace that opens at C{start} is closed; -1: in a later line."""
    depth = 0
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return position
    return -1


def inline(text: str) -> str:
    """One paragraph of epytext as reStructuredText."""
    parts: list[str] = []
    position = 0
    for found in re.finditer(r"\b[CLIBU]\{", text):
        if found.start() < position:
            continue
        end = _braces(text, found.end() - 1)
        if end < 0:
            continue
        parts.append(_plain(text[position : found.start()]))
        # What follows a literal directly would belong to it.
        parts.append(f"``{text[found.end() : end].strip()}``\\ ")
        position = end + 1
    parts.append(_plain(text[position:]))
    return "".join(parts).rstrip()


def _plain(text: str) -> str:
    def escape(part: str) -> str:
        return re.sub(r"([\\*`|_])", r"\\\1", part)

    ends = [match.span() for match in _URL.finditer(text)]
    position, parts = 0, []
    for start, end in ends:
        parts += [escape(text[position:start]), text[start:end]]
        position = end
    return "".join([*parts, escape(text[position:])])


def converted(docstring: str) -> list[str]:
    """The lines of a docstring, cleaned of its indentation, as reStructuredText."""
    found: list[str] = []
    for block in re.split(r"\n[ ]*\n", docstring.strip("\n")):
        found += [*_block(block.split("\n")), ""]
    return found


def _block(lines: list[str]) -> Iterator[str]:
    if lines[0].startswith(" "):
        # Examples and little tables stand indented.
        yield "::"
        yield ""
        yield from (f"    {line}" for line in lines)
        return
    paragraph: list[str] = []
    code: list[str] = []
    for line in lines:
        if line.startswith("@") and paragraph:
            yield _paragraph(paragraph)
            paragraph = []
        if line.startswith("    ") and paragraph and not paragraph[0].startswith("@"):
            code.append(line)
        else:
            paragraph.append(line.strip())
    yield _paragraph(paragraph)
    if code:
        yield from ["", "::", "", *(f"    {line}" for line in code)]


def _paragraph(lines: list[str]) -> str:
    text = " ".join(lines)
    field = _FIELD.match(text)
    if field is None or field[1] not in _FIELDS:
        return inline(text)
    name = f" {field[2]}" if field[2] else ""
    # A field is a list's entry: an empty line before the first one ends what precedes it.
    return f"\n:{_FIELDS[field[1]]}{name}: {inline(field[3])}"


def _process(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    text = [piece for line in converted("\n".join(lines)) for piece in line.split("\n")]
    lines[:] = text


class _Generated(SphinxDirective):
    """A directive whose argument names something that reStructuredText is made of."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        lines = [piece for line in self.lines(self.arguments[0]) for piece in line.split("\n")]
        node = nodes.section()
        node.document = self.state.document
        self.state.nested_parse(StringList(lines, source=self.arguments[0]), 0, node)
        return node.children

    def lines(self, argument: str) -> Iterator[str]:
        raise NotImplementedError


class ZopeInterface(_Generated):
    """`zope-interface:: module.IName`: its attributes and methods."""

    def lines(self, argument: str) -> Iterator[str]:
        module, _, name = argument.rpartition(".")
        interface: InterfaceClass = getattr(importlib.import_module(module), name)
        yield f".. py:class:: {argument}"
        yield ""
        yield from self._indented(interface.__doc__)
        for member, about in interface.namesAndDescriptions():
            if isinstance(about, Method):
                yield f"   .. py:method:: {member}{about.getSignatureString()}"
            elif isinstance(about, Attribute):
                yield f"   .. py:attribute:: {member}"
            yield ""
            yield from self._indented(about.__doc__, "      ")

    def _indented(self, docstring: str | None, by: str = "   ") -> Iterator[str]:
        for line in converted(inspect.cleandoc(docstring or "")):
            for piece in line.split("\n"):
                yield by + piece if piece else ""


class OptionTable(_Generated):
    """`option-table:: SERVER`: what options there are, and how a text writes them."""

    def lines(self, argument: str) -> Iterator[str]:
        from txnodetls import options

        table = getattr(options, argument)
        yield ".. list-table::"
        yield "   :header-rows: 1"
        yield "   :widths: 30 20 50"
        yield ""
        yield from self._row("option", "takes", "in a text")
        for name in sorted(table, key=str.lower):
            option = table[name]
            if option.parse is None:
                text = option.refusal
            else:
                documentation = inspect.getdoc(option.parse) or ""
                text = documentation.split("\n\n", 1)[0]
            yield from self._row(f"``{name}``", option.kind, inline(" ".join(text.split())))
        for name, file in sorted(table.files.items()):
            text = inspect.getdoc(file.parse) or ""
            what = inline(" ".join(text.split("\n\n", 1)[0].split()))
            yield from self._row(f"``{name}``", f"``{file.option}`` out of a file", what)

    def _row(self, *cells: str) -> Iterator[str]:
        for number, cell in enumerate(cells):
            yield f"   {'*' if number == 0 else ' '} - {cell}"


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", _process)
    # An interface is no class to Python, and would be shown by its repr in signatures.
    InterfaceClass.__repr__ = lambda interface: interface.__name__
    app.add_directive("zope-interface", ZopeInterface)
    app.add_directive("option-table", OptionTable)
    return {"version": "1", "parallel_read_safe": True}
