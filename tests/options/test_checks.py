"""The checks of single options, with Node's errors."""

from __future__ import annotations

import math
from typing import Any

import pytest
from zope.interface import implementer

from txnodetls.errors import NodeError
from txnodetls.interfaces import ISecureContext
from txnodetls.options import CONNECT, NET_CONNECT, NET_SERVER, SERVER, SOCKET, readOptions
from txnodetls.options.model import OptionTable

TYPE = "ERR_INVALID_ARG_TYPE"
RANGE = "ERR_OUT_OF_RANGE"
VALUE = "ERR_INVALID_ARG_VALUE"


@pytest.mark.parametrize(
    ("table", "name", "value", "code", "message"),
    [
        (SERVER, "handshakeTimeout", "abc", TYPE, '"options.handshakeTimeout" property must be'),
        (SERVER, "handshakeTimeout", True, TYPE, "of type number"),
        (SERVER, "handshakeTimeout", {"a": 1}, TYPE, "of type number"),
        (SERVER, "SNICallback", "fake", TYPE, '"options.SNICallback" property must be of type'),
        (SERVER, "SNICallback", True, TYPE, "of type function"),
        (SERVER, "pskCallback", 1, TYPE, '"options.pskCallback" property must be of type function'),
        (SERVER, "pskIdentityHint", 1, TYPE, '"options.pskIdentityHint" property must be of type'),
        (SERVER, "highWaterMark", "x", TYPE, '"options.highWaterMark" property'),
        (SERVER, "highWaterMark", None, TYPE, '"options.highWaterMark" property'),
        (SERVER, "keepAliveInitialDelay", "x", TYPE, "of type number"),
        (SERVER, "secureContext", "x", "ERR_TLS_INVALID_CONTEXT", "must be a SecureContext"),
        (CONNECT, "checkServerIdentity", None, TYPE, '"options.checkServerIdentity" property'),
        (CONNECT, "checkServerIdentity", "x", TYPE, "of type function"),
        (CONNECT, "minDHSize", 0, RANGE, '"options.minDHSize" is out of range. It must be >= 1'),
        (CONNECT, "minDHSize", math.nan, RANGE, "out of range"),
        (CONNECT, "minDHSize", "x", TYPE, "of type number"),
        (CONNECT, "minDHSize", None, TYPE, "of type number"),
        (CONNECT, "servername", 1, TYPE, '"name" argument must be of type string'),
        (CONNECT, "session", "text", TYPE, "Session must be a buffer"),
        (CONNECT, "session", 1, TYPE, "Session must be a buffer"),
        (CONNECT, "pskCallback", "x", TYPE, '"pskCallback" argument must be of type function'),
        (CONNECT, "enableTrace", "x", TYPE, '"options.enableTrace" property must be of type bool'),
        (CONNECT, "enableTrace", 0, TYPE, "of type boolean"),
        (CONNECT, "timeout", "x", TYPE, '"msecs" argument must be of type number'),
        (CONNECT, "timeout", -1, RANGE, '"msecs" is out of range'),
        (CONNECT, "timeout", math.inf, RANGE, "non-negative finite number"),
        (CONNECT, "host", 1, TYPE, '"options.host" property must be of type string'),
        (CONNECT, "path", 1, TYPE, '"options.path" property must be of type string'),
        (CONNECT, "localPort", "x", TYPE, '"options.localPort" property must be of type number'),
        (CONNECT, "autoSelectFamily", 1, TYPE, "of type boolean"),
        (CONNECT, "autoSelectFamilyAttemptTimeout", 0, RANGE, ">= 1 && <= 2147483647"),
        (CONNECT, "autoSelectFamilyAttemptTimeout", 1.5, RANGE, "an integer"),
        (CONNECT, "autoSelectFamilyAttemptTimeout", "x", TYPE, "of type number"),
        (CONNECT, "highWaterMark", -1, VALUE, "options.readableHighWaterMark"),
        (CONNECT, "highWaterMark", 1.5, VALUE, "options.readableHighWaterMark"),
        (CONNECT, "ALPNProtocols", "h2", TYPE, "options.ALPNProtocols"),
        (SOCKET, "highWaterMark", -1, VALUE, "options.readableHighWaterMark"),
    ],
)
def test_a_wrong_value_is_nodes_error(
    table: OptionTable, name: str, value: Any, code: str, message: str
) -> None:
    with pytest.raises(NodeError) as caught:
        readOptions(table, {name: value})
    assert caught.value.code == code
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("table", "name", "value", "kept"),
    [
        (SERVER, "handshakeTimeout", 1.5, 1.5),
        (SERVER, "handshakeTimeout", -5, -5),
        (SERVER, "handshakeTimeout", 0, None),
        (SERVER, "handshakeTimeout", math.nan, None),
        (SERVER, "handshakeTimeout", None, None),
        (SERVER, "handshakeTimeout", "", None),
        (SERVER, "pskIdentityHint", "", None),
        (SERVER, "SNICallback", None, None),
        (SERVER, "enableTrace", "x", True),
        (SERVER, "ALPNCallback", "x", "x"),
        (SERVER, "highWaterMark", -1, None),
        (NET_SERVER, "highWaterMark", 10, 10),
        (NET_CONNECT, "highWaterMark", None, None),
        (CONNECT, "servername", "", None),
        (CONNECT, "session", bytearray(b"x"), b"x"),
        (CONNECT, "timeout", 0, None),
        (CONNECT, "timeout", math.nan, None),
        (CONNECT, "minDHSize", 1.5, 1.5),
        (CONNECT, "autoSelectFamilyAttemptTimeout", 5, 10),
        (CONNECT, "autoSelectFamilyAttemptTimeout", 250, 250),
        (CONNECT, "ALPNProtocols", ["h2"], b"\2h2"),
        (CONNECT, "ALPNProtocols", "", None),
        (CONNECT, "enableTrace", None, None),
        (SOCKET, "checkServerIdentity", None, None),
    ],
)
def test_a_value_that_node_takes_is_kept_in_one_form(
    table: OptionTable, name: str, value: Any, kept: Any
) -> None:
    assert readOptions(table, {name: value})[name] == kept


