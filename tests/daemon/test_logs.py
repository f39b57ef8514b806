"""The line of a connection: what it holds, and that it is one line whatever the peer sent."""

from __future__ import annotations

import json
from typing import Any

from twisted.logger import globalLogPublisher

from txnodetls.daemon.logs import fieldsOf, logConnection
from txnodetls.daemon.records import Reason, Record


def record() -> Record:
    found = Record("web", ("::1", 5), None, 10.0)
    found.secured = 10.25
    found.agreed = {"name": "a.example", "version": "TLSv1.3", "resumed": False}
    return found


def lines(made: Record, format: str) -> list[str]:
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    try:
        logConnection(made, 12.0, format)
    finally:
        globalLogPublisher.removeObserver(events.append)
    return [event["line"] for event in events]


def test_it_says_who_and_what_and_why() -> None:
    assert lines(record(), "text") == [
        (
            "listener=web peer=[::1]:5 name=a.example version=TLSv1.3 resumed=no "
            "received=0 sent=0 seconds=2.0 handshake=0.25 reason=done"
        )
    ]


def test_as_json_it_has_the_same_fields() -> None:
    (line,) = lines(record(), "json")
    assert json.loads(line) == fieldsOf(record(), 12.0)


def test_none_is_none() -> None:
    assert lines(record(), "none") == []


def test_what_a_peer_sent_is_escaped() -> None:
    made = record()
    made.agreed["name"] = 'x" reason=done\n2026 \x1b[31mfake\u2028'
    made.ends(Reason.HANDSHAKE, ValueError("line\nbreak"))
    for format in ("text", "json"):
        (line,) = lines(made, format)
        assert line.isprintable()
    (line,) = lines(made, "text")
    assert 'name="x\\" reason=done\\n2026' in line
    assert 'reason="handshake failed" code=ValueError error=line\\nbreak' in line
