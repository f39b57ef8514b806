"""
The doctor: what is installed, which OpenSSL is in use, what this platform can
do, and why a plugin does not load.

Twisted tells users only "Unknown endpoint type" or "Unknown command" when a
plugin fails to import, and believes its C{dropin.cache} where that is newer
than the plugins, whatever it says of them.

What is said here was tried: versions of TLS by a handshake in memory, groups
by making a context, sockets by binding one on the loopback.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pickle
import platform
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

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
_VERSIONS: Final = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
# Without these nothing else is of use.
_NEEDED: Final = ("TLSv1.2", "TLSv1.3")
_GROUPS: Final = ("X25519MLKEM768", "X25519", "P-256", "P-384", "X448")
# Each plugin's module, and what Twisted has to find in it.
_PLUGINS: Final = {
    "twisted.plugins.txnodetls_endpoints": "endpoint strings 'nodetls:'",
    "twisted.plugins.txnodetls_daemon": "command 'twistd nodetls'",
}


def examine() -> tuple[str, bool]:
    """
    Look at this installation.

    @return: the report, and whether everything that has to work does.  A
        feature that this platform cannot have is no illness.
    """
    parts = (_versions, _tls, _features, _platform, _plugins)
    reports = [part() for part in parts]
    return "\n".join(report for report, _ in reports), all(well for _, well in reports)


def _versions() -> tuple[str, bool]:
    lines = ["Versions", _entry("python", f"{platform.python_version()}, {sys.executable}")]
    well = True
    for name in _PACKAGES:
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "not installed"
        lines.append(_entry(name, found))
    lines.append(_entry("OpenSSL", SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode("ascii")))
    lines.append(_entry("  built", SSL.SSLeay_version(SSL.SSLEAY_PLATFORM).decode("ascii")))
    if os.environ.get("OPENSSL_CONF"):
        lines.append(_entry("  configured by", os.environ["OPENSSL_CONF"]))
    return "\n".join(lines) + "\n", well


def _entry(name: str, text: str) -> str:
    return f"  {name:<17} {text}"


def _tls() -> tuple[str, bool]:
    """What TLS there is: versions, groups, who is trusted."""
    from txnodetls import getCACertificates

    spoken = {each: _attempted(_shakeHands, each) for each in _VERSIONS}
    groups = {each: _attempted(_makeContext, each) for each in _GROUPS}
    lines = ["TLS"]
    lines += [_entry(each, refusal or "works") for each, refusal in spoken.items()]
    have = [each for each, refusal in groups.items() if refusal is None]
    lines.append(_entry("groups", ", ".join(have) or "none"))
    trusted = [f"{len(getCACertificates(kind))} {kind}" for kind in ("bundled", "system", "extra")]
    lines.append(_entry("authorities", ", ".join(trusted)))
    return "\n".join(lines) + "\n", not any(spoken[each] for each in _NEEDED)


def _attempted(attempt: Callable[[str], object], what: str) -> str | None:
    """Why it did not work, or None."""
    try:
        attempt(what)
    except Exception as error:
        return f"does not work: {getattr(error, 'code', None) or type(error).__name__}: {error}"
    return None


def _shakeHands(protocol: str) -> None:
    from txnodetls.testing import MemoryPair, throwawayCertificate

    cert, key = throwawayCertificate("localhost")
    # The old versions are there for whoever lowers the level of security, and only so.
    only = {"minVersion": protocol, "maxVersion": protocol, "ciphers": "DEFAULT@SECLEVEL=0"}
    pair = MemoryPair({"cert": cert, "key": key, **only}, {"rejectUnauthorized": False, **only})
    failed: list[Exception] = []
    pair.client.on("error", failed.append)
    pair.pump()
    if failed:
        raise failed[0]
    if pair.client.getProtocol() != protocol or pair.client.secureConnecting:
        raise RuntimeError("the handshake does not come to its end")


def _makeContext(group: str) -> None:
    from txnodetls import createSecureContext

    createSecureContext(ecdhCurve=group)


def _features() -> tuple[str, bool]:
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
    return "\n".join(lines) + "\n", True


def _platform() -> tuple[str, bool]:
    """What the system and the extras add."""
    from twisted.internet import default

    # The name alone: to import a reactor is to install it.
    usual = default.install.__module__.rpartition(".")[2]
    own = "of our own" if os.name == "posix" else "Twisted's, the plain way"
    lines = [
        "Platform",
        _entry("system", platform.platform()),
        _entry("usual reactor", f"{usual}, with sockets {own}"),
        _entry("IPv6", _bound("AF_INET6", "::1")),
        _entry("UNIX sockets", "available" if hasattr(socket, "AF_UNIX") else "not here"),
        _entry("reusePort", "available" if hasattr(socket, "SO_REUSEPORT") else "not here"),
        _entry("HTTP/2", _extra("http2", "h2", "priority")),
        _entry("session stores", "memory, memcached, Redis: " + _extra("redis", "txredisapi")),
        _entry("metrics", _extra("metrics", "prometheus_client")),
    ]
    return "\n".join(lines) + "\n", True


def _bound(family: str, address: str) -> str:
    try:
        with socket.socket(getattr(socket, family), socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except (AttributeError, OSError) as error:
        return f"not here: {error}"
    return "available"


def _extra(extra: str, *modules: str) -> str:
    for name in modules:
        # Found, not imported: some of them install a reactor.
        if importlib.util.find_spec(name) is None:
            return f"not here: pip install 'txnodetls[{extra}]'"
    return "available"


def _plugins() -> tuple[str, bool]:
    lines = ["Plugins"]
    healthy = True
    for name, what in _PLUGINS.items():
        try:
            module = importlib.import_module(name)
        except Exception as error:
            healthy = False
            lines.append(f"  {what}: {name} does not load: {_told(error)}")
            lines += [f"    {remark}" for remark in _hiding(name)]
            continue
        found = _foundBy(name)
        healthy = healthy and found
        state = "found by Twisted" if found else "loads, but Twisted does not find it"
        lines.append(f"  {what}: {name}: {state}")
        lines.append(f"    loads, from {module.__file__}")
        lines += [f"    {remark}" for remark in _staleCaches(Path(module.__file__ or ""))]
    return "\n".join(lines) + "\n", healthy


def _told(error: Exception) -> str:
    """An error, and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"


