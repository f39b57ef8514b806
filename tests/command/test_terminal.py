"""Colours on a terminal only; nothing that a terminal would obey."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txnodetls.command.terminal import PLAIN, Palette, paletteFor, printable


class Output:
    def __init__(self, terminal: bool) -> None:
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize(
    ("choice", "terminal", "environment", "coloured"),
    [
        ("auto", True, {}, True),
        ("auto", True, {"TERM": "xterm"}, True),
        ("auto", False, {}, False),
        ("auto", True, {"TERM": "dumb"}, False),
        ("auto", True, {"NO_COLOR": "1"}, False),
        ("auto", True, {"NO_COLOR": ""}, True),
        ("always", False, {"NO_COLOR": "1"}, True),
        ("never", True, {}, False),
    ],
)
def test_when_there_are_colours(
    choice: str, terminal: bool, environment: dict[str, str], coloured: bool
) -> None:
    assert paletteFor(choice, Output(terminal), environment).coloured is coloured


def test_a_colour_is_put_on_and_taken_off() -> None:
    palette = Palette(True)
    for colour in (palette.good, palette.bad, palette.strong, palette.dim):
        assert colour("x").startswith("\x1b[")
        assert colour("x").endswith("mx\x1b[0m")
        assert colour("") == ""
    assert PLAIN.bad("x") == "x"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("example.test", "example.test"),
        ("bücher 日本", "bücher 日本"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\r\tc\0", "a\\nb\\r\\tc\\x00"),
        ("a\x9bb\x7f", "a\\x9bb\\x7f"),
        ("abc\u202etxt.exe", "abc\\u202etxt.exe"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("a\ud800b", "a\\ud800b"),
        ("x" * 401, "x" * 400 + "… (1 more)"),
    ],
)
def test_what_a_terminal_would_obey_is_spelled_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_what_is_shown_can_be_seen(text: str) -> None:
    assert printable(text).isprintable()
