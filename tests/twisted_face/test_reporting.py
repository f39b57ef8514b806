"""Log lines about peers hold no surprises."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from txnodetls import NodeError
from txnodetls.twisted.reporting import escaped, handshakeFailed, joined


def test_what_peers_say_stays_on_one_line() -> None:
    assert escaped("a\nb\x1b[31m\u202e é") == "a\\nb\\x1b[31m\\u202e é"


def test_addresses() -> None:
    assert joined("127.0.0.1", 5) == "127.0.0.1:5"
    assert joined("::1", 5) == "[::1]:5"
    assert joined(None, None) == "unix"


def reported(error: NodeError, **socket: Any) -> str:
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    try:
        address = {"remoteAddress": "::1", "remotePort": 5, "authorizationError": None}
        handshakeFailed(error, SimpleNamespace(**{**address, **socket}))
    finally:
        globalLogPublisher.removeObserver(events.append)
    return formatEvent(events[-1])


def test_a_failed_handshake_is_told_with_its_code() -> None:
    line = reported(NodeError("bad\nthing", "ERR_SSL_BAD"))
    assert line == "handshake with [::1]:5 failed: ERR_SSL_BAD bad\\nthing"


def test_of_a_refused_certificate_it_tells_why() -> None:
    error = NodeError("socket hang up", "ECONNRESET")
    line = reported(error, authorizationError="CERT_HAS_EXPIRED")
    assert "failed: CERT_HAS_EXPIRED" in line
