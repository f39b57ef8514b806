"""
The doctor: what is installed, which OpenSSL is in use, what it can do, and
why a plugin does not load.

Twisted tells users only "Unknown endpoint type" or "Unknown command" when a
plugin fails to import, and believes its C{dropin.cache} even where the cache
is older than the plugins.
"""

from __future__ import annotations

import importlib
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from OpenSSL import SSL

from txnodetls.openssl import symbols

__all__ = ["examine"]

_PACKAGES: Final = (
    "txnodetls",
    "twisted",
    "pyOpenSSL",
    "cryptography",
    "service-identity",
    "zope.interface",
    "certifi",
    "h2",
    "txredisapi",
    "prometheus_client",
)
_PLUGINS: Final = ("twisted.plugins.txnodetls_endpoints", "twisted.plugins.txnodetls_daemon")


def examine() -> tuple[str, bool]:
    """
    Look at this installation.

    @return: the report, and whether everything that has to work does.  A
        feature that this platform cannot have is no illness.
    """
    plugins, healthy = _plugins()
    parts = [_versions(), _features(), plugins]
    return "\n".join(parts), healthy


def _versions() -> str:
    lines = ["Versions", f"  python            {platform.python_version()}"]
    for name in _PACKAGES:
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "not installed"
        lines.append(f"  {name:<17} {found}")
    openssl = SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode("ascii", "replace")
    lines.append(f"  OpenSSL           {openssl}")
    return "\n".join(lines) + "\n"


def _features() -> str:
    """Which features need functions that are not exposed, and whether they can be had."""
    missing: dict[str, list[str]] = {}
    features: set[str] = set()
    for origin in symbols.explain():
        features.update(origin.features)
        if origin.source is None:
            for feature in origin.features:
                missing.setdefault(feature, []).append(f"{origin.name}: {origin.refusal}")
    lines = ["Features that need functions which cryptography's library does not expose"]
    for feature in sorted(features):
        reasons = missing.get(feature)
        lines.append(f"  {feature:<22} {'available' if reasons is None else 'not everything'}")
        lines += [f"    {reason}" for reason in reasons or ()]
    return "\n".join(lines) + "\n"


def _plugins() -> tuple[str, bool]:
    lines = ["Plugins"]
    healthy = True
    for name in _PLUGINS:
        try:
            module = importlib.import_module(name)
        except Exception as error:
            healthy = False
            lines.append(f"  {name}: does not load: {type(error).__name__}: {error}")
            continue
        lines.append(f"  {name}: loads, from {module.__file__}")
        lines += [f"    {remark}" for remark in _staleCaches(Path(module.__file__ or ""))]
    return "\n".join(lines) + "\n", healthy


def _staleCaches(plugin: Path) -> Iterator[str]:
    cache = plugin.parent / "dropin.cache"
    try:
        if cache.stat().st_mtime < plugin.stat().st_mtime:
            yield (
                f"{cache} is older than the plugin: remove it, and run "
                "'twistd --help' once as a user who may write there"
            )
    except FileNotFoundError:
        # Twisted makes one when it may write there, and does without otherwise.
        return
