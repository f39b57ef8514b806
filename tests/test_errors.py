"""Errors have Node's codes, texts and classes."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from txnodetls import errors


def test_an_error_shows_its_message_and_its_code() -> None:
    error = errors.NodeError("no", "ERR_NO", blame=errors.Blame.PEER)

    assert (str(error), error.message, error.code) == ("no", "no", "ERR_NO")
    assert repr(error) == "<NodeError [ERR_NO]: no>"
    assert error.blame is errors.Blame.PEER
    assert error.phase is error.alert is None


def test_javascripts_classes_are_pythons_too() -> None:
    assert isinstance(errors.NodeTypeError("x"), TypeError)
    assert isinstance(errors.NodeRangeError("x"), ValueError)


def test_a_system_error_has_nodes_text_and_number() -> None:
    error = errors.socketError(errno.ECONNREFUSED, "connect", "127.0.0.1", 80)

    assert error.message == "connect ECONNREFUSED 127.0.0.1:80"
    assert (error.code, error.errno, error.syscall) == ("ECONNREFUSED", -111, "connect")
    assert (error.address, error.port) == ("127.0.0.1", 80)


def test_a_port_in_use_has_libuvs_words() -> None:
    error = errors.socketError(errno.EADDRINUSE, "listen", "::", 80)

    assert error.message == "listen EADDRINUSE: address already in use :::80"


def test_an_unknown_number_is_still_an_error() -> None:
    assert errors.socketError(99999, "read").code == "Unknown system error 99999"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "Received null"),
        (True, "Received type boolean (true)"),
        (1.5, "Received type number (1.5)"),
        ("x", "Received type string ('x')"),
        ("x" * 40, f"Received type string ('{'x' * 25}...')"),
        ([], "Received an instance of Array"),
        ({}, "Received an instance of Object"),
        (len, "Received function len"),
        (b"", "Received an instance of bytes"),
    ],
)
def test_a_wrong_type_is_described(value: Any, shown: str) -> None:
    error = errors.invalidArgType("options.key", "of type string", value)

    assert error.code == "ERR_INVALID_ARG_TYPE"
    assert error.message == f'The "options.key" property must be of type string. {shown}'


def test_an_argument_is_no_property() -> None:
    assert "argument must be" in errors.invalidArgType("port", "a number", 1).message


@pytest.mark.parametrize(
    ("value", "shown"), [(7, "7"), ("x", "'x'"), (None, "null"), (True, "true")]
)
def test_a_wrong_value_is_shown_as_node_shows_it(value: Any, shown: str) -> None:
    error = errors.invalidArgValue("options.x", value)

    assert error.message == f"The property 'options.x' is invalid. Received {shown}"


def test_a_number_out_of_range_says_the_bounds() -> None:
    error = errors.outOfRange("size", ">= 1", 0)

    assert error.message == 'The value of "size" is out of range. It must be >= 1. Received 0'


def test_missing_arguments_are_all_named() -> None:
    assert errors.missingArgs("a").message == 'The "a" argument must be specified'
    assert errors.missingArgs("a", "b", "c").message == (
        'The "a", "b", and "c" arguments must be specified'
    )


def test_a_feature_that_cannot_be_had_names_its_function() -> None:
    error = errors.featureUnavailable("ticketKeys", "SSL_CTX_ctrl")

    assert error.code == "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM"
    assert "ticketKeys" in error.message
    assert "SSL_CTX_ctrl" in error.message


def test_a_certificate_error_carries_what_was_compared() -> None:
    error = errors.CertificateError("why", "host", {"subject": {}})

    assert error.code == "ERR_TLS_CERT_ALTNAME_INVALID"
    assert (error.reason, error.host, error.cert) == ("why", "host", {"subject": {}})
