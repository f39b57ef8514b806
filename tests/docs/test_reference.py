"""The reference names everything that is public, and is made of what the sources say."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

import pytest

import txnodetls
from tests.docs.running import DOCS
from txnodetls.twisted import creators, endpoints, web

REFERENCE = "\n".join(path.read_text() for path in sorted((DOCS / "reference").glob("*.md")))


@pytest.fixture(scope="module")
def epytext() -> Any:
    pytest.importorskip("sphinx")
    spec = importlib.util.spec_from_file_location("epytext", DOCS / "_ext" / "epytext.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", sorted(set(txnodetls.__all__) - {"constants", "net"}))
def test_every_name_of_the_module_is_there(name: str) -> None:
    assert re.search(rf"(txnodetls[\w.]*\.|py:data:: |members:.*\b){name}\b", REFERENCE)


def test_so_is_the_twisted_face() -> None:
    internal = {"SecuredConnection", "connectFailure", "reactorOr"}
    for module in (creators, endpoints, web):
        for name in set(module.__all__) - internal:
            assert f"{module.__name__}.{name}" in REFERENCE


@pytest.mark.parametrize(
    ("epytext_", "expected"),
    [
        ("Calls C{f(x)} and L{g}.", ["Calls ``f(x)``\\  and ``g``\\ .", ""]),
        ("C{{'a': 1}} is *plain*", ["``{'a': 1}``\\  is \\*plain\\*", ""]),
        (
            "It is.\n\n@param a_b: what\n    it is.\n@return: C{x}",
            ["It is.", "", "\n:param a_b: what it is.", "\n:returns: ``x``\\", ""],
        ),
        (
            "So:\n\n    code(1)\n    more",
            ["So:", "", "::", "", "        code(1)", "        more", ""],
        ),
        ("See https://a.test/b_c.", ["See https://a.test/b_c.", ""]),
    ],
)
def test_docstrings_become_restructuredtext(
    epytext_: str, expected: list[str], epytext: Any
) -> None:
    assert epytext.converted(epytext_) == expected
