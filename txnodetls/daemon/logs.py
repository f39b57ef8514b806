"""
One line per connection.

    connection listener=web peer=192.0.2.1:51034 name=example.com version=TLSv1.3 …

The line is C{key=value}, or JSON; the fields are the same, and go along with the log event for
whoever observes Twisted's log.  Names and texts that come from peers are escaped: a line is
one line, and holds no control characters.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.logger import Logger

from txnodetls.daemon.records import Reason, Record
from txnodetls.twisted.reporting import escaped, joined

__all__ = ["FORMATS", "fieldsOf", "logConnection"]

log = Logger(namespace="nodetls")

FORMATS = ("text", "json", "none")


def agreed(socket: Any) -> dict[str, Any]:
    """What a handshake came to."""
    cipher = socket.getCipher()
    found = {
        "name": socket.servername or None,
        "version": socket.getProtocol(),
        "cipher": cipher["standardName"] if cipher else None,
        "protocol": socket.alpnProtocol or None,
        "resumed": bool(socket.isSessionReused()),
    }
    return {name: value for name, value in found.items() if value is not None}


def fieldsOf(record: Record, now: float) -> dict[str, Any]:
    """The fields of a connection that has ended, in their order."""
    received, sent = record.count()
    host = joined(*record.peer) if record.peer is not None else "unix"
    fields: dict[str, Any] = {"listener": record.listener, "peer": host}
    fields |= record.agreed
    if record.route is not None:
        fields["route"] = record.route
    fields["received"], fields["sent"] = received, sent
    fields["seconds"] = round(now - record.began, 3)
    if record.secured is not None:
        fields["handshake"] = round(record.secured - record.began, 4)
    fields["reason"] = str(record.reason or Reason.DONE)
    if record.code is not None:
        fields["code"] = record.code
    if record.error is not None:
        fields["error"] = record.error
    return fields


def logConnection(record: Record, now: float, format: str) -> None:
    """
    Log a connection that has ended.

    @param format: one of L{FORMATS}.
    """
    if format == "none":
        return
    fields = fieldsOf(record, now)
    line = json.dumps(fields) if format == "json" else _line(fields)
    log.info("connection {line}", line=line, connection=fields)


def _line(fields: dict[str, Any]) -> str:
    return " ".join(f"{name}={_value(value)}" for name, value in fields.items())


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = escaped(str(value))
    if not text or any(character in text for character in ' "='):
        return '"' + text.replace('"', '\\"') + '"'
    return text
