"""What the connections of one test leave to the next: nothing."""

from __future__ import annotations

import pytest
from twisted.internet import reactor

from txnodetls.transports.polling import pollerFor


@pytest.fixture(autouse=True)
def quietPast() -> None:
    """There have not been many connections lately."""
    pollerFor(reactor).lately = 0
