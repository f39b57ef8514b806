"""What JavaScript would say of a value."""

from __future__ import annotations

import math
from typing import Any

import pytest

from txnodetls.javascript import isInteger, isNumber, isTrue


@pytest.mark.parametrize("value", [None, False, 0, -0.0, math.nan, ""])
def test_what_is_false(value: Any) -> None:
    assert not isTrue(value)


@pytest.mark.parametrize("value", [True, 1, -0.5, math.inf, 10**400, "0", b"", [], {}, object()])
def test_what_is_true(value: Any) -> None:
    assert isTrue(value)


@pytest.mark.parametrize(
    ("value", "number", "integer"),
    [(1, True, True), (1.0, True, True), (1.5, True, False), (10**400, True, True)]
    + [(value, True, False) for value in (math.inf, math.nan)]
    + [(value, False, False) for value in (True, "1", None)],
)
def test_numbers_and_whole_ones(value: Any, number: bool, integer: bool) -> None:
    assert isNumber(value) is number
    assert (isNumber(value) and isInteger(value)) is integer
