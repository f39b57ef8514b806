"""What the tests of the engine share."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def version(request: pytest.FixtureRequest) -> str:
    """Each test is made for both."""
    return str(request.param)
