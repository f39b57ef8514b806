"""Hooks may answer as they like; whoever asked hears of it once per answer."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable, Generator
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from txnodetls.answers import ask, follow, refuseAsynchronous


class Oops(Exception):
    """What a hook raises."""


class Answers:
    """The answers so far, as (error, value)."""

    def __init__(self) -> None:
        self.heard: list[tuple[BaseException | None, Any]] = []

    def __call__(self, error: BaseException | None, value: Any) -> None:
        self.heard.append((error, value))


@pytest.fixture
def answers() -> Answers:
    return Answers()


class Awaitable:
    """Something that can be awaited and is no coroutine."""

    def __init__(self, deferred: Deferred[Any]) -> None:
        self.deferred = deferred

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield from self.deferred.__await__())


OOPS = Oops()


def raising(*_: Any) -> Any:
    raise OOPS


async def coroutine(*_: Any) -> str:
    return "value"


async def failing(*_: Any) -> str:
    raise OOPS


@pytest.mark.parametrize(
    ("hook", "heard"),
    [
        (lambda cb: cb(), (None, None)),
        (lambda cb: cb(None), (None, None)),
        (lambda cb: cb(None, "value"), (None, "value")),
        (lambda cb: cb(OOPS), (OOPS, None)),
        (lambda cb: "value", (None, "value")),
        (lambda cb: False, (None, False)),
        (lambda cb: succeed("value"), (None, "value")),
        (lambda cb: succeed(None), (None, None)),
        (lambda cb: fail(OOPS), (OOPS, None)),
        (coroutine, (None, "value")),
        (failing, (OOPS, None)),
        (lambda cb: Awaitable(succeed("value")), (None, "value")),
        (lambda cb: Awaitable(fail(OOPS)), (OOPS, None)),
        (raising, (OOPS, None)),
    ],
)
def test_every_form_of_an_answer(
    hook: Callable[..., Any], heard: tuple[Any, Any], answers: Answers
) -> None:
    ask(hook, (), answers)
    assert answers.heard == [heard]


def test_arguments_come_before_the_callback(answers: Answers) -> None:
    ask(lambda a, b, cb: cb(None, a + b), (1, 2), answers)
    assert answers.heard == [(None, 3)]


def test_none_means_that_the_callback_comes_later(answers: Answers) -> None:
    kept: list[Any] = []
    ask(kept.append, (), answers)
    assert answers.heard == []
    kept[0](None, "late")
    assert answers.heard == [(None, "late")]


def test_a_deferred_may_fire_later(answers: Answers) -> None:
    deferred: Deferred[str] = Deferred()
    ask(lambda cb: deferred, (), answers)
    assert answers.heard == []
    deferred.callback("late")
    assert answers.heard == [(None, "late")]


def test_a_coroutine_may_wait(answers: Answers) -> None:
    deferred: Deferred[str] = Deferred()

    async def hook(cb: Any) -> str:
        return await deferred + "!"

    ask(hook, (), answers)
    assert answers.heard == []
    deferred.callback("late")
    assert answers.heard == [(None, "late!")]


def test_a_coroutine_may_use_the_callback(answers: Answers) -> None:
    """What it returns at its end, None, is no second answer."""

    async def hook(cb: Any) -> None:
        cb(None, await succeed("value"))

    ask(hook, (), answers)
    assert answers.heard == [(None, "value")]


def test_what_is_answered_twice_is_heard_twice(answers: Answers) -> None:
    def hook(cb: Any) -> str:
        cb(None, 1)
        cb(None, 2)
        return "three"

    ask(hook, (), answers)
    assert [value for _, value in answers.heard] == [1, 2, "three"]


def test_an_error_behind_an_answer_is_heard(answers: Answers) -> None:
    def hook(cb: Any) -> None:
        cb(None, 1)
        raise OOPS

    ask(hook, (), answers)
    assert answers.heard == [(None, 1), (OOPS, None)]


def test_asyncios_futures_are_awaited_too(answers: Answers) -> None:
    loop = asyncio.new_event_loop()
    try:
        future: asyncio.Future[str] = loop.create_future()
        ask(lambda cb: future, (), answers)
        assert answers.heard == []
        future.set_result("value")
        loop.run_until_complete(asyncio.sleep(0))
        assert answers.heard == [(None, "value")]
    finally:
        loop.close()


def test_following_takes_none_for_an_answer(answers: Answers) -> None:
    follow(None, answers)
    follow(succeed(1), answers)
    assert answers.heard == [(None, None), (None, 1)]


@pytest.mark.parametrize("value", [None, True, "text", {}, OOPS])
def test_what_has_to_be_known_at_once_may_be_anything_plain(value: Any) -> None:
    assert refuseAsynchronous("hook", value) is value


@pytest.mark.parametrize(
    "make", [lambda: succeed(True), lambda: fail(OOPS), lambda: Awaitable(succeed(True)), coroutine]
)
def test_what_has_to_be_known_at_once_cannot_come_later(make: Callable[[], Any]) -> None:
    """A Deferred would be as good as True; a coroutine is closed, a failure is nobody's."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TypeError, match="checkServerIdentity has to answer at once"):
            refuseAsynchronous("checkServerIdentity", make())
        gc.collect()
