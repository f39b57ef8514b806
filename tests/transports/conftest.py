"""What the connections of one test leave to the next: nothing."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def quietPast() -> None:
    """There have not been many connections lately."""
    # Not before the reactor of these tests is installed.
    from twisted.internet import reactor

    from txnodetls.transports.polling import pollerFor

    pollerFor(reactor).lately = 0
