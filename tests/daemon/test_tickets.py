"""Ticket keys of the process: given to servers, and replaced."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from txnodetls.daemon.tickets import TicketKeys
from txnodetls.errors import NodeError


class Server:
    """Notes the keys that it is given."""

    def __init__(self, able: bool = True) -> None:
        self.keys: list[bytes] = []
        self.able = able

    def setTicketKeys(self, keys: bytes) -> None:
        if not self.able:
            raise NodeError("not here", "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM")
        self.keys = [keys]

    def rotateTicketKeys(self, keys: bytes) -> None:
        self.keys.append(keys)


def test_all_servers_have_the_same_keys_also_when_they_are_replaced() -> None:
    clock = Clock()
    tickets = TicketKeys(clock)
    one, other = servers = [Server(), Server()]
    tickets.serve(servers)  # type: ignore[arg-type]
    first = list(one.keys)
    assert other.keys == first
    tickets.start()
    clock.advance(3600)
    assert one.keys == other.keys == tickets.keys
    assert one.keys[:-1] == first
    later: Any = Server()
    tickets.serve([later])
    assert later.keys == one.keys
    clock.advance(3600)
    assert first[0] not in tickets.keys


def test_keys_of_somebody_else_are_taken() -> None:
    tickets = TicketKeys(Clock())
    server: Any = Server()
    tickets.serve([server])
    tickets.take([b"a" * 48, b"b" * 48])
    assert server.keys == [b"a" * 48, b"b" * 48]


def test_where_there_are_no_ticket_keys_it_says_so_and_goes_on() -> None:
    tickets = TicketKeys(Clock())
    server: Any = Server(able=False)
    tickets.serve([server])
    tickets.rotate()


def test_keys_are_not_shown() -> None:
    tickets = TicketKeys(Clock())
    assert tickets.keys[0].hex() not in repr(tickets)
    assert repr(tickets.keys[0]) not in repr(tickets)
