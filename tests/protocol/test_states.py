"""The two tables: what may follow what."""

from __future__ import annotations

import pytest

from txnodetls.protocol.states import RECEIVING, SENDING, Happening, Receiving, Sending

_BEGINNINGS = {(Receiving.HELLO, Sending.WAITING), (Receiving.HANDSHAKE, Sending.WAITING)}


def reachable() -> set[tuple[Receiving, Sending]]:
    """All pairs of states that a connection can be in."""
    found, new = set(_BEGINNINGS), set(_BEGINNINGS)
    while new:
        new = {
            (RECEIVING[receiving][happening], SENDING[sending][happening])
            for receiving, sending in new
            for happening in RECEIVING[receiving]
        } - found
        found |= new
    return found


def test_every_state_has_its_row_and_can_be_reached() -> None:
    assert set(RECEIVING) == set(Receiving)
    assert set(SENDING) == set(Sending)
    pairs = reachable()
    assert {receiving for receiving, _ in pairs} == set(Receiving)
    assert {sending for _, sending in pairs} == set(Sending)


def test_what_may_happen_to_the_one_half_may_happen_to_the_other() -> None:
    """Or else an engine would stand with one half moved and the other not."""
    for receiving, sending in reachable():
        assert RECEIVING[receiving].keys() <= SENDING[sending].keys()


def test_everything_can_happen_somewhere() -> None:
    assert {h for row in RECEIVING.values() for h in row} == set(Happening)
    assert {h for row in SENDING.values() for h in row} == set(Happening)


@pytest.mark.parametrize("happening", [Happening.DIED, Happening.END_SENT])
def test_the_owner_can_always_end_and_close(happening: Happening) -> None:
    for row in (*RECEIVING.values(), *SENDING.values()):
        assert happening in row


def test_the_dead_stay_dead_and_both_halves_die_together() -> None:
    assert set(RECEIVING[Receiving.DEAD].values()) == {Receiving.DEAD}
    assert set(SENDING[Sending.DEAD].values()) == {Sending.DEAD}
    for receiving, sending in reachable():
        assert (receiving is Receiving.DEAD) == (sending is Sending.DEAD)


def test_nothing_is_sent_after_close_notify_or_received_after_the_end() -> None:
    assert set(SENDING[Sending.CLOSED].values()) == {Sending.CLOSED, Sending.DEAD}
    for ended in (Receiving.ENDED, Receiving.CUT):
        assert set(RECEIVING[ended].values()) == {ended, Receiving.DEAD}


def test_nothing_is_sent_or_decrypted_before_the_handshake_is_done() -> None:
    for receiving, sending in reachable():
        if receiving in (Receiving.HELLO, Receiving.ASKING, Receiving.HANDSHAKE):
            assert sending in (Sending.WAITING, Sending.CLOSED)
        if receiving is Receiving.OPEN:
            assert sending is not Sending.WAITING


def test_only_the_end_of_the_handshake_opens() -> None:
    opening = {
        happening
        for table, opened in ((RECEIVING, Receiving.OPEN), (SENDING, Sending.OPEN))
        for state, row in table.items()  # type: ignore[attr-defined]
        for happening, target in row.items()
        if target is opened and state is not opened
    }
    # Keeping the sessions comes behind it.
    assert opening == {Happening.SECURED, Happening.SESSIONS_KEPT}


def test_every_state_says_what_it_means() -> None:
    for kind in (Receiving, Sending, Happening):
        texts = [member.value for member in kind]
        assert all(texts)
        assert len(set(texts)) == len(texts)
