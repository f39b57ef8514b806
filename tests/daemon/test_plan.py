"""What the daemon is to do, as those see it who do it."""

from __future__ import annotations

import dataclasses

import pytest

from tests.daemon.configuring import only
from txnodetls.daemon.plan import NO_RULES, RouteConfig


def test_the_result_does_not_change() -> None:
    config = only({})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.name = "another"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("servernames", "protocols", "client", "taken"),
    [
        ((), (), (None, None), True),
        (("a.test",), (), ("A.test", None), True),
        (("*.a.test",), (), ("b.a.test", "h2"), True),
        (("a.test",), (), (None, "h2"), False),
        (("a.test",), ("h2",), ("a.test", "http/1.1"), False),
        ((), ("h2",), (None, "h2"), True),
        ((), ("h2",), ("a.test", None), False),
    ],
)
def test_a_route_takes_those_whose_name_and_protocol_are_its_own(
    servernames: tuple[str, ...],
    protocols: tuple[str, ...],
    client: tuple[str | None, str | None],
    taken: bool,
) -> None:
    serving = only({}).serving
    route = RouteConfig("r", serving, servernames, protocols, None, NO_RULES)
    assert route.takes(*client) is taken
