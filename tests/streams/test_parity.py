"""
Random scripts of operations make the same trace here and in Node.

C{twin.js} runs the scripts on Node's own Duplex; C{Twin} is the same in Python.  A trace has every
event, every call of a hook and of a callback, every result, and after each turn all properties of
the stream.  The scripts keep away from what differs on purpose:

* data that a destroyed stream still holds (Node goes on emitting it);
* a sink that takes a chunk at once while the mark is reached (Node's C{write()} is then True);
* C{end(cb)} on a destroyed stream (Node never calls it);
* C{unshift()} with an encoding set (Node mixes bytes into text);
* 'pause' and 'resume' behind 'close'.
"""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from tests.streams.memory import codeOf
from tests.support import nodeBinary
from txnodetls.errors import NodeError
from txnodetls.streams import Duplex, ticksFor

TWIN = Path(__file__).with_name("twin.js")

KINDS = (
    ["push"] * 8
    + ["write"] * 5
    + ["ack"] * 4
    + ["read"] * 3
    + ["resume", "onData", "uncork", "ackFinal"] * 2
    + ["eof", "unshift", "end", "cork", "pause", "offData", "setEncoding", "destroy"]
    + ["onReadable", "onceReadable", "offReadable", "offAll"]
    + ["refuse", "refuseFinal", "ackDestroy"]
)
NEEDLESS = {
    *("pause", "resume", "onData", "offData", "onReadable", "onceReadable", "offReadable"),
    *("offAll", "pipe", "unpipe", "read", "unshift", "setEncoding"),
}


def textOf(chunk: Any) -> str | None:
    if chunk is None:
        return None
    return f"s:{chunk}" if isinstance(chunk, str) else f"b:{bytes(chunk).decode('latin-1')}"


