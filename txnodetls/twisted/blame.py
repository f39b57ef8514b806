"""
Which option it was.

A secure context is made of many options, and OpenSSL says what went wrong ("key values
mismatch") but not in which of them.  Where options were written by hand, in a string or as
switches, the name is what one needs to know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from txnodetls.context import makeContext
from txnodetls.errors import NodeError
from txnodetls.options import CONTEXT, Options, OptionTable

__all__ = ["wrongOption", "wrongText"]

# What an option is meaningless without, and so is tried together with.
_TOGETHER = {"key": ("passphrase",), "pfx": ("passphrase",)}
_BAD_DECRYPT = "ERR_OSSL_BAD_DECRYPT"
# A certificate is tried before the key that has to match it; ciphers that allow weak keys and
# old versions before what they allow.
_FIRST = ("ciphers", "minVersion", "maxVersion", "secureProtocol", "cert")


def wrongOption(options: Mapping[str, Any], error: NodeError) -> str:
    """
    The name of the option without which a context could be made.

    Options are added one after the other until the error comes again.

    @param options: Node's options, of a context and others.
    @param error: what C{createSecureContext} raised for all of them.
    """
    names = [name for name in CONTEXT if options.get(name) is not None]
    names.sort(key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
    tried: dict[str, Any] = {}
    for name in names:
        tried[name] = options[name]
        for companion in _TOGETHER.get(name, ()):
            if options.get(companion) is not None:
                tried[companion] = options[companion]
        try:
            makeContext(Options(CONTEXT, tried))
        except NodeError as again:
            if (again.code, again.message) == (error.code, error.message):
                wrongPassphrase = again.code == _BAD_DECRYPT and "passphrase" in tried
                return "passphrase" if wrongPassphrase else name
    return names[-1] if names else "cert"


def wrongText(
    table: OptionTable, texts: Mapping[str, str], options: Mapping[str, Any], error: NodeError
) -> str:
    """L{wrongOption} by the name under which it was written: C{passphraseFile}, for example."""
    name = wrongOption(options, error)
    names = [name, *(file.name for file in table.files.values() if file.option == name)]
    return next((each for each in names if each in texts), name)
