"""What is known of a connection, in each of its phases."""

from __future__ import annotations

from typing import Any

from txnodetls.daemon.records import Phase, Reason, Record


def record() -> Any:
    return Record("web", ("192.0.2.1", 5), None, 10.0)


class Side:
    """A TLSSocket, or what drives a plain connection; notes how it was ended."""

    bytesRead, bytesWritten, writable, halfClosed, disconnecting = 3, 5, True, False, False

    def __init__(self) -> None:
        self.ends: list[str] = []
        self.transport = self

    def count(self) -> tuple[int, int]:
        return 7, 9

    def close(self) -> None:
        self.ends.append("close")

    def abort(self) -> None:
        self.ends.append("abort")

    destroySoon, destroy = close, abort


def test_the_first_reason_counts_with_its_error() -> None:
    made = record()
    made.ends(Reason.IDLE)
    made.ends(Reason.RESET, ValueError("later"))
    assert (made.reason, made.code, made.error) == (Reason.IDLE, None, None)
    other = record()
    other.ends(Reason.RESET, ValueError("first"))
    other.ends(Reason.IDLE)
    assert (other.reason, other.code, other.error) == (Reason.RESET, "ValueError", "first")


def test_nothing_can_be_done_to_one_that_nothing_drives_yet() -> None:
    made = record()
    assert made.phase is Phase.ARRIVING
    assert made.count() == (0, 0)
    made.close()
    made.abort()


def test_where_there_is_tls_its_socket_counts_and_is_ended() -> None:
    made = record()
    made.socket, made.protocol = Side(), Side()
    assert made.count() == (3, 5)
    made.close()
    made.abort()
    assert (made.socket.ends, made.protocol.ends) == (["close", "abort"], [])


def test_where_there_is_none_what_drives_it_counts_and_is_ended() -> None:
    made = record()
    made.protocol = Side()
    assert made.count() == (7, 9)
    made.close()
    made.abort()
    assert made.protocol.ends == ["close", "abort"]


def test_it_is_closing_once_one_side_has_ended_it() -> None:
    plain, tls = record(), record()
    plain.protocol, tls.socket = Side(), Side()
    assert not plain.closing
    assert not tls.closing
    plain.protocol.disconnecting = True
    tls.socket.writable = False
    assert plain.closing
    assert tls.closing
    half = record()
    half.socket, half.protocol = Side(), Side()
    half.protocol.halfClosed = True
    assert half.closing
