"""What the tests of contexts make and compare."""

from __future__ import annotations

from typing import Any

import pytest

from tests.memory import Shaken, handshake
from tests.support import Pki
from txnodetls.context import SecureContext, createSecureContext
from txnodetls.errors import NodeError
from txnodetls.openssl.failures import verifyErrorCode

__all__ = ["agreed", "client", "meet", "refused", "server", "verdict"]


def refused(**options: Any) -> NodeError:
    with pytest.raises(NodeError) as caught:
        createSecureContext(options)
    return caught.value


def server(pki: Pki, **options: Any) -> SecureContext:
    given = {"key": pki.server.key, "cert": pki.server.cert, **options}
    return createSecureContext(given)


def client(pki: Pki, **options: Any) -> SecureContext:
    return createSecureContext({"ca": pki.ca, **options})


def meet(one: SecureContext, other: SecureContext, **more: Any) -> Shaken:
    return handshake(one.native, other.native, **more)


def agreed(one: SecureContext, other: SecureContext) -> str | None:
    """The version agreed on; None if there was none."""
    done = meet(one, other)
    return None if done.error else done.client.get_protocol_version_name()


def verdict(one: SecureContext, other: SecureContext) -> str:
    done = meet(one, other)
    assert done.error is None
    return verifyErrorCode(done.clientVerdict)
