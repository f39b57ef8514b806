"""Fixtures of the tests of contexts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from txnodetls import constants
from txnodetls.constants import defaults
from txnodetls.pki import trust


@pytest.fixture(autouse=True)
def defaultsAfterwards() -> Iterator[None]:
    """What a program may change is as before when a test is over."""
    names = constants.Defaults.__slots__
    before = {name: getattr(defaults, name) for name in names}
    trusted = trust._Defaults.trust
    yield
    for name, value in before.items():
        setattr(defaults, name, value)
    trust._Defaults.trust = trusted
