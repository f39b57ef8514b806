"""The doctor tells what is there, what is missing, and why a plugin does not load."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from txnodetls.__main__ import main
from txnodetls.doctor import _staleCaches, examine
from txnodetls.openssl import symbols


def test_a_sound_installation_is_healthy() -> None:
    report, healthy = examine()

    assert healthy
    assert "twisted.plugins.txnodetls_daemon: loads" in report
    assert "OpenSSL" in report


def test_a_plugin_that_cannot_be_imported_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "twisted.plugins.txnodetls_endpoints", None)

    report, healthy = examine()

    assert not healthy
    assert "txnodetls_endpoints: does not load: ModuleNotFoundError" in report


def test_a_function_that_cannot_be_had_is_shown_with_its_feature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(symbols.SWITCH, "off")
    monkeypatch.setattr(symbols, "_lookup", symbols._Lookup())

    report, healthy = examine()

    assert healthy
    assert "getEphemeralKeyInfo    not everything" in report


def test_a_cache_older_than_the_plugin_is_pointed_out(tmp_path: Path) -> None:
    plugin, cache = tmp_path / "plugin.py", tmp_path / "dropin.cache"
    plugin.touch()
    cache.touch()
    os.utime(cache, (1, 1))

    (remark,) = _staleCaches(plugin)

    assert str(cache) in remark


def test_no_cache_and_a_fresh_one_are_no_matter(tmp_path: Path) -> None:
    plugin, cache = tmp_path / "plugin.py", tmp_path / "dropin.cache"
    plugin.touch()
    assert not list(_staleCaches(plugin))
    os.utime(plugin, (1, 1))
    cache.touch()

    assert not list(_staleCaches(plugin))


def test_the_command_prints_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0

    assert "Features" in capsys.readouterr().out


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nurse"])

    assert "invalid choice" in capsys.readouterr().err
