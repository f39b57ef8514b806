"""The manual page: it has everything, in lines that fit."""

from __future__ import annotations

import pytest

from tests.support import PROJECT
from txnodetls.daemon.manual import manual
from txnodetls.daemon.settings import SETTINGS


def test_every_setting_is_explained() -> None:
    page = manual()
    for name, setting in SETTINGS.items():
        assert f"--{name}" in page
        assert setting.help.endswith(".")
        assert setting.help != "As Node's."


@pytest.mark.parametrize("width", [80, 100])
def test_lines_fit(width: int) -> None:
    assert max(map(len, manual(width).splitlines())) <= width


def test_it_says_how_to_begin_and_how_it_ends() -> None:
    page = manual()
    for title in ("NAME", "SYNOPSIS", "DESCRIPTION", "SIGNALS", "EXIT STATUS", "EXAMPLES"):
        assert f"\n{title}\n" in f"\n{page}"


def test_the_page_for_operators_has_every_setting_with_its_default() -> None:
    text = (PROJECT / "docs" / "operators.md").read_text()
    for name, setting in SETTINGS.items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
        if setting.default:
            assert setting.default.replace("|", "\\|") in row
