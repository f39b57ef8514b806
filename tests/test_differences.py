"""Differences from Node, on purpose, that belong to no one room; the page on parity names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import defer

import txnodetls as tls
from tests.loopback import Loopback
from tests.support import Pki, happened


@pytest_twisted.async_yield_fixture
async def loopback(pki: Pki) -> Any:
    async with Loopback(pki) as opened:
        yield opened


@pytest_twisted.ensureDeferred
async def test_no_variable_of_the_environment_lets_the_unauthorized_in(
    loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE_TLS_REJECT_UNAUTHORIZED", "0")
    server = await loopback.serve()
    client = loopback.dial(server, ca=None)
    (error,) = await happened(client, "error")
    assert error.code in ("UNABLE_TO_VERIFY_LEAF_SIGNATURE", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY")
    assert (client.authorized, client.destroyed) == (False, True)


@pytest.fixture
def unconnected() -> Any:
    """A stream that leads nowhere, and knows no host."""
    return tls.Duplex(tls.net.Socket())


def test_over_a_stream_somebody_has_to_say_whom_to_expect(unconnected: Any, pki: Pki) -> None:
    with pytest.raises(tls.NodeError) as refused:
        tls.connect({"socket": unconnected, "ca": pki.ca})
    assert refused.value.code == "ERR_MISSING_ARGS"


@pytest.mark.parametrize(
    "said",
    [
        {"servername": "localhost"},
        {"host": "localhost"},
        {"checkServerIdentity": lambda host, certificate: None},
        {"rejectUnauthorized": False},
    ],
    ids=lambda said: next(iter(said)),
)
def test_over_a_stream_any_of_these_says_it(
    unconnected: Any, pki: Pki, said: dict[str, Any]
) -> None:
    socket = tls.connect({"socket": unconnected, "ca": pki.ca, **said})
    socket.on("error", lambda error: None)
    socket.destroy()


async def coroutine(*arguments: Any) -> None:
    """Would be true, were it not refused."""


@pytest.mark.parametrize(
    "hook", [lambda *arguments: defer.succeed(None), coroutine], ids=["Deferred", "coroutine"]
)
@pytest_twisted.ensureDeferred
async def test_an_answer_that_comes_later_does_not_pass_for_a_good_one(
    loopback: Loopback, hook: Callable[..., Any], recwarn: pytest.WarningsRecorder
) -> None:
    server = await loopback.serve()
    client = loopback.dial(server, checkServerIdentity=hook)
    secured: list[bool] = []
    client.on("secureConnect", lambda: secured.append(True))
    (error,) = await happened(client, "error")
    assert isinstance(error, TypeError)
    assert (secured, client.destroyed) == ([], True)
    assert not [each for each in recwarn if "never awaited" in str(each.message)]