class Twin(Duplex):
    def __init__(self, options: dict[str, Any], name: int, trace: list[Any], clock: Clock) -> None:
        half = options["allowHalfOpen"]
        super().__init__(reactor=clock, allowHalfOpen=half, **options["marks"])
        self.sink, self.closing = options["sink"], options["closing"]
        self.held: list[Callable[..., object]] = []
        self.heldFinal: Callable[..., object] | None = None
        self.heldDestroy: Callable[..., object] | None = None
        self.over = False
        self.name = name
        self.trace = trace
        for event in ("end", "finish", "drain", "pause", "resume", "close"):
            self.on(event, lambda event=event: self.log(event))
        for event in ("pipe", "unpipe"):
            self.on(event, lambda source, event=event: self.log(event, source.name))
        self.on("error", lambda error: self.log("error", codeOf(error)))
        self.readers = {"all": self.readAll, "three": self.readThree, "none": self.readNone}

    def log(self, *what: Any) -> None:
        self.trace.append([self.name, *what])

    def onData(self, chunk: Any) -> None:
        self.log("data", textOf(chunk))

    def readAll(self) -> None:
        self.log("readable")
        while (chunk := self.read()) is not None:
            self.log("got", textOf(chunk))

    def readThree(self) -> None:
        self.log("readable")
        self.log("got", textOf(self.read(3)))

    def readNone(self) -> None:
        self.log("readable")

    def _read(self) -> None:
        pass

    def _taken(self, what: str | None, callback: Callable[..., object]) -> bool:
        self.log("sink", what)
        if self.sink == "now":
            return True
        self.held.append(callback)
        return False

    def _write(self, chunk: Any, callback: Callable[..., object]) -> bool:
        return self._taken(textOf(chunk), callback)

    def _writev(self, chunks: list[bytes], callback: Callable[..., object]) -> bool:
        return self._taken("+".join(str(textOf(chunk)) for chunk in chunks), callback)

    def _final(self, callback: Callable[..., object]) -> None:
        self.log("final")
        if self.closing == "now":
            callback(None)
        else:
            self.heldFinal = callback

    def _destroy(self, error: BaseException | None, callback: Callable[..., object]) -> None:
        self.log("destroy", codeOf(error))
        held, self.held = self.held, []
        for waiting in held:
            waiting(ValueError("cut"))
        if self.closing == "now":
            callback(error)
        else:
            self.heldDestroy = lambda: callback(error)

    def state(self) -> list[Any]:
        return [
            *(self.readable, self.writable, self.readableFlowing, self.readableLength),
            *(self.readableEnded, self.writableLength, self.writableEnded, self.writableFinished),
            *(self.writableNeedDrain, self.writableCorked, self.destroyed, self.closed),
            *(codeOf(self.errored), self.isPaused(), self.readableAborted, self.readableEncoding),
        ]

    # The operations

    def done(self, number: int | None) -> tuple[Callable[..., object], ...]:
        if number is None:
            return ()
        return (lambda error=None: self.log("cb", number, codeOf(error)),)

    def do(self, everyone: list[Twin], name: str, *args: Any) -> None:
        if self.destroyed and name in NEEDLESS:
            return
        late = not self.destroyed and self.readableLength and self.writableEnded
        if late and name in ("write", "end"):
            return  # the error would destroy a stream that holds data
        operation = getattr(self, f"do_{name}", None)
        try:
            if name in ("pipe", "unpipe"):
                other = None if args[0] is None else everyone[args[0]]
                getattr(self, name)(other, *({"end": end} for end in args[1:]))
            elif operation is None:
                getattr(self, name)(*args)
            else:
                operation(*args)
        except NodeError as error:
            self.log("threw", codeOf(error))

    def do_push(self, chunk: str) -> None:
        if not self.destroyed and not (self.over and self.readableLength):
            self.log("pushed", self.push(chunk.encode()))

    def do_eof(self) -> None:
        if not self.destroyed:
            self.over = True
            self.push(None)

    def do_unshift(self, chunk: str) -> None:
        if not self.readableEnded and not self.readableEncoding:
            self.unshift(chunk.encode())

    def do_write(self, chunk: str, number: int | None) -> None:
        self.log("wrote", self.write(chunk, *self.done(number)))

    def do_end(self, chunk: str | None, number: int | None) -> None:
        self.end(chunk, *self.done(None if self.destroyed else number))

    def do_onData(self) -> None:
        self.on("data", self.onData)

    def do_offData(self) -> None:
        self.off("data", self.onData)

    def do_onReadable(self, which: str) -> None:
        self.on("readable", self.readers[which])

    def do_onceReadable(self, which: str) -> None:
        self.once("readable", self.readers[which])

    def do_offReadable(self, which: str) -> None:
        self.off("readable", self.readers[which])

    def do_offAll(self, event: str) -> None:
        self.removeAllListeners(event)

    def do_read(self, n: int | None) -> None:
        self.log("got", textOf(self.read(n)))

    def do_destroy(self, message: str | None) -> None:
        if not self.readableLength:
            self.destroy(None if message is None else ValueError(message))

    def do_ack(self) -> None:
        if self.held:
            self.held.pop(0)(None)

    def do_refuse(self) -> None:
        if self.held and not self.readableLength:
            self.held.pop(0)(ValueError("refused"))

    def do_ackFinal(self) -> None:
        final, self.heldFinal = self.heldFinal, None
        if final is not None:
            final(None)

    def do_refuseFinal(self) -> None:
        final = self.heldFinal
        if final is not None and not self.readableLength:
            self.heldFinal = None
            final(ValueError("final"))

    def do_ackDestroy(self) -> None:
        destroy, self.heldDestroy = self.heldDestroy, None
        if destroy is not None:
            destroy()


def run(script: dict[str, Any]) -> list[Any]:
    clock, trace = Clock(), []  # type: ignore[var-annotated]
    streams = [Twin(each, i, trace, clock) for i, each in enumerate(script["streams"])]
    clock.advance(0)

    def turn(operations: list[Any]) -> None:
        trace.extend([stream.name, "state", *stream.state()] for stream in streams)
        for index, name, *args in operations:
            streams[index].do(streams, name, *args)

    for operations in [*script["turns"], []]:
        ticksFor(clock).turn(turn, operations)
    return trace


