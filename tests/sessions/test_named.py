"""Sessions and the names they are good for."""

from __future__ import annotations

import pytest

from txnodetls.sessions.named import namelessSession, nameSession, sessionFor

NATIVE = b"\x30\x82\x03\x8c and so on"
# What Node 24 gives for the server a.test.
NODES = b"\0nodejs:tls:session:1\0\0\x06a.test" + NATIVE


def test_the_form_is_nodes() -> None:
    assert nameSession("a.test", NATIVE) == NODES
    assert sessionFor("a.test", NODES) == NATIVE


@pytest.mark.parametrize("name", ["b.test", "A.TEST", "a.tes", "a.test0", "", "\0"])
def test_it_is_for_no_other_name(name: str) -> None:
    assert sessionFor(name, NODES) is None


@pytest.mark.parametrize(
    "session", [b"", b"garbage", NATIVE, NODES[:22], NODES[:24], NODES[:29], NODES[1:]]
)
def test_what_has_no_name_or_not_all_of_it_is_for_nobody(session: bytes) -> None:
    assert sessionFor("a.test", session) is None
    assert sessionFor("", session) is None


def test_a_name_cannot_be_stretched_into_the_session() -> None:
    """Name and session are told apart by the length."""
    assert sessionFor("a.test0", nameSession("a.test", b"0" + NATIVE)) is None
    assert sessionFor("a.test", nameSession("a.test0", NATIVE)) is None


@pytest.mark.parametrize("name", ["bücher.test", "\udcff", "x" * 65535])
def test_any_name_works(name: str) -> None:
    assert sessionFor(name, nameSession(name, NATIVE)) == NATIVE


def test_a_name_beyond_all_bounds_is_nobodys() -> None:
    name = "x" * 65536
    assert sessionFor(name, nameSession(name, NATIVE)) is None
    assert sessionFor("", nameSession(name, NATIVE)) is None


def test_a_session_without_a_name_is_known() -> None:
    assert namelessSession(NATIVE)
    assert not namelessSession(NODES)
