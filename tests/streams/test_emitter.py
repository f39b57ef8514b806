"""Events are emitted as Node emits them; within the package, nothing is raised."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.conftest import LoggedErrors
from txnodetls.errors import NodeError, NodeTypeError
from txnodetls.streams.emitter import EventEmitter


@pytest.fixture
def emitter() -> EventEmitter:
    return EventEmitter()


@pytest.fixture
def seen() -> list[Any]:
    return []


def test_listenersAreCalledInOrderWithTheArguments(emitter: EventEmitter, seen: list[Any]) -> None:
    emitter.on("x", lambda *args: seen.append((1, args)))
    emitter.addListener("x", lambda *args: seen.append((2, args)))
    emitter.prependListener("x", lambda *args: seen.append((0, args)))
    assert emitter.emit("x", "a", "b") is True
    assert seen == [(0, ("a", "b")), (1, ("a", "b")), (2, ("a", "b"))]


def test_emittingToNobodyIsFalse(emitter: EventEmitter) -> None:
    assert emitter.emit("x") is False
    emitter.on("x", print).off("x", print)
    assert emitter.emit("x") is False
    assert emitter.eventNames() == []


def test_everyRegistrationReturnsTheEmitter(emitter: EventEmitter) -> None:
    for method in ("on", "addListener", "once", "prependListener", "prependOnceListener"):
        assert getattr(emitter, method)("x", print) is emitter
    for method in ("off", "removeListener"):
        assert getattr(emitter, method)("x", print) is emitter
    assert emitter.removeAllListeners("x") is emitter
    assert emitter.removeAllListeners() is emitter


def test_aOnceListenerIsGoneBeforeItIsCalled(emitter: EventEmitter, seen: list[Any]) -> None:
    emitter.once("x", lambda: (seen.append("once"), emitter.emit("x")))
    emitter.prependOnceListener("x", lambda: seen.append("first"))
    emitter.emit("x")
    emitter.emit("x")
    assert seen == ["first", "once"]


def test_aOnceListenerCanBeRemoved(emitter: EventEmitter, seen: list[Any]) -> None:
    emitter.once("x", seen.append)
    assert emitter.listenerCount("x", seen.append) == 1
    emitter.off("x", seen.append)
    emitter.emit("x", 1)
    assert not seen


def test_theListenerAddedLastIsRemovedFirst(emitter: EventEmitter, seen: list[Any]) -> None:
    def again() -> None:
        seen.append("again")

    emitter.on("x", again).on("x", lambda: seen.append("between")).on("x", again)
    emitter.off("x", again)
    emitter.emit("x")
    assert seen == ["again", "between"]
    emitter.off("x", print)  # was never there


def test_anEmissionGoesOnWithTheListenersItBeganWith(
    emitter: EventEmitter, seen: list[Any]
) -> None:
    def last() -> None:
        seen.append("last")

    def first() -> None:
        seen.append("first")
        emitter.off("x", last)
        emitter.on("x", lambda: seen.append("new"))

    emitter.on("x", first).on("x", last)
    emitter.emit("x")
    assert seen == ["first", "last"]
    emitter.off("x", first)
    emitter.emit("x")
    assert seen == ["first", "last", "new"]


def test_newListenerComesBeforeAndRemoveListenerBehind(
    emitter: EventEmitter, seen: list[Any]
) -> None:
    def tell(what: str) -> Any:
        return lambda name, listener: seen.append(
            (what, name, listener, emitter.listenerCount(name))
        )

    emitter.on("newListener", tell("new")).on("removeListener", tell("gone"))
    seen.clear()
    emitter.once("x", print)
    emitter.emit("x")
    emitter.on("y", repr).off("y", repr)
    assert seen == [
        ("new", "x", print, 0),
        ("gone", "x", print, 0),
        ("new", "y", repr, 0),
        ("gone", "y", repr, 0),
    ]


def test_removeAllListenersTellsOfEachLastOneFirst(emitter: EventEmitter, seen: list[Any]) -> None:
    emitter.on("x", print).on("x", repr).on("y", len)
    emitter.on("removeListener", lambda name, listener: seen.append((name, listener)))
    emitter.removeAllListeners("x")
    assert seen == [("x", repr), ("x", print)]
    emitter.removeAllListeners()
    assert seen[2:] == [("y", len)]
    assert emitter.eventNames() == []


def test_removeAllListenersOfOneEventLeavesTheOthers(emitter: EventEmitter) -> None:
    emitter.on("x", print).on("y", print)
    emitter.removeAllListeners("x").removeAllListeners("z")
    assert emitter.eventNames() == ["y"]
    emitter.removeAllListeners()
    assert emitter.eventNames() == []


def test_anErrorNobodyListensToIsRaised(emitter: EventEmitter) -> None:
    error = ValueError("itself")
    with pytest.raises(ValueError, match="itself") as raised:
        emitter.emit("error", error)
    assert raised.value is error


@pytest.mark.parametrize(
    ("args", "text"),
    [((), "Unhandled error. ('undefined')"), (("text",), "Unhandled error. ('text')")],
)
def test_somethingElseThanAnErrorIsWrapped(
    emitter: EventEmitter, args: tuple[Any, ...], text: str
) -> None:
    with pytest.raises(NodeError) as raised:
        emitter.emit("error", *args)
    assert raised.value.code == "ERR_UNHANDLED_ERROR"
    assert raised.value.message == text


def test_whatAListenerRaisesGoesToTheCaller(emitter: EventEmitter, seen: list[Any]) -> None:
    def fail() -> None:
        raise ValueError("listener")

    emitter.on("x", fail).on("x", lambda: seen.append("later"))
    with pytest.raises(ValueError, match="listener"):
        emitter.emit("x")
    assert not seen


def test_listenersAndRawListeners(emitter: EventEmitter, seen: list[Any]) -> None:
    emitter.on("x", print).once("x", seen.append)
    assert emitter.listeners("x") == [print, seen.append]
    raw = emitter.rawListeners("x")
    assert raw[0] is print
    assert raw[1].listener == seen.append
    raw[1]("called by hand")
    assert seen == ["called by hand"]
    assert emitter.listeners("x") == [print]
    raw[1]("again")
    assert seen == ["called by hand"]
    assert emitter.listeners("none") == emitter.rawListeners("none") == []


def test_listenerCount(emitter: EventEmitter) -> None:
    emitter.on("x", print).on("x", print).on("x", repr)
    assert emitter.listenerCount("x") == 3
    assert emitter.listenerCount("x", print) == 2
    assert emitter.listenerCount("y") == emitter.listenerCount("x", len) == 0


def test_aBoundMethodIsTheSameListenerEachTime(emitter: EventEmitter) -> None:
    class Listening:
        def heard(self) -> None:
            raise AssertionError("it was removed")

    listening = Listening()
    emitter.on("x", listening.heard)
    emitter.off("x", listening.heard)
    emitter.emit("x")


def test_anEventNameCanBeAnyObject(emitter: EventEmitter, seen: list[Any]) -> None:
    symbol = object()
    emitter.on(symbol, seen.append).on("x", print)
    emitter.emit(symbol, 1)
    assert seen == [1]
    assert emitter.eventNames() == [symbol, "x"]


@pytest.mark.parametrize(
    "method", ["on", "once", "prependListener", "prependOnceListener", "off", "removeListener"]
)
def test_aListenerMustBeCallable(emitter: EventEmitter, method: str) -> None:
    with pytest.raises(NodeTypeError) as raised:
        getattr(emitter, method)("x", 5)
    assert raised.value.code == "ERR_INVALID_ARG_TYPE"


def test_fireLogsWhatAListenerRaisesAndGoesOn(
    emitter: EventEmitter, seen: list[Any], loggedErrors: LoggedErrors
) -> None:
    def fail(*args: object) -> None:
        raise ValueError("listener")

    emitter.on("x", fail).on("x", seen.append)
    assert emitter._fire("x", 1) is True
    assert emitter._fire("y", 1) is False
    assert seen == [1]
    (error,) = loggedErrors.flush(ValueError)
    assert str(error) == "listener"


def test_fireLogsAnErrorNobodyListensTo(emitter: EventEmitter, loggedErrors: LoggedErrors) -> None:
    assert emitter._fire("error", ValueError("unheard")) is False
    (event,) = loggedErrors.events
    assert event["log_failure"].value.args == ("unheard",)
    loggedErrors.flush()


@pytest.mark.parametrize("way", ["emit", "_fire"])
def test_anAsynchronousListenerIsRun(emitter: EventEmitter, seen: list[Any], way: str) -> None:
    waiting: Deferred[str] = Deferred()

    async def listener(word: str) -> None:
        seen.append(word)
        seen.append(await waiting)

    emitter.on("x", listener)
    getattr(emitter, way)("x", "called")
    assert seen == ["called"]
    waiting.callback("went on")
    assert seen == ["called", "went on"]


@pytest.mark.parametrize("way", ["emit", "_fire"])
def test_aFailureOfAnAsynchronousListenerIsLogged(
    emitter: EventEmitter, way: str, loggedErrors: LoggedErrors
) -> None:
    waiting: Deferred[None] = Deferred()

    async def listener() -> None:
        await waiting
        raise ValueError("late")

    emitter.on("x", listener)
    getattr(emitter, way)("x")
    assert not loggedErrors.events
    waiting.callback(None)
    assert [str(error) for error in loggedErrors.flush(ValueError)] == ["late"]


def test_anEmitterDiesWithoutTheCollector() -> None:
    gc.disable()
    try:
        emitter = EventEmitter()
        emitter.on("x", print).once("y", print)
        gone = weakref.ref(emitter)
        del emitter
        assert gone() is None
    finally:
        gc.enable()