class Author:
    """Writes random scripts."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.number = 0

    def chunk(self) -> str:
        self.number += 1
        return f"{chr(97 + self.number % 26)}{self.number}" * self.random.choice([1, 1, 2, 3, 9])

    def callback(self) -> int | None:
        self.number += 1
        return self.number if self.random.random() < 0.5 else None

    def operation(self, index: int) -> list[Any]:
        kind, choice = self.random.choice(KINDS), self.random.choice
        match kind:
            case "push" | "unshift":
                args: list[Any] = [self.chunk()]
            case "write":
                args = [self.chunk(), self.callback()]
            case "end":
                args = [self.chunk() if self.random.random() < 0.4 else None, self.callback()]
            case "onReadable" | "offReadable":
                args = [choice(["all", "three", "none"])]
            case "onceReadable":
                args = [choice(["all", "three"])]
            case "offAll":
                args = ["readable"]
            case "read":
                args = [choice([None, None, 0, 1, 3, 5, 40])]
            case "setEncoding":
                args = [choice(["utf8", "hex", "latin1", "base64"])]
            case "destroy":
                args = [choice([None, "boom"])]
            case _:
                args = []
        return [index, kind, *args]

    def stream(self) -> dict[str, Any]:
        choice = self.random.choice
        sink = choice(["now", "later", "later"])
        return {
            "sink": sink,
            "closing": choice(["now", "now", "later"]),
            "allowHalfOpen": self.random.random() < 0.7,
            "marks": {
                "readableHighWaterMark": choice([0, 4, 16, 64]),
                "writableHighWaterMark": 10**6 if sink == "now" else choice([1, 4, 16, 64]),
            },
        }

    def script(self, count: int) -> dict[str, Any]:
        streams = [self.stream() for _ in range(count)]
        turns = []
        piped = count == 1
        for _ in range(self.random.randint(1, 8)):
            length = self.random.choice([1, 1, 2, 3, 4, 6])
            turn = [self.operation(self.random.randrange(count)) for _ in range(length)]
            if not piped and self.random.random() < 0.5:
                piped = True
                turn.insert(
                    self.random.randint(0, length), [0, "pipe", 1, self.random.random() < 0.8]
                )
            if count > 1 and self.random.random() < 0.1:
                turn.append([0, "unpipe", self.random.choice([None, 1])])
            turns.append(turn)
        return {"streams": streams, "turns": turns}


def comparable(trace: list[Any]) -> list[Any] | None:
    """A trace without what differs on purpose; None if Node gave data of a destroyed stream."""
    destroyed, closed, kept = set(), set(), []
    for name, what, *more in trace:
        if what == "destroy":
            destroyed.add(name)
        elif what == "close":
            closed.add(name)
        elif what in ("data", "got") and name in destroyed and more[0] is not None:
            return None
        elif what in ("pause", "resume") and name in closed:
            continue
        elif what == "state" and name in destroyed:
            more[3] = 0  # readableLength
        kept.append([name, what, *more])
    return kept


@pytest.mark.parametrize("count", [1, 2], ids=["one stream", "two streams"])
@pytest.mark.parametrize("seed", [11, 12])
def test_randomScriptsMakeTheSameTrace(seed: int, count: int) -> None:
    author = Author(seed)
    scripts = [author.script(count) for _ in range(500)]
    node = subprocess.run(
        [nodeBinary(), str(TWIN)],
        input=json.dumps(scripts),
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    compared = 0
    for script, trace in zip(scripts, json.loads(node.stdout), strict=True):
        expected = comparable(trace)
        if expected is not None:
            compared += 1
            assert comparable(json.loads(json.dumps(run(script)))) == expected, script
    assert compared > len(scripts) * 0.9
