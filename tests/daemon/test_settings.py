"""The settings: the texts that they take, and that the table is whole."""

from __future__ import annotations

import pytest

from txnodetls.daemon.settings import (
    DEFAULTS,
    GROUPS,
    OWN,
    ROUTE_ONLY,
    SETTINGS,
    SWITCH_ONLY,
    Scope,
    count,
    milliseconds,
    oneOf,
    patience,
    seconds,
)


@pytest.mark.parametrize("parse", [milliseconds, seconds])
def test_times_are_not_negative_and_come_to_an_end(parse: object) -> None:
    assert parse("1.5") == 1.5  # type: ignore[operator]
    assert parse("0") == 0  # type: ignore[operator]
    for text in ("-1", "inf", "nan", "soon", ""):
        with pytest.raises(ValueError, match="is not a"):
            parse(text)  # type: ignore[operator]


def test_nobody_is_asked_to_answer_in_less_than_a_second() -> None:
    assert [patience(each) for each in ("0", "1000", "90000")] == [0, 1000, 90_000]
    for text in ("999", "0.5", "-1"):
        with pytest.raises(ValueError, match=r"is less than a second|is not a time"):
            patience(text)


def test_counts_are_whole_and_not_negative() -> None:
    assert count("12") == 12
    for text in ("-1", "1.5", "many"):
        with pytest.raises(ValueError, match=r"is negative|is not a whole number"):
            count(text)


def test_a_choice_names_what_there_is() -> None:
    assert oneOf("a", "b")("b") == "b"
    with pytest.raises(ValueError, match="'c' is none of a, b"):
        oneOf("a", "b")("c")


def test_each_has_a_heading_and_its_defaults_belong_to_one_of_the_daemons_own() -> None:
    assert {setting.group for setting in SETTINGS.values()} == set(GROUPS)
    assert all(name == setting.name for name, setting in SETTINGS.items())
    assert all(name in OWN for name in DEFAULTS)
    assert all(SETTINGS[name].scope is Scope.ROUTE for name in ROUTE_ONLY)
    assert all(SETTINGS[name].scope is Scope.PROCESS for name in SWITCH_ONLY)
