"""
Any value at all, for every option, at every call that takes options: taken, or refused with one of
this library's own errors, which has a code and names what is wrong.  Never another exception.
"""

from __future__ import annotations

import decimal
import gc
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import txnodetls as tls
from tests.support import Pki
from txnodetls.errors import Blame
from txnodetls.options import CONNECT, CONTEXT, LISTEN, SERVER, SOCKET, OptionTable

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


class Contrary:
    """An object that nothing can be asked."""

    def _refuse(self, *_: object) -> Any:
        raise RuntimeError("ask me no questions")

    __bool__ = __eq__ = __repr__ = __str__ = __len__ = __iter__ = _refuse
    __hash__ = None  # type: ignore[assignment]


class Vague:
    """An object that has everything, all of it a method."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_: None


def pieces(pki: Pki) -> st.SearchStrategy[Any]:
    """PEM texts, whole, cut and damaged."""
    texts = [pki.server.key, pki.server.cert, pki.ca, b"-----BEGIN X509 CRL-----\nAA==\n"]

    def cut(text: bytes, start: int, stop: int, flip: int) -> bytes:
        damaged = bytearray(text[start % len(text) :][: stop % len(text) + 1])
        damaged[flip % len(damaged)] ^= 1 << flip % 8
        return bytes(damaged)

    number = st.integers(0, 10**4)
    whole = st.sampled_from(texts)
    damaged = st.builds(cut, whole, st.just(0) | number, number, number)
    return whole | damaged | damaged.map(lambda data: data.decode("latin-1"))


def values(pki: Pki) -> st.SearchStrategy[Any]:
    words = [
        *("TLSv1.2", "TLSv1.3", "TLS_method", "auto", "DEFAULT", "P-256", "ECDSA+SHA256", "zlib"),
        *("h2", "localhost", "::1", "1", "0", "X", "@SECLEVEL=9", "TLS_AES_128_GCM_SHA256", "\0"),
    ]
    plain = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.sampled_from([2**31, -(2**63), 10**4000, math.nan, math.inf, decimal.Decimal("sNaN")])
        | st.floats()
        | st.sampled_from(words)
        | st.text(st.characters(), max_size=40)
        | st.binary(max_size=60)
        | st.binary(min_size=48, max_size=48).map(bytearray)
        | st.binary(max_size=8).map(memoryview)
        | st.builds(Contrary)
        | st.builds(Vague)
        | st.sampled_from([print, int, len, object(), {1, 2}, 1j, range(3), NotImplemented])
        | pieces(pki)
    )
    keys = st.sampled_from(["pem", "passphrase", "buf", "callback", "buffer", "aborted", ""])
    return st.recursive(
        plain,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(keys, inner, max_size=3)
        ),
        max_leaves=4,
    )


def _ended(made: Any) -> None:
    if isinstance(made, tls.TLSSocket):
        made.on("error", lambda error: None)
        made.destroy()


CALLS: dict[str, tuple[OptionTable, Callable[[dict[str, Any]], Any]]] = {
    "createSecureContext": (CONTEXT, tls.createSecureContext),
    "createServer": (SERVER, tls.createServer),
    "connect over a socket": (
        CONNECT,
        lambda options: tls.connect({"socket": tls.net.Socket(), **options}),
    ),
    "TLSSocket": (SOCKET, lambda options: tls.TLSSocket(tls.net.Socket(), options)),
}


def tried(call: Callable[[dict[str, Any]], Any], options: Any) -> None:
    """Make the call; only errors of ours may come of it, and each says whose fault it is."""
    refusal = None
    try:
        made = call(options)
    except tls.NodeError as error:
        refusal = error
    if refusal is None:
        _ended(made)
        return
    # Node gives no code to a few of OpenSSL's errors.
    assert refusal.code or "ERR_" not in str(refusal)
    assert refusal.blame is Blame.CONFIGURATION
    assert str(refusal)


@pytest.mark.parametrize("call", CALLS)
def test_one_option_with_any_value_is_taken_or_refused_with_an_error_of_ours(
    call: str, pki: Pki
) -> None:
    table, make = CALLS[call]

    @settings(
        max_examples=400,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(sorted(table)), values(pki))
    def holds(name: str, value: Any) -> None:
        tried(make, {name: value})

    holds()
    gc.collect()


@pytest.mark.parametrize("call", CALLS)
def test_several_at_once_too(call: str, pki: Pki) -> None:
    table, make = CALLS[call]
    good = {"key": pki.server.key, "cert": pki.server.cert, "ca": pki.ca}

    @settings(
        max_examples=150,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.dictionaries(st.sampled_from(sorted(table)), values(pki), max_size=4))
    def holds(options: dict[str, Any]) -> None:
        tried(make, {**good, **options})

    holds()
    gc.collect()


@pytest.mark.parametrize(
    "wrong",
    [Contrary(), Vague(), 10**5000, "\ud800", b"", [], {1}],
    ids=lambda it: type(it).__name__,
)
@pytest.mark.parametrize("call", CALLS)
def test_the_options_themselves_may_be_anything(call: str, wrong: Any) -> None:
    if call.startswith("createS"):
        tried(CALLS[call][1], wrong)


@pytest.mark.parametrize("call", CALLS)
def test_every_option_of_every_table_is_met(call: str) -> None:
    table, make = CALLS[call]
    for name in {*table, *LISTEN}:
        for value in (Contrary(), Vague(), object(), 10**5000, "\ud800", -1, [[]], {"": b""}):
            tried(make, {name: value})
            tried(make, {name: [value]})
            for key in ("pem", "passphrase", "buf", "buffer", "aborted"):
                tried(make, {name: {key: value}})
                tried(make, {name: [{key: value}]})
