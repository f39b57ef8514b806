"""`docs/node-parity.md` tells the truth: what it calls done is there, the tests it names exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

import txnodetls as tls
from tests.support import PROJECT

PAGE = (PROJECT / "docs" / "node-parity.md").read_text()
STATUSES = {"done", "differs", "none", "pending", "refused"}


def rows(heading: str) -> list[tuple[str, str, str]]:
    """The rows of the table under a heading: member, status, remark."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    return [(row[0], row[1], row[2]) for row in cells[2:] if len(row) == 3]


TABLES = [
    title
    for title in re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    if title != "What documents say and Node 24 does not"
]


@pytest.mark.parametrize("heading", TABLES)
def test_every_row_has_a_status(heading: str) -> None:
    table = rows(heading)
    assert table
    assert {status for _, status, _ in table} <= STATUSES


def members(heading: str) -> list[str]:
    """The names of what is called done under a heading, options and events left out."""
    return [
        name
        for cell, status, _ in rows(heading)
        if status in ("done", "differs") and not cell.startswith(("option", "`'", "`TLSSocket("))
        for name in re.findall(r"`([A-Za-z]\w*)(?:\([^`]*\))?`", cell)
    ]


@pytest.fixture
def socket() -> Iterator[tls.TLSSocket]:
    """A socket that is not connected to anything."""
    made = tls.TLSSocket(tls.net.Socket())
    made.on("error", lambda error: None)
    yield made
    made.destroy()


def absent(heading: str, holder: object) -> list[str]:
    """What is called done under a heading, and is not there."""
    names = members(heading)
    assert names
    return [name for name in names if not hasattr(holder, name)]


def test_what_is_called_done_of_the_module_is_there() -> None:
    assert absent("The module", tls) == []


def test_what_is_called_done_of_server_is_there() -> None:
    assert absent("`Server`", tls.Server({})) == []


def test_what_is_called_done_of_tlssocket_is_there(socket: tls.TLSSocket) -> None:
    assert absent("`TLSSocket`", socket) == []


@cache
def functionsOf(path: str) -> set[str]:
    """The tests of a file, those in classes too."""
    tree = ast.parse((PROJECT / path).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    return {node.name for body in bodies for node in body if isinstance(node, kinds)}


def test_the_tests_that_it_names_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) >= 6
    for path, function in named:
        assert function in functionsOf(path), f"{path}::{function}"


def test_a_difference_that_is_there_names_its_test() -> None:
    for what, status, remark in rows("Deliberate differences"):
        if status == "differs":
            assert "::test_" in remark, what


@pytest.mark.parametrize("heading", TABLES)
def test_whatever_is_there_names_the_test_that_covers_it(heading: str) -> None:
    for what, status, remark in rows(heading):
        if status in ("done", "differs", "refused"):
            assert re.search(r"`tests/[\w/]+\.py::test_\w+`", remark), what
        else:
            assert len(remark) > 10, what


def test_each_of_nodes_tests_has_one_row_with_a_test_or_a_reason() -> None:
    table = rows("Node's own tests")
    listed = [file.strip("`") for file, _, _ in table]
    known = (PROJECT / "tests" / "conformance" / "node-tests.txt").read_text().split()
    assert sorted(listed) == sorted(known)
    for file, status, remark in table:
        if status == "none":
            assert len(remark) > 20, file
        elif status == "pending":
            assert remark, file
        else:
            assert "::test_" in remark, file


def test_every_member_of_the_contract_has_a_row() -> None:
    """The contract's members, by their names; several stand in one row."""
    cells = "\n".join(cell for title in TABLES for cell, _, _ in rows(title))
    named = set(re.findall(r"[A-Za-z_]\w*", cells))
    members = (PROJECT / "tests" / "conformance" / "members.txt").read_text().split()
    assert [name for name in members if name not in named] == []
