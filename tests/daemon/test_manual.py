"""The manual page: it has everything, in lines that fit."""

from __future__ import annotations

import pytest

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
    for title in ("NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS"):
        assert f"\n{title}\n" in f"\n{page}"
