"""Run inside of a fresh environment with the wheel installed, by `.ci/wheel`."""

from __future__ import annotations

import sys
import zipfile

from twisted.application.service import IServiceMaker
from twisted.internet.interfaces import (
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import getPlugins


def main() -> None:
    names = zipfile.ZipFile(sys.argv[1]).namelist()
    strays = [
        name
        for name in names
        if not name.startswith(("txnodetls/", "twisted/plugins/", "txnodetls-"))
    ]
    assert not strays, f"does not belong into the wheel: {strays}"
    assert "txnodetls/py.typed" in names, "py.typed is missing"
    assert any(name.startswith("twisted/plugins/") for name in names), "no plugin in the wheel"
    assert "twisted/plugins/__init__.py" not in names, "this would hide every plugin"
    assert any(name.endswith("/licenses/LICENSE") for name in names), "LICENSE is missing"

    import txnodetls

    assert "site-packages" in str(txnodetls.__file__), txnodetls.__file__
    found = {
        "server endpoint": {each.prefix for each in getPlugins(IStreamServerEndpointStringParser)},
        "client endpoint": {
            each.prefix for each in getPlugins(IStreamClientEndpointStringParserWithReactor)
        },
        "service": {each.tapname for each in getPlugins(IServiceMaker)},
    }
    for kind, prefixes in found.items():
        assert "nodetls" in prefixes, f"no {kind} nodetls among {sorted(prefixes)}"
    print(f"wheel: {len(names)} files; plugins: {', '.join(found)}")


main()
