"""The doctor tells what is there, what is missing, and why a plugin does not load."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import pytest
from twisted.plugin import CachedDropin, CachedPlugin

from tests.support import runPython
from txnodetls.__main__ import main
from txnodetls.doctor import _hiding, _staleCaches, examine
from txnodetls.errors import NodeError
from txnodetls.openssl import symbols


def test_a_sound_installation_is_healthy() -> None:
    report, healthy = examine()

    assert healthy
    assert "twisted.plugins.txnodetls_daemon: found by Twisted" in report
    assert "OpenSSL" in report


def test_a_plugin_that_cannot_be_imported_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "twisted.plugins.txnodetls_endpoints", None)

    report, healthy = examine()

    assert not healthy
    assert "txnodetls_endpoints does not load: ModuleNotFoundError" in report


def test_a_function_that_cannot_be_had_is_shown_with_its_feature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(symbols.SWITCH, "off")
    monkeypatch.setattr(symbols, "_lookup", symbols._Lookup())

    report, healthy = examine()

    assert healthy
    assert "getEphemeralKeyInfo    not everything" in report


def cacheOf(plugin: Path, *names: str) -> Path:
    """A cache beside a plugin, newer than it, that says that these are in it."""
    entry = CachedDropin(f"twisted.plugins.{plugin.stem}", None)
    entry.plugins = [CachedPlugin(entry, name, None, []) for name in names]
    cache = plugin.parent / "dropin.cache"
    cache.write_bytes(pickle.dumps({plugin.stem: entry}))
    plugin.touch()
    os.utime(plugin, (1, 1))
    return cache


def test_a_cache_that_hides_what_is_in_the_plugin_is_pointed_out(tmp_path: Path) -> None:
    cache = cacheOf(tmp_path / "plugin.py", "something_older")

    (remark,) = _staleCaches(tmp_path / "plugin.py")

    assert remark.startswith("stale cache: it hides")
    assert str(cache) in remark


@pytest.mark.parametrize("content", [b"", b"no pickle"])
def test_a_cache_that_cannot_be_renewed_is_pointed_out(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plugin.py").touch()
    (tmp_path / "dropin.cache").write_bytes(content)
    assert not list(_staleCaches(tmp_path / "plugin.py"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)

    (remark,) = _staleCaches(tmp_path / "plugin.py")

    assert "cannot renew it" in remark


def test_no_cache_and_a_good_one_are_no_matter(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.touch()
    assert not list(_staleCaches(plugin))
    cacheOf(plugin, "nodetls")

    assert not list(_staleCaches(plugin))


def test_a_cache_that_hides_a_plugin_makes_it_unhealthy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("twisted.plugin.getPlugins", lambda interface: [])

    report, healthy = examine()

    assert not healthy
    assert "loads, but Twisted does not find it" in report


def test_an_init_file_that_hides_the_plugins_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "twisted" / "plugins"
    directory.mkdir(parents=True)
    (directory / "txnodetls_endpoints.py").touch()
    (directory / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])

    (remark,) = _hiding("twisted.plugins.txnodetls_endpoints")
    assert remark == f"{directory / '__init__.py'} hides it: remove that file"

    (directory / "__init__.py").unlink()
    (remark,) = _hiding("twisted.plugins.txnodetls_endpoints")
    assert "was added behind the import of Twisted" in remark


def test_versions_of_tls_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    report, healthy = examine()
    assert healthy
    assert "TLSv1.2           works" in report
    assert "TLSv1.3           works" in report
    assert "X25519" in report

    def fails(protocol: str) -> None:
        raise NodeError("not today", "ERR_SSL_SOMETHING")

    monkeypatch.setattr("txnodetls.doctor._shakeHands", fails)
    report, healthy = examine()
    assert not healthy
    assert "TLSv1.3           does not work: ERR_SSL_SOMETHING: not today" in report


def test_an_extra_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "txredisapi", None)
    assert "Redis: not here: pip install 'txnodetls[redis]'" in examine()[0]


def test_it_installs_no_reactor() -> None:
    code = (
        "import sys; from txnodetls.doctor import examine; examine(); "
        "sys.exit('twisted.internet.reactor' in sys.modules)"
    )
    done = runPython(code)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_command_prints_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0

    assert "Features" in capsys.readouterr().out


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nurse"])

    assert "invalid choice" in capsys.readouterr().err