@pytest.mark.parametrize("value", [True, None, 0, "", "no"])
def test_only_false_itself_lets_the_unauthorized_in(value: Any) -> None:
    assert readOptions(SERVER, {"rejectUnauthorized": value}).rejectUnauthorized is True


def test_false_lets_the_unauthorized_in() -> None:
    assert readOptions(SERVER, {"rejectUnauthorized": False}).rejectUnauthorized is False


@pytest.mark.parametrize("value", [True, 1, "yes"])
def test_whatever_is_true_asks_for_a_certificate(value: Any) -> None:
    """Node takes everything but true itself for no; that would be silent and unsafe."""
    assert readOptions(SERVER, {"requestCert": value}).requestCert is True


def test_a_list_and_a_callback_for_alpn_exclude_each_other() -> None:
    with pytest.raises(NodeError) as caught:
        readOptions(SERVER, {"ALPNProtocols": ["h2"], "ALPNCallback": print})
    assert caught.value.code == "ERR_TLS_ALPN_CALLBACK_WITH_PROTOCOLS"
    assert readOptions(SERVER, {"ALPNProtocols": ["h2"], "ALPNCallback": None}).ALPNProtocols


def test_a_servers_alpn_that_is_no_list_is_warned_about() -> None:
    with pytest.warns(UserWarning, match="ALPNProtocols is neither a list nor bytes"):
        assert readOptions(SERVER, {"ALPNProtocols": "h2"}).ALPNProtocols is None


def test_anyones_secure_context_is_taken() -> None:
    @implementer(ISecureContext)
    class Foreign:
        pass

    foreign = Foreign()
    assert readOptions(SERVER, {"secureContext": foreign}).secureContext is foreign
