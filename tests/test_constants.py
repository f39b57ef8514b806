"""Constants, compared with OpenSSL's own and with Node's."""

from __future__ import annotations

import json

from OpenSSL._util import lib

from tests.support import nodeBinary, runTool
from txnodetls import constants


def test_every_bit_is_openssls() -> None:
    known = {
        name: value for name, value in constants.secureOptionNames().items() if hasattr(lib, name)
    }
    assert len(known) > 15
    assert {name: getattr(lib, name) for name in known} == known


def test_every_bit_of_nodes_is_there() -> None:
    code = "console.log(JSON.stringify(require('crypto').constants))"
    node = json.loads(runTool([nodeBinary(), "-e", code]).stdout)
    wanted = {name: value for name, value in node.items() if name.startswith("SSL_OP_")}
    have = constants.secureOptionNames()
    assert {name: have.get(name) for name in wanted} == wanted
    assert node["defaultCipherList"] == constants.Defaults().DEFAULT_CIPHERS
    for name in ("TLS1_VERSION", "TLS1_1_VERSION", "TLS1_2_VERSION", "TLS1_3_VERSION"):
        assert getattr(constants, name) == node[name]


def test_alerts_have_one_name_and_one_number() -> None:
    assert len(constants.ALERT_NUMBERS) == len(constants.ALERTS)
    assert constants.ALERT_NUMBERS["no_application_protocol"] == 120


def test_the_defaults_can_be_assigned_and_nothing_else() -> None:
    fresh = constants.Defaults()
    fresh.DEFAULT_MIN_VERSION = "TLSv1.3"
    assert constants.Defaults().DEFAULT_MIN_VERSION == "TLSv1.2"
    try:
        fresh.DEFAULT_MIN_VERSON = "TLSv1.3"  # type: ignore[attr-defined]
    except AttributeError:
        return
    raise AssertionError("a slip of the pen went unnoticed")
