"""The tables of options."""

from __future__ import annotations

import txnodetls.options
from txnodetls.options import (
    CONNECT,
    CONTEXT,
    LISTEN,
    NET_CONNECT,
    NET_SERVER,
    POST_HANDSHAKE_AUTH,
    SERVER,
    SOCKET,
)

TABLES = [
    *(CONNECT, CONTEXT, LISTEN, NET_CONNECT, NET_SERVER, POST_HANDSHAKE_AUTH, SERVER, SOCKET),
]


def test_a_server_and_a_client_have_the_options_of_a_context() -> None:
    assert set(CONTEXT) <= set(SERVER) & set(CONNECT) & set(SOCKET)


def test_nothing_has_neither_a_text_form_nor_a_refusal() -> None:
    for table in TABLES:
        for option in table.values():
            assert (option.parse is None) == bool(option.refusal), option.name


def test_a_refusal_names_the_python_way() -> None:
    for table in TABLES:
        for option in table.values():
            if option.refusal:
                assert option.refusal.endswith("in Python")
                assert "(...)" in option.refusal


def test_a_table_is_found_under_its_name() -> None:
    for table in TABLES:
        assert getattr(txnodetls.options, table.name) is table


def test_names_are_unique_within_a_table() -> None:
    for table in TABLES:
        assert not set(table) & set(table.files)
