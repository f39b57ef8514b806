"""Texts become values; Node's switches."""

from __future__ import annotations

import pytest

from tests.daemon.configuring import only
from txnodetls.daemon.settings import Scope
from txnodetls.daemon.values import checkNames, values
from txnodetls.daemon.written import ConfigError, Level
from txnodetls.options import LISTEN, SERVER


@pytest.mark.parametrize(
    ("switches", "minimum", "maximum"),
    [
        (["tls-min-v1.3"], "TLSv1.3", None),
        (["tls-min-v1.3", "tls-min-v1.1"], "TLSv1.1", None),
        (["tls-v1.0", "tls-min-v1.2"], "TLSv1", None),
        (["tls-max-v1.2"], None, "TLSv1.2"),
        (["tls-max-v1.2", "tls-max-v1.3"], None, "TLSv1.3"),
    ],
)
def test_nodes_switches_for_versions(
    switches: list[str], minimum: str | None, maximum: str | None
) -> None:
    options = only(dict.fromkeys(switches, "yes")).options
    assert (options.get("minVersion"), options.get("maxVersion")) == (minimum, maximum)


def test_nodes_switches_have_to_leave_a_version() -> None:
    with pytest.raises(ConfigError, match=r"^--tls-min-v1\.3: cannot be together with"):
        only({"tls-min-v1.3": "yes", "tls-max-v1.2": "yes"})


def test_nodes_switches_stand_back_behind_options() -> None:
    options = only({"tls-min-v1.3": "yes", "minVersion": "TLSv1.2"}).options
    assert options["minVersion"] == "TLSv1.2"
    only({"tls-min-v1.3": "yes", "secureProtocol": "TLSv1_2_method"})


def test_nodes_switches_for_ciphers_and_traces() -> None:
    options = only({"tls-cipher-list": "ECDHE-RSA-AES128-GCM-SHA256", "trace-tls": "yes"}).options
    assert options["ciphers"] == "ECDHE-RSA-AES128-GCM-SHA256"
    assert options["enableTrace"] is True


@pytest.mark.parametrize(
    ("written", "scope", "problem"),
    [
        ("servername", Scope.LISTENER, None),
        ("prot", Scope.LISTENER, "unknown; did you mean port"),
        ("config", Scope.PROCESS, "is a switch only"),
        ("servernames", Scope.LISTENER, "belongs to a route"),
        ("workers", Scope.LISTENER, "belongs to the top of the file"),
        ("port", Scope.ROUTE, "belongs to the listener"),
    ],
)
def test_a_name_has_to_be_known_and_stand_where_it_belongs(
    written: str, scope: Scope, problem: str | None
) -> None:
    level = Level({written: "x"}, {written: "f:1: it"}, "f")
    if problem is None:
        checkNames(level, scope)
        return
    with pytest.raises(ConfigError, match=f"^f:1: it: {problem}"):
        checkNames(level, scope)


def test_values_are_those_of_the_tables_and_each_is_given_once() -> None:
    level = Level({"ALPNProtocols": "h2, x", "backlog": "7"})
    assert values(LISTEN, level, ["backlog"]) == {"backlog": 7}
    assert values(SERVER, level, ["ALPNProtocols"]) == {"ALPNProtocols": ["h2", "x"]}
    with pytest.raises(ConfigError, match="backlog: "):
        values(LISTEN, Level({"backlog": "many"}, {"backlog": "backlog"}), ["backlog"])
