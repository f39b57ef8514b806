"""
Many clients at once, for the daemon: each sends pieces and wants them back as they were.

They run on an event loop of their own in a thread, with the standard library's C{ssl}; so do
the backends.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

__all__ = ["Load", "Loop"]

PIECE = 8192


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any], timeout: float = 60) -> Any:
        """The result of a coroutine, run there."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    def close(self) -> None:
        async def end() -> None:
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        with contextlib.suppress(TimeoutError):
            self.run(end(), 20)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Client:
    """One client: C{exchanged} bytes so far; C{error}, if it has broken."""

    def __init__(self, number: int) -> None:
        self.exchanged = 0
        self.error: BaseException | None = None
        self.number = number
        self.rounds = 0

    async def run(self, load: Load) -> None:
        reader, writer = None, None
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", load.port, ssl=load.context, server_hostname="localhost"
            )
            load.opened += 1
            while not load.ending.is_set():
                piece = (b"%06d %06d|" % (self.number, self.rounds)).ljust(PIECE, b"x")
                writer.write(piece)
                assert await reader.readexactly(PIECE) == piece, "bytes were changed"
                self.exchanged += PIECE
                self.rounds += 1
                await asyncio.sleep(load.pause)
            writer.write_eof() if writer.can_write_eof() else None
        except (OSError, asyncio.IncompleteReadError, AssertionError, ssl.SSLError) as error:
            self.error = error
        finally:
            if writer is not None:
                writer.close()
                with contextlib.suppress(OSError, ssl.SSLError):
                    await writer.wait_closed()


class Load:
    """
    C{count} clients of a port.

    @param pause: seconds between two pieces of a client's.
    """

    def __init__(
        self, loop: Loop, port: int, context: ssl.SSLContext, count: int, pause: float = 0.02
    ) -> None:
        self.port, self.context, self.pause = port, context, pause
        self.opened = 0
        self.ending = asyncio.Event()
        self.clients = [Client(number) for number in range(count)]
        self._loop = loop
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, timeout: float = 60, abreast: int = 40) -> None:
        """Connect all of them, so many abreast; done when each has exchanged something."""

        async def work() -> None:
            gate = asyncio.Semaphore(abreast)

            async def one(client: Client) -> None:
                async with gate:
                    self._tasks.append(asyncio.create_task(client.run(self)))
                    while not client.rounds and client.error is None:
                        await asyncio.sleep(0.005)

            await asyncio.gather(*(one(client) for client in self.clients))

        self._loop.run(work(), timeout)

    def advance(self, rounds: int = 2, timeout: float = 60) -> None:
        """Wait until each that is not broken has exchanged so many pieces more."""

        async def work() -> None:
            goals = [client.rounds + rounds for client in self.clients]
            for client, goal in zip(self.clients, goals, strict=True):
                while client.rounds < goal and client.error is None:
                    await asyncio.sleep(0.005)

        self._loop.run(work(), timeout)

    def finish(self, timeout: float = 60) -> list[Client]:
        """End all of them; those that broke."""

        async def work() -> None:
            self.ending.set()
            await asyncio.gather(*self._tasks)

        self._loop.run(work(), timeout)
        return [client for client in self.clients if client.error is not None]

    @property
    def exchanged(self) -> int:
        """Bytes that went there and came back, of all clients."""
        return sum(client.exchanged for client in self.clients)


async def echoBackend() -> asyncio.Server:
    """A plain echo; its port is C{server.sockets[0].getsockname()[1]}."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
