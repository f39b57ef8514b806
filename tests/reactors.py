"""
Another reactor for a run of tests, the plain way to sockets in place of our own, or all of our
own behind one descriptor, as it is only with many.

    python -m pytest -p tests.reactors --tests-reactor=poll tests/twisted_face
    python -m pytest -p tests.reactors --plain-carriers tests/twisted_face
    python -m pytest -p tests.reactors --all-polled tests/twisted_face

pytest-twisted installs what Twisted takes for the default on this platform; so that is what is
replaced.  Without C{--plain-carriers} the fast way is taken where it fits.

Tests that no reactor runs are left out: plain functions, which only see memory or processes of
their own, and are the same whatever is chosen here.
"""

from __future__ import annotations

import importlib
import sys

import pytest
from twisted.internet import default

REACTORS = ("epoll", "poll", "select", "asyncio", "uvloop")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tests-reactor", choices=REACTORS, help="run on this reactor")
    parser.addoption("--plain-carriers", action="store_true", help="no sockets of our own")
    parser.addoption("--all-polled", action="store_true", help="none is watched by the reactor")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    name = config.getoption("--tests-reactor")
    if name in ("asyncio", "uvloop"):
        config.option.reactor = "asyncio"  # pytest-twisted runs it otherwise
        if name == "uvloop":
            importlib.import_module("txnodetls.twisted.uvloopreactor").install()
    elif name is not None:
        module = importlib.import_module(f"twisted.internet.{name}reactor")
        default.install = module.install
    if config.getoption("--plain-carriers"):
        _plain()
    if config.getoption("--all-polled"):
        importlib.import_module("txnodetls.transports.polling").FEW = 0


def pytest_report_header(config: pytest.Config) -> str:
    from twisted.internet import reactor

    way = "plain" if config.getoption("--plain-carriers") else "our own where they fit"
    if config.getoption("--all-polled"):
        way += ", none watched by the reactor"
    return f"reactor: {type(reactor).__name__}, sockets: {way}"


# What only sockets of our own can do, and so is not asked for on the plain way.
OURS_ALONE = {
    # of the delay before TCP's probes, Twisted's transports know nothing
    "test_options_of_the_server_are_those_of_its_sockets",
    "test_options_of_the_socket_wait_for_the_connection",
    # how much waits, to the byte, they do not tell
    "test_a_paused_socket_does_not_read_beyond_its_mark",
    "test_a_slow_reader_slows_the_writer_down",
    # a listening port of theirs closes a turn later, replaces files that nobody listens on,
    # has no SO_REUSEPORT, and listens on IPv4 where no host is named
    "test_a_unix_server_has_its_path_for_an_address",
    "test_a_port_in_use_is_an_error_in_nodes_words",
    "test_ports_can_be_shared_between_servers_that_agree",
    "test_without_ipv6_it_listens_on_all_of_ipv4",
    # what cannot be a path is an exception of theirs
    "test_what_cannot_be_a_path_is_refused_and_not_cut_off",
    # these ask for the way itself
    "test_the_way_is_chosen_by_the_reactor",
    "test_only_reactors_that_wait_for_descriptors_fit",
}


# These look for single sockets in the reactor.
WATCHED_BY_THE_REACTOR = {
    "test_nothing_stays_in_the_reactor_when_a_carrier_is_gone",
    "test_a_hangup_with_data_behind_it_loses_none",
    "test_the_first_few_stay_with_the_reactor",
}


def _differs(item: pytest.Item) -> bool:
    """Whether something chosen here is used by the test."""
    function = getattr(item, "obj", None)
    if hasattr(function, "_pytest_twisted_mark"):
        return True
    # How many are polled is their subject.
    return item.path.name == "test_polling.py"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    out = OURS_ALONE if config.getoption("--plain-carriers") else set()
    if config.getoption("--all-polled"):
        out = out | WATCHED_BY_THE_REACTOR
    here = [
        item
        for item in items
        if _differs(item) and getattr(item, "originalname", item.name) not in out
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in here])
    items[:] = here
    if not items:
        raise pytest.UsageError("none of these tests is run by a reactor")


def _plain() -> None:
    """From now on, no reactor is one that sockets of our own fit."""
    importlib.import_module("txnodetls")
    for name, module in list(sys.modules.items()):
        if name.startswith("txnodetls.") and hasattr(module, "fits"):
            module.fits = lambda reactor: False  # type: ignore[attr-defined]
