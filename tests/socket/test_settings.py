"""What is set on a TLSSocket: names, sessions, the size of fragments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from tests.support import Pki
from tests.tlspairs import Told, flights, memoryPair
from txnodetls.errors import NodeError


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def version(request: pytest.FixtureRequest) -> str:
    """Each test that names it is made for both."""
    return str(request.param)


@pytest.mark.parametrize("size", [512, 1000, 16384])
def test_fragments_are_no_larger_than_was_set(size: int, pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version})
    server = Told(pair.server)
    assert pair.client.setMaxSendFragment(size) is True
    pair.client.write(b"x" * 50_000)
    pair.clock.advance(0)
    lengths = [length for _, length in flights(pair)]
    assert max(lengths) <= size + 64
    assert max(lengths) >= size
    pair.pump()
    assert len(server.data) == 50_000


@pytest.mark.parametrize("size", [0, 511, 16385, -1])
def test_fragments_of_other_sizes_are_refused(size: int, pki: Pki) -> None:
    assert memoryPair(pki).client.setMaxSendFragment(size) is False


@pytest.mark.parametrize(
    ("size", "code"),
    [
        ("512", "ERR_INVALID_ARG_TYPE"),
        (True, "ERR_INVALID_ARG_TYPE"),
        (None, "ERR_INVALID_ARG_TYPE"),
        (512.5, "ERR_OUT_OF_RANGE"),
        (math.nan, "ERR_OUT_OF_RANGE"),
        (math.inf, "ERR_OUT_OF_RANGE"),
        (2**31, "ERR_OUT_OF_RANGE"),
    ],
)
def test_a_fragments_size_is_a_whole_number(size: Any, code: str, pki: Pki) -> None:
    with pytest.raises(NodeError) as raised:
        memoryPair(pki).client.setMaxSendFragment(size)
    assert raised.value.code == code


def test_no_fragment_can_be_set_once_it_is_destroyed(pki: Pki) -> None:
    pair = memoryPair(pki)
    pair.client.destroy()
    assert pair.client.setMaxSendFragment(1000) is False


def test_names_and_sessions_are_checked(pki: Pki) -> None:
    pair = memoryPair(pki, pump=False)
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: pair.client.setServername(5), "ERR_INVALID_ARG_TYPE"),  # type: ignore[arg-type]
        (lambda: pair.server.setServername("a.test"), "ERR_TLS_SNI_FROM_SERVER"),
        (lambda: pair.client.setSession("text"), "ERR_INVALID_ARG_TYPE"),  # type: ignore[arg-type]
    ]
    for call, code in calls:
        with pytest.raises(NodeError) as raised:
            call()
        assert raised.value.code == code


def test_a_name_beyond_ascii_is_sent_in_its_ascii_form(pki: Pki) -> None:
    pair = memoryPair(
        pki, client={"servername": "bücher.test", "rejectUnauthorized": False}, pump=False
    )
    pair.pump()
    assert pair.server.servername == "xn--bcher-kva.test"
