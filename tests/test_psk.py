"""What pskCallback may answer."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import succeed

from txnodetls import NodeError
from txnodetls.psk import MAX_IDENTITY, MAX_KEY, clientPsk, serverPsk

KEY = b"k" * 16


def answered(answer: Any) -> tuple[bytes, bytes] | None:
    return clientPsk(lambda hint: answer, "hint")


def keyFor(answer: Any, identity: bytes = b"alice") -> bytes | None:
    return serverPsk(lambda socket, name: answer, None, identity)  # type: ignore[arg-type]


def test_the_client_gets_the_hint_and_gives_identity_and_key() -> None:
    hints: list[str | None] = []

    def callback(hint: str | None) -> dict[str, Any]:
        hints.append(hint)
        return {"psk": KEY, "identity": "älice"}

    assert clientPsk(callback, "hint") == ("älice".encode(), KEY)
    assert clientPsk(callback, None) == ("älice".encode(), KEY)
    assert hints == ["hint", None]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_keys_may_be_any_bytes(kind: Any) -> None:
    assert answered({"psk": kind(KEY), "identity": "a"}) == (b"a", KEY)
    assert keyFor(kind(KEY)) == KEY
    assert keyFor({"psk": kind(KEY)}) == KEY


def test_none_is_none() -> None:
    assert answered(None) is None
    assert keyFor(None) is None


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("text", "ERR_INVALID_ARG_TYPE"),
        (b"key", "ERR_INVALID_ARG_TYPE"),
        ({}, "ERR_INVALID_ARG_TYPE"),
        ({"psk": "text", "identity": "a"}, "ERR_INVALID_ARG_TYPE"),
        ({"psk": KEY}, "ERR_INVALID_ARG_TYPE"),
        ({"psk": KEY, "identity": b"a"}, "ERR_INVALID_ARG_TYPE"),
        ({"psk": b"k" * (MAX_KEY + 1), "identity": "a"}, "ERR_INVALID_ARG_VALUE"),
        ({"psk": KEY, "identity": "a" * (MAX_IDENTITY + 1)}, "ERR_INVALID_ARG_VALUE"),
        ({"psk": KEY, "identity": "ä" * (MAX_IDENTITY // 2 + 1)}, "ERR_INVALID_ARG_VALUE"),
    ],
)
def test_a_clients_wrong_answers(answer: Any, code: str) -> None:
    with pytest.raises(NodeError) as raised:
        answered(answer)
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("text", "ERR_INVALID_ARG_TYPE"),
        (True, "ERR_INVALID_ARG_TYPE"),
        ({}, "ERR_INVALID_ARG_TYPE"),
        ({"psk": "text"}, "ERR_INVALID_ARG_TYPE"),
        (b"k" * (MAX_KEY + 1), "ERR_INVALID_ARG_VALUE"),
    ],
)
def test_a_servers_wrong_answers(answer: Any, code: str) -> None:
    with pytest.raises(NodeError) as raised:
        keyFor(answer)
    assert raised.value.code == code


def test_the_limits_themselves_are_allowed() -> None:
    assert answered({"psk": b"k" * MAX_KEY, "identity": "i" * MAX_IDENTITY})
    assert keyFor(b"k" * MAX_KEY)


def test_an_error_does_not_show_the_key() -> None:
    secret = b"s3cret" * 100
    for call in (lambda: answered({"psk": secret, "identity": "a"}), lambda: keyFor(secret)):
        with pytest.raises(NodeError) as raised:
            call()
        assert "s3cret" not in raised.value.message


def test_the_server_is_told_whose_connection_it_is() -> None:
    socket = object()
    seen: list[Any] = []
    serverPsk(lambda *given: seen.extend(given), socket, b"al\xc3\xa4\xff")  # type: ignore[arg-type, func-returns-value]
    assert seen == [socket, "al\xe4�"]


async def later(*_: Any) -> bytes:
    return KEY


@pytest.mark.parametrize("answer", [lambda *_: succeed(KEY), later])
def test_it_has_to_answer_at_once(answer: Any) -> None:
    with pytest.raises(TypeError):
        clientPsk(answer, None)
    with pytest.raises(TypeError):
        serverPsk(answer, None, b"a")  # type: ignore[arg-type]
