"""
What Python programmers expect of a stream: C{async for} and C{async with}.

::

    async with tls.connect(443, "example.org") as socket:
        socket.write(b"...")
        async for chunk in socket:
            ...

These run in any coroutine that Twisted drives (C{Deferred.fromCoroutine}), and under its asyncio
reactor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from twisted.internet.defer import Deferred

from txnodetls.streams.life import streamError
from txnodetls.streams.states import OVER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from txnodetls.streams.duplex import Duplex

__all__ = ["Conveniences"]

_Stream = TypeVar("_Stream", bound="Conveniences")


class Conveniences:
    """To be mixed into a L{txnodetls.streams.Duplex}."""

    __slots__ = ()

    def __aiter__(self) -> AsyncIterator[bytes | str]:
        """
        The chunks that come, until the peer's end; C{str} if an encoding is set.

        The next chunk is taken when the loop asks for it, so a slow loop slows the peer down.  A
        loop that is left early leaves the stream open, and another one goes on behind it.  (In
        Node it destroys the stream.)

        @raise Exception: the error the stream was destroyed with; C{ERR_STREAM_PREMATURE_CLOSE}
            if it was destroyed without one before its end.
        """
        return _chunks(cast("Duplex", self))

    async def __aenter__(self: _Stream) -> _Stream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """
        Leave the stream closed: after what is written is flushed, without waiting for the
        peer's end; at once, if the body raised.

        @raise Exception: the error that came while it was flushed.
        """
        stream = cast("Duplex", self)
        if error is not None:
            stream.destroy()
            await _closed(stream)
            return
        failures: list[BaseException] = []
        stream.on("error", failures.append)
        try:
            stream.destroySoon()
            await _closed(stream)
        except BaseException:  # cancelled: it will not wait for the flush any longer
            stream.destroy()
            raise
        finally:
            stream.off("error", failures.append)
        if failures:
            raise failures[0]


async def _closed(stream: Duplex) -> None:
    """Until 'close' was emitted (or, without C{emitClose}, would have been)."""
    if stream._life is not OVER:
        closed: Deferred[None] = Deferred()

        def close(*_: object) -> None:
            if not closed.called:  # it may have been cancelled
                closed.callback(None)

        stream.once(stream._closeEvent, close)
        await closed


async def _chunks(stream: Duplex) -> AsyncIterator[bytes | str]:
    waiting: Deferred[None] | None = None
    failures: list[BaseException] = []

    def wake(*_: object) -> None:
        nonlocal waiting
        if waiting is not None:
            woken, waiting = waiting, None
            if not woken.called:  # it may have been cancelled
                woken.callback(None)

    def fail(error: BaseException) -> None:
        failures.append(error)
        wake()

    over = stream._closeEvent
    stream.on("readable", wake).on("end", wake).on("error", fail).on(over, wake)
    try:
        while True:
            chunk = stream.read()
            if chunk is not None:
                yield chunk
            elif failures:
                raise failures[0]
            elif stream.readableEnded:
                return
            elif stream._life is OVER:
                raise stream.errored or streamError("ERR_STREAM_PREMATURE_CLOSE")
            else:
                waiting = Deferred()
                await waiting
    finally:
        stream.off("readable", wake).off("end", wake).off("error", fail).off(over, wake)
