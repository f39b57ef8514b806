"""
Static files, over HTTP.

What a directory holds is served to whoever asks for it by its path; directories are not
listed, and what begins with a dot is not there.  Twisted's web server does the work, HTTP/2
included where the extra C{http2} is installed.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.web import resource, static
from twisted.web.server import Site

__all__ = ["StaticFiles", "staticSite"]

_TIMEOUT = 60.0
"""Seconds that a client may wait with its next request."""


class StaticFiles(static.File):
    """Files below a directory."""

    def getChild(self, path: Any, request: Any) -> resource.Resource:
        """What is called C{path} here."""
        name = path if isinstance(path, bytes) else os.fsencode(path)
        if name.startswith(b"."):
            return self.childNotFound
        child: resource.Resource = super().getChild(path, request)
        return child

    def directoryListing(self) -> Any:
        """There is none."""
        return self.childNotFound


def staticSite(directory: str) -> Site:
    """What serves the files of a directory."""
    site = Site(StaticFiles(directory), timeout=_TIMEOUT)
    site.displayTracebacks = False
    return site
