"""Whatever is done in whatever order: what no stream may ever break."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.memory import Pair, Recorded

OPERATIONS = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 9)),
    st.tuples(st.just("write with callback"), st.integers(0, 9)),
    *(
        st.tuples(st.just(name), st.just(0))
        for name in ("pause", "resume", "cork", "uncork", "read", "pump", "once", "unshift")
    ),
)
ENDINGS = st.sampled_from(["end", "destroy", "destroy with error", "destroy the reader", "nothing"])


class Watched:
    """A pair, of which one end writes and the other reads, and what came through."""

    def __init__(self, mark: int, half: bool) -> None:
        self.pair = Pair(highWaterMark=mark, allowHalfOpen=half)
        self.writer, self.reader = self.pair.a, self.pair.b
        self.sent = bytearray()
        self.came = bytearray()
        self.events: dict[Any, list[str]] = {self.writer: [], self.reader: []}
        self.owed = 0
        self.called: list[int] = []
        for end, events in self.events.items():
            for name in ("end", "finish", "close", "error"):
                end.on(name, lambda *_, name=name, events=events: events.append(name))
        self.reader.on("data", self.data)

    def data(self, chunk: bytes) -> None:
        assert "end" not in self.events[self.reader]
        assert "close" not in self.events[self.reader]
        self.came += chunk

    def write(self, size: int, withCallback: bool) -> None:
        chunk = bytes((len(self.sent) + i) % 251 for i in range(size))
        memory = bytearray(chunk)
        if self.writer.writable:
            self.sent += chunk
        if withCallback:
            number, self.owed = self.owed, self.owed + 1
            self.writer.write(memory, lambda error: self.called.append(number))
        else:
            self.writer.write(memory)
        memory[:] = b"\xff" * size

    def do(self, name: str, size: int) -> None:
        if name.startswith("write"):
            self.write(size, name != "write")
        elif name in ("cork", "uncork"):
            getattr(self.writer, name)()
        elif name == "pump":
            self.pair.pump()
        elif name == "once":
            self.reader.once("readable", lambda: None)
        elif name == "unshift":
            piece = self.reader.read(1)
            if piece is not None:
                del self.came[-1:]
                self.reader.unshift(piece)
        else:
            getattr(self.reader, name)()

    def finish(self, ending: str) -> None:
        if ending == "end":
            number, self.owed = self.owed, self.owed + 1
            self.writer.end(lambda error: self.called.append(number))
        elif ending == "destroy the reader":
            self.reader.destroy()
        elif ending.startswith("destroy"):
            self.writer.destroy(ValueError(ending) if "error" in ending else None)
        self.pair.pump()
        while self.writer.writableCorked:
            self.writer.uncork()
        self.reader.removeAllListeners("readable")
        self.reader.resume()
        self.pair.pump()


@settings(max_examples=300, deadline=None)
@given(st.lists(OPERATIONS, max_size=30), ENDINGS, st.sampled_from([0, 1, 8, 65536]), st.booleans())
def test_everyByteOnceInOrderAndOneClose(
    operations: list[tuple[str, int]], ending: str, mark: int, half: bool
) -> None:
    watched = Watched(mark, half)
    for operation in operations:
        watched.do(*operation)
    watched.finish(ending)

    assert watched.sent.startswith(watched.came)
    writer, reader = watched.events[watched.writer], watched.events[watched.reader]
    if ending in ("end", "nothing"):
        assert watched.came == watched.sent
        assert watched.called == list(range(watched.owed))
    for events in (writer, reader):
        for name in ("end", "finish", "close", "error"):
            assert events.count(name) <= 1
        assert "close" not in events[:-1]
    if ending == "end":
        assert writer[0] == "finish"
        assert reader[0] == "end"
    if ending.startswith("destroy"):
        destroyed = reader if "reader" in ending else writer
        assert destroyed[-1] == "close"
        assert sorted(watched.called) == list(range(watched.owed))
        assert ("error" in destroyed) == ("error" in ending)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["push", "eof", "write", "end", "pause", "resume", "read", "ack", "destroy", "turn"]
        ),
        max_size=25,
    ),
    st.sampled_from(["now", "later"]),
)
def test_nothingIsHeardBehindClose(operations: list[str], sink: str) -> None:
    stream = Recorded(sink=sink, highWaterMark=4).record("data").record("readable")
    acts = {
        "push": lambda: stream.push(b"abc"),
        "eof": lambda: stream.push(None),
        "write": lambda: stream.write(b"abc"),
        "end": stream.end,
        "pause": stream.pause,
        "resume": stream.resume,
        "read": stream.read,
        "ack": lambda: stream.held and stream.held.pop(0)(None),
        "destroy": stream.destroy,
        "turn": stream.turn,
    }
    for name in [*operations, "turn", "destroy", "turn", *operations, "turn"]:
        acts[name]()
    seen = [entry if isinstance(entry, str) else entry[0] for entry in stream.seen]
    assert seen.count("close") == seen.count("destroy") == 1
    assert seen[-1] == "close"
    assert seen.count("error") <= 1
    assert seen.count("end") <= 1
    if "end" in seen:
        assert "data" not in seen[seen.index("end") :]
