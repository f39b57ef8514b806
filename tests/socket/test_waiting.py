"""Waiting for a handshake."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from tests.loopback import Loopback, Received
from tests.support import Pki
from tests.tlspairs import GARBAGE, memoryPair
from txnodetls.errors import NodeError


def outcome(waiting: Deferred[Any]) -> list[Any]:
    """What a Deferred has fired with."""
    fired: list[Any] = []
    waiting.addCallbacks(fired.append, lambda failure: fired.append(failure.value))
    return fired


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_both_sides_can_be_waited_for(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version}, pump=False)
    client, server = outcome(pair.client.whenSecure()), outcome(pair.server.whenSecure())
    assert client == server == []
    pair.pump()
    assert (client, server) == ([pair.client], [pair.server])
    # And at once, now that it is.
    assert outcome(pair.client.whenSecure()) == [pair.client]


def test_who_waits_is_told_why_it_failed_and_nothing_is_logged(pki: Pki) -> None:
    pair = memoryPair(pki, client={"servername": "other.test"}, pump=False)
    client, server = outcome(pair.client.whenSecure()), outcome(pair.server.whenSecure())
    pair.pump()
    assert [error.code for error in client] == ["ERR_TLS_CERT_ALTNAME_INVALID"]
    assert len(server) == 1
    assert isinstance(server[0], NodeError)
    assert outcome(pair.client.whenSecure()) == client


def test_a_connection_that_is_given_up_is_told_too(pki: Pki) -> None:
    pair = memoryPair(pki, pump=False)
    waiting = outcome(pair.client.whenSecure())
    pair.client.destroy()
    late = outcome(pair.client.whenSecure())
    pair.pump()
    assert [error.code for error in waiting + late] == ["ERR_STREAM_PREMATURE_CLOSE"] * 2


def test_who_does_not_wait_any_longer_leaves_the_connection_alone(pki: Pki) -> None:
    pair = memoryPair(pki, pump=False)
    before = {name: pair.client.listenerCount(name) for name in ("secure", "error", "close")}
    waiting = pair.client.whenSecure()
    waiting.addErrback(lambda failure: None)
    waiting.cancel()
    after = {name: pair.client.listenerCount(name) for name in ("secure", "error", "close")}
    assert after == before
    pair.pump()
    assert pair.client.authorized


def test_a_later_handshake_or_error_is_not_its_concern(pki: Pki, loggedErrors: Any) -> None:
    pair = memoryPair(pki, {"maxVersion": "TLSv1.2"}, pump=False)
    waiting = outcome(pair.client.whenSecure())
    pair.pump()
    pair.client.renegotiate({}, lambda error: None)
    pair.pump()
    pair.server._carrier.write(GARBAGE)  # type: ignore[union-attr]
    pair.pump()
    assert waiting == [pair.client]
    assert len(loggedErrors.flush()) == 2  # nobody listened to 'error'


@pytest_twisted.ensureDeferred
async def test_a_conversation_as_a_coroutine_has_it(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve()
        async with loopback.dial(server) as socket:
            assert await socket.whenSecure() is socket
            received = bytearray()
            socket.end(b"hello")
            async for chunk in socket:
                received += chunk
        assert received == b"hello"
        assert socket.closed
        client = loopback.dial(server, servername="other.test")
        told = Received(client)
        with pytest.raises(NodeError):
            await client.whenSecure()
        await told
