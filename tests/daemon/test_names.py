"""Which name leads where."""

from __future__ import annotations

import pytest

from txnodetls.daemon.names import NameTable, matches, wrongName


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a.example", 1),
        ("A.EXAMPLE", 1),
        ("a.example.", 1),
        ("x.b.example", 2),
        ("known.b.example", 3),
        ("b.example", None),
        ("y.x.b.example", None),
        (".b.example", 2),
        ("", None),
        ("example", None),
        ("*.b.example", 2),
    ],
)
def test_a_name_is_found_or_the_wildcard_it_fits(name: str, value: int | None) -> None:
    table = NameTable(
        [("a.example", 1), ("*.b.example", 2), ("Known.b.example", 3), ("a.example", 4)]
    )
    assert table.find(name) == value


def test_one_of_several() -> None:
    assert matches(["a.example", "*.b.example"], "x.b.example")
    assert not matches(["a.example"], "b.example")


@pytest.mark.parametrize("name", ["a..b", "*", "*.", "a.*.b", "*a.example", "**.example", ""])
def test_what_is_no_name_is_told(name: str) -> None:
    assert wrongName(name) is not None
    assert wrongName("a.example") is wrongName("*.a.example") is wrongName("localhost") is None