def _foundBy(name: str) -> bool:
    """Whether Twisted's own look-up gives what is in this module."""
    from twisted.application.service import IServiceMaker
    from twisted.internet.interfaces import IStreamServerEndpointStringParser
    from twisted.plugin import getPlugins

    if name.endswith("_daemon"):
        return any(each.tapname == "nodetls" for each in getPlugins(IServiceMaker))
    return any(each.prefix == "nodetls" for each in getPlugins(IStreamServerEndpointStringParser))


def _hiding(name: str) -> Iterator[str]:
    """Files of a plugin that is not found, in directories where Twisted does not look."""
    import twisted.plugins

    looked = {os.path.realpath(each) for each in twisted.plugins.__path__}
    file = f"{name.rpartition('.')[2]}.py"
    for entry in sys.path:
        directory = Path(entry or ".") / "twisted" / "plugins"
        if not (directory / file).exists() or os.path.realpath(directory) in looked:
            continue
        if (directory / "__init__.py").exists():
            yield f"{directory / '__init__.py'} hides it: remove that file"
        else:
            yield f"{directory / file} is there, but was added behind the import of Twisted"


def _staleCaches(plugin: Path) -> Iterator[str]:
    """What is wrong with Twisted's cache beside a plugin."""
    cache = plugin.parent / "dropin.cache"
    renew = f"{cache}: remove it, and run 'twistd --help' once as a user who may write there"
    try:
        modified = cache.stat().st_mtime
        # As Twisted itself reads it, and from the same place.
        cached: dict[str, Any] = pickle.loads(cache.read_bytes())  # noqa: S301
        entry = cached.get(plugin.stem)
        names = None if entry is None else {each.name for each in entry.plugins}
    except FileNotFoundError:
        # Twisted makes one when it may write there, and does without otherwise.
        return
    except Exception:
        # To Twisted, one that cannot be read is as good as none.
        names, modified = None, 0.0
    if names is None or modified <= plugin.stat().st_mtime:
        if not os.access(cache.parent, os.W_OK):
            yield f"stale cache: Twisted cannot renew it, and looks anew each time; {renew}"
    elif "nodetls" not in names:
        yield f"stale cache: it hides what is in the plugin; {renew}"
