"""
The string C{nodetls:}, for C{serverFromString} and C{clientFromString}.

Twisted imports this file to look for any endpoint: so it imports next to nothing itself.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import (
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(
    IPlugin, IStreamServerEndpointStringParser, IStreamClientEndpointStringParserWithReactor
)
class _Parser:
    prefix = "nodetls"

    # By position only: a string may hold "reactor=…", which is to be refused like other options.

    def parseStreamServer(  # type: ignore[override]
        self, reactor: Any, /, *args: Any, **kwargs: Any
    ) -> Any:
        from txnodetls.twisted.strings import parseServer

        return parseServer(reactor, *args, **kwargs)

    def parseStreamClient(  # type: ignore[override]
        self, reactor: Any, /, *args: Any, **kwargs: Any
    ) -> Any:
        from txnodetls.twisted.strings import parseClient

        return parseClient(reactor, *args, **kwargs)


nodetls = _Parser()
