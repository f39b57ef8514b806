"""
Reading options: from Python's mappings and keyword arguments, and from text.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Final

from txnodetls.errors import Blame, NodeTypeError, invalidArgType
from txnodetls.javascript import isTrue
from txnodetls.options import text
from txnodetls.options.checks import callersLevel
from txnodetls.options.model import FromFile, Option, Options, OptionTable
from txnodetls.options.tables import CONNECT, LISTEN, SERVER, SOCKET
from txnodetls.options.text import OptionTextError, Parser

__all__ = ["UnknownOptionWarning", "fromText", "readOptions"]


class UnknownOptionWarning(UserWarning):
    """An option has a name that nothing knows."""


def readOptions(
    table: OptionTable,
    options: object = None,
    keywords: Mapping[str, Any] | None = None,
    name: str = "options",
) -> Options:
    """
    Options out of a mapping and of keyword arguments, of which the latter win.

    A name that nothing knows is warned about (L{UnknownOptionWarning}) and
    dropped.  One that another table knows is dropped: the options of a server
    may be given to a context.  L{Options} of the same table are taken as they
    are.

    @param name: what errors call the mapping.
    @raise NodeError: C{ERR_INVALID_ARG_TYPE} and others, as Node throws them.
    """
    if isinstance(options, Options) and options.table is table and not keywords:
        return options
    given: dict[str, Any] = {}
    if isinstance(options, Mapping):
        given.update(options)
    elif isTrue(options):
        raise invalidArgType(name, "of type object", options)
    if keywords:
        given.update(keywords)
    checked = {}
    for key, value in given.items():
        option = table.get(key) if isinstance(key, str) else None
        if option is None:
            _warnUnknown(table, key)
        else:
            checked[key] = option.check(f"{name}.{key}", value)
    _checkTogether(checked)
    return Options(table, checked)


def _checkTogether(options: Mapping[str, Any]) -> None:
    if isTrue(options.get("ALPNCallback")) and options.get("ALPNProtocols") is not None:
        raise NodeTypeError(
            "The ALPNCallback and ALPNProtocols TLS options are mutually exclusive",
            "ERR_TLS_ALPN_CALLBACK_WITH_PROTOCOLS",
            blame=Blame.CONFIGURATION,
        )


def _warnUnknown(table: OptionTable, name: object) -> None:
    if any(name in other for other in (SOCKET, SERVER, CONNECT, LISTEN)):
        return
    nearest = table.nearest(str(name))
    hint = f"; did you mean {nearest!r}?" if nearest else ""
    warnings.warn(
        f"unknown option {name!r}{hint} (all of them: txnodetls.options.{table.name})",
        UnknownOptionWarning,
        stacklevel=callersLevel(),
    )


def fromText(table: OptionTable, texts: Mapping[str, Any]) -> dict[str, Any]:
    """
    Options out of texts by their names, to be given to Python's calls.

    @param texts: the values as str; what a TOML file has besides (bool, int,
        float, lists of str) counts as the text that says the same.
    @raise OptionTextError: an unknown name, one without a text form, or a
        text that does not make a value; it names the option and what is near.
    """
    found: dict[str, Any] = {}
    for name, written in texts.items():
        target, value = _fromOne(table, name, written)
        if target in found:
            raise OptionTextError(f"option {name}: {target} is given twice")
        found[target] = value
    return found


def _fromOne(table: OptionTable, name: str, written: Any) -> tuple[str, Any]:
    option = table.files.get(name) or table.get(name)
    if option is None:
        nearest = table.nearest(name, table.textNames())
        hint = f"; did you mean {nearest}?" if nearest else ""
        raise OptionTextError(
            f"unknown option {name}{hint} (all of them: txnodetls.options.{table.name}.textNames())"
        )
    if option.parse is None:
        assert isinstance(option, Option)
        raise OptionTextError(f"{name} {option.refusal}")
    try:
        value = option.parse(_asText(option.parse, written))
    except ValueError as error:
        raise OptionTextError(f"option {name}: {error}") from error
    return (option.option if isinstance(option, FromFile) else option.name), value


_LISTS: Final = (text.words, text.fileList, text.secureOptions)


def _asText(parse: Parser, written: Any) -> str:
    if isinstance(written, str):
        return written
    if isinstance(written, bool):
        return "true" if written else "false"
    if isinstance(written, (int, float)):
        return str(written)
    isList = isinstance(written, (list, tuple)) and all(isinstance(i, str) for i in written)
    if isList and parse in _LISTS:
        return "".join(f"{item}{text.SEPARATOR}" for item in written)
    raise ValueError(f"a {type(written).__name__} does not make its value")
