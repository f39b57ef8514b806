"""
A connection that has to say first who it is for: its PROXY header is read before its TLS begins.

    carrier → L{Arrival}, until the header is there → the TLS server, with what came behind it

It has a limited time for that, and is limited in what it may send.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from txnodetls.daemon.proxyprotocol import Header, HeaderError, HeaderReader
from txnodetls.openssl.areas import INPUT

__all__ = ["Arrival"]


class Arrival:
    """
    Owns a carrier until its header is there.

    @param seconds: that it may take.
    @param arrived: called with the header and what came behind it.
    @param failed: called with what is wrong; the carrier is gone then.
    """

    def __init__(
        self,
        reactor: Any,
        carrier: Any,
        seconds: float,
        arrived: Callable[[Header, bytes], object],
        failed: Callable[[BaseException], object],
    ) -> None:
        self._carrier = carrier
        self._arrived = arrived
        self._failed: Callable[[BaseException], object] | None = failed
        self._reader = HeaderReader()
        self._timer = reactor.callLater(seconds, self._late)
        carrier.attach(self)
        carrier.resume()

    def abort(self) -> None:
        """Give it up."""
        self._end(HeaderError("no PROXY header in time"))

    close = abort

    def count(self) -> tuple[int, int]:
        """Nothing is counted yet."""
        return 0, 0

    def carrierData(self, data: bytes) -> None:
        """Bytes came."""
        if self._failed is None:
            return
        try:
            if not self._reader.receive(data):
                return
        except HeaderError as error:
            self._end(error)
            return
        header = self._reader.header
        assert header is not None
        self._failed = None
        self._stopTimer()
        self._carrier.pause()
        self._carrier.attach(None)
        self._arrived(header, self._reader.rest)

    def carrierArea(self, length: int) -> None:
        """Bytes came, in the shared area."""
        self.carrierData(bytes(INPUT.view[:length]))

    def carrierEnd(self) -> None:
        """The peer has ended."""
        self._end(HeaderError("ended before its PROXY header"))

    def carrierDrained(self) -> None:
        """Nothing is sent."""

    def carrierClosed(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._end(error or HeaderError("ended before its PROXY header"))

    def _late(self) -> None:
        self._end(HeaderError("no PROXY header in time"))

    def _end(self, error: BaseException) -> None:
        failed, self._failed = self._failed, None
        self._stopTimer()
        if failed is not None:
            self._carrier.attach(None)
            self._carrier.abort()
            failed(error)

    def _stopTimer(self) -> None:
        if self._timer.active():
            self._timer.cancel()
