"""
Carriers of our own over TCP and UNIX sockets: the fast way.

They stand on nothing of Twisted's but the reactor's public face for descriptors
(C{IReactorFDSet}), and not on C{twisted.internet.tcp}.  What that buys:

- A read goes by C{recv_into} to the input area that all connections share, where OpenSSL takes
  it from; no C{bytes} object is made for ciphertext.
- A write tries the socket first, and queues only what the kernel did not take.
- The number of an error is known (C{ECONNRESET} or C{ETIMEDOUT}, of C{read} or of C{write}),
  which Twisted's transports keep to themselves.
- A connection that is not secured (C{net.Socket}) and one that is cost one small object here.

Each connection has two halves, and each half one state:

    sending:    OPEN -> ENDING (FIN owed: behind the queue, at the end of the turn) -> ENDED
                OPEN -> LEAVING (close owed: behind the queue)
                any -> PARTING (close owed: with what others have to send)
                OPEN -> BROKEN (a write failed, the owner is about to be told)
    receiving:  PAUSED <-> FLOWING -> ENDED
                any -> DISCARDING (while LEAVING or PARTING)

LEAVING has its time, or a peer that never reads could keep as many sockets
open, with all that is queued for them, as it likes.

What the kernel and the reactors do, which the code below relies on:

- After RST arrived, bytes that came before it can still be read.  So when a write fails, what
  is there is read first: often it is the alert that says why the peer left.
- C{epoll} and C{poll} report RST as HUP/ERR.  Twisted turns that, without readable data, into
  C{readConnectionLost} or C{connectionLost}; the reason is then asked from the socket itself.
- Reactors keep descriptors by number: a descriptor is taken out before its socket is closed.
- To close a socket with unread input sends RST, which may destroy on the peer's side what was
  sent just before, a TLS alert above all.  So input is thrown away while a close waits for the
  queue, and once more, as much as is there, before an abort.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from enum import Enum
from itertools import islice
from typing import Any

from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableDescriptor,
    IReadWriteDescriptor,
)
from zope.interface import implementer

from txnodetls.openssl.areas import INPUT
from txnodetls.streams.ticks import TickQueue
from txnodetls.transports.carrier import Address, Carrier, Data, brokenConnection
from txnodetls.transports.polling import Poller, pollerFor

__all__ = ["SocketCarrier", "addressOf", "checkedPath", "fits", "numberOf"]

_INPUT = INPUT.view
_TRASH = bytearray(64 * 1024)
_PATIENCE = 30.0  # seconds that a peer has to take the last bytes: its line may be slow
_INPUT_SIZE = INPUT.size
_READS_ON = 3  # reads behind one that filled the input area, before others have their turn
_TRASH_READS = 16  # at most; a peer that sends on and on is not waited for
_PIECES = 64  # of the queue, per sendmsg; Linux takes 1024
_RESET = struct.pack("ii", 1, 0)
_KEEPALIVE_INTERVAL = 1  # seconds between probes, and their number: as Node (libuv) sets them
_KEEPALIVE_PROBES = 10


def fits(reactor: object) -> bool:
    """
    Whether sockets of our own can be used with this reactor.

    They can with the reactors that wait for descriptors: select, poll, epoll, kqueue, asyncio
    and those built like them.  Not with IOCP, nor with the fake reactors of tests, which have
    the methods but no descriptors behind them.
    """
    from twisted.internet.posixbase import PosixReactorBase

    return os.name == "posix" and isinstance(reactor, PosixReactorBase)


def addressOf(name: Any) -> Address:
    """
    Node's form of a socket address, whose shape says the family: to ask the socket costs more.

    @param name: what C{getsockname}, C{getpeername} or C{accept} gave.
    """
    if name.__class__ is not tuple:  # a UNIX socket's
        return {}
    if len(name) == 2:
        return {"address": name[0], "family": "IPv4", "port": name[1]}
    host, port, _, scope = name
    if scope and "%" not in host:
        try:
            host = f"{host}%{socket.if_indextoname(scope)}"
        except OSError:  # the interface has gone in the meantime
            host = f"{host}%{scope}"
    return {"address": host, "family": "IPv6", "port": port}


def checkedPath(path: str) -> str:
    """
    The path of a UNIX socket; one that begins with NUL is a name without a file (Linux).

    @raise OSError: C{EINVAL}: it cannot be a path, or there is another NUL in it, at which the
        kernel would cut it off.
    """
    try:
        encoded = os.fsencode(path)
    except UnicodeError:
        encoded = b"\0\0"
    if b"\0" in encoded[1:]:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return path


def numberOf(error: OSError) -> int:
    """The C{errno} of a failed call; C{EINVAL} where Python refused the address itself."""
    if isinstance(error, socket.gaierror) or not error.errno:
        return errno.EINVAL
    return error.errno


class _Sending(Enum):
    OPEN = "open"
    ENDING = "ending"
    ENDED = "ended"
    LEAVING = "leaving"
    PARTING = "parting"
    BROKEN = "broken"


class _Receiving(Enum):
    PAUSED = "paused"
    FLOWING = "flowing"
    ENDED = "ended"
    DISCARDING = "discarding"


# Looked up for each read and each write, which costs more in an enumeration (see streams.states).
_OPEN, _ENDING, _ENDED, _LEAVING, _PARTING, _BROKEN = _Sending
_PAUSED, _FLOWING, _OVER, _DISCARDING = _Receiving
_READS = (_FLOWING, _DISCARDING)


class _Leave:
    """
    That a carrier is LEAVING.

    @ivar parted: what is to be called when it has left.
    """

    __slots__ = ("_timer", "parted")

    def __init__(self, timer: IDelayedCall) -> None:
        self._timer = timer
        self.parted: list[Callable[[], object]] = []

    def end(self, ticks: TickQueue) -> None:
        if self._timer.active():
            self._timer.cancel()
        for function in self.parted:
            ticks.nextTick(function)


@implementer(IReadWriteDescriptor, IHalfCloseableDescriptor)
class SocketCarrier(Carrier):
    """
    A connected stream socket.

    @param sock: the socket; it is the carrier's from now on.
    @param reactor: one that L{fits}.
    @param peer: the peer's address as C{accept} gave it, if that is at hand.
    @param poller: the reactor's, if that is at hand.
    """

    __slots__ = (
        "__weakref__",
        "_filled",
        "_last",
        "_leave",
        "_peer",
        "_poller",
        "_queue",
        "_receiving",
        "_sending",
        "_socket",
        "_watched",
        "_watcher",
    )

    def __init__(
        self, sock: socket.socket, reactor: Any, peer: Any = None, poller: Poller | None = None
    ) -> None:
        if poller is None:
            poller = pollerFor(reactor)
        self._poller = poller
        super().__init__(poller.ticks)
        self._watcher = poller.place(reactor)
        sock.setblocking(False)
        self._socket = sock
        self._peer = peer
        # What the kernel did not take; most connections never have any.
        self._queue: deque[bytes | memoryview] | None = None
        self._last = b""
        self._leave: _Leave | None = None
        self._filled = False
        self._sending = _OPEN
        self._receiving = _PAUSED
        self._watched = False

    def __del__(self) -> None:
        # Paused, and forgotten by whoever had it: nobody closes it, nor watches it.
        if not self.closed:
            self._poller.leave()

    # what the reactor asks and tells

    def fileno(self) -> int:
        """The descriptor's number; -1 once it is closed."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """For the reactor's log."""
        return "txnodetls"

    def doRead(self) -> None:
        """There is something to read."""
        self.ticks.turn(self._receive)
        if self._filled:
            self._readOn()

    def _readOn(self) -> None:
        """
        A read has filled the area: a few more, each a turn, before others have theirs.

        What they lead to is sent together.
        """
        ticks = self.ticks
        gathering, ticks.gathering = ticks.gathering, True
        try:
            for _ in range(_READS_ON):
                self._filled = False
                if self._receiving is _FLOWING and not self.closed:
                    ticks.turn(self._receive)
                if not self._filled:
                    break
        finally:
            self._filled = False
            ticks.gathering = gathering
            if not gathering:
                ticks.settle()

    def doWrite(self) -> None:
        """The kernel takes more."""
        if self._queue and not self._sendQueue():
            return
        self._watcher.removeWriter(self)
        self._watched = False
        self.ticks.turn(self._drained)

    def readConnectionLost(self, reason: object) -> None:
        """The reactor saw HUP, and nothing readable; it has taken us out as a reader."""
        self.doRead()
        if self._receiving in _READS and not self.closed:
            self._watcher.addReader(self)

    def writeConnectionLost(self, reason: object) -> None:
        """No reactor of today calls this; the interface has it."""
        self.connectionLost(reason)

    def connectionLost(self, reason: object) -> None:
        """The reactor saw an error, or it is being stopped; it has taken us out."""
        if self.closed:
            return
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self.ticks.turn(self._broken, number, "read" if self._receiving in _READS else "write")
        elif not self._queue or self._sendQueue() or self._sending is not _BROKEN:
            self.ticks.turn(self._broken, None, "")

    # receiving

    def _receive(self) -> None:
        if self._receiving is not _FLOWING:
            self._discard()
            return
        try:
            length = self._socket.recv_into(_INPUT)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._broken(error.errno, "read")
            return
        if not length:
            self._stopReading(_OVER)
            self.owner.carrierEnd()
            return
        self.bytesRead += length
        self._filled = length == _INPUT_SIZE
        try:
            self.owner.carrierArea(length)
        except BaseException:
            self.abort()  # the bytes are lost, so nothing that follows could be understood
            raise

    def _discard(self) -> None:
        # An event that the reactor had gathered before we were paused or closed is nothing.
        if self._receiving is not _DISCARDING or self.closed:
            return
        try:
            length = self._socket.recv_into(_INPUT)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._broken(None, "")
            return
        if not length:
            self._stopReading(_OVER)

    def _drained(self) -> None:
        if self.closed or self._queue:
            return
        if self._sending is _LEAVING:
            self._broken(None, "")
            return
        if self._sending is _ENDING:
            self._shutdown()
        self.owner.carrierDrained()

    def _broken(self, number: int | None, syscall: str) -> None:
        """
        Close, and tell the owner in the same turn.

        @param number: what broke the connection; None where nothing did.  After C{close()}
            nobody wants to know.
        """
        if self.closed:
            return
        self._shut()
        wanted = number is not None and self._sending is not _LEAVING
        self._gone(brokenConnection(number, syscall) if wanted else None, self.ticks.turn)

    # what the owner asks

    def write(self, data: Data) -> None:
        """Send C{data}, or queue what the kernel does not take now."""
        if self._sending is not _OPEN or self.closed:
            return
        length = len(data)
        self.bytesWritten += length
        sent = 0
        if not self._queue:
            try:
                sent = self._socket.send(data)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                self._writeFailed(error.errno)
        if sent < length:
            rest = memoryview(data)[sent:]
            self._enqueue(rest if type(data) is bytes else bytes(rest), length - sent)

    def writeLast(self, data: Data) -> None:
        """Send C{data} with the close, if that is to come with what others have to send."""
        if self._sending is _OPEN and self.ticks.gathering and not self._queue:
            self._last += data
        else:
            self.write(data)

    def end(self) -> None:
        """FIN, after what is queued."""
        if self._sending is not _OPEN or self.closed:
            return
        self._sending = _ENDING
        if self._queue:
            return
        if self.ticks.active:
            # Who ends in a turn mostly closes in it, and a close is a FIN too.
            self.ticks.atEnd(self._endNow)
        else:
            self._shutdown()

    def close(self) -> None:
        """Close after what is queued."""
        if self.closed or self._sending is _LEAVING:
            return
        if not self._queue:
            self.abort()
            return
        self._sending = _LEAVING
        self._leave = _Leave(self.ticks.reactor.callLater(_PATIENCE, self.ticks.turn, self.abort))
        if self._receiving is _PAUSED:
            self._watcher.addReader(self)
        if self._receiving is not _OVER:
            self._receiving = _DISCARDING

    def abort(self, reset: bool = False) -> None:
        """Close now, or together with others at the end of the turns that follow each other."""
        if self.closed:
            return
        if reset:
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            except OSError:  # macOS refuses it for a connection that the peer has reset
                pass
            self._closeNow()
        elif not self.ticks.gathering and not self._last:
            self._throwAway()
            self._closeNow()
        elif self._sending is not _PARTING:
            self._sending = _PARTING
            if self._receiving is _FLOWING:
                self._receiving = _DISCARDING
            self.ticks.atEnd(self._part)

    def _part(self) -> None:
        """The turns that followed each other are over."""
        if self.closed:
            return
        last, self._last = self._last, b""
        if last:
            self._sending = _OPEN
            self.write(last)
            if self._queue:
                self.close()
                return
        self._throwAway()
        self._closeNow()

    def _closeNow(self) -> None:
        self._shut()
        self._gone(None, self.ticks.nextTick)

    def afterParting(self, function: Callable[[], object]) -> None:
        """Call C{function} when what was queued at C{close()} has gone, or its time is over."""
        if self._leave is None:
            function()
        else:
            self._leave.parted.append(function)

    def _throwAway(self) -> None:
        """Input that nobody reads any more, if the last bytes could be lost over it."""
        if not self.bytesWritten or self.heardAll or self._receiving is _OVER:
            return
        for _ in range(_TRASH_READS):
            try:
                length = self._socket.recv_into(_TRASH)
            except OSError:
                return  # nothing more is there, or all is over
            if length < len(_TRASH):
                return

    def pause(self) -> None:
        """Stop reading."""
        if self._receiving is _FLOWING:
            self._stopReading(_PAUSED)

    def resume(self) -> None:
        """Start, or restart, reading."""
        if self._receiving is _PAUSED and not self.closed and self._sending is not _BROKEN:
            self._receiving = _FLOWING
            self._watcher.addReader(self)

    def setNoDelay(self, enabled: bool) -> None:
        """Switch TCP_NODELAY; without effect on a UNIX socket."""
        if not self.closed and self._socket.family != socket.AF_UNIX:
            self._setOption(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(enabled))

    def setKeepAlive(self, enabled: bool, delay: int) -> None:
        """Switch SO_KEEPALIVE; with a delay, 10 probes one second apart follow it, as in Node."""
        if self.closed or self._socket.family == socket.AF_UNIX:
            return
        self._setOption(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(enabled))
        idle = getattr(socket, "TCP_KEEPIDLE", None) or getattr(socket, "TCP_KEEPALIVE", None)
        if enabled and delay and idle is not None:
            self._setOption(socket.IPPROTO_TCP, idle, delay)
            self._setOption(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL)
            self._setOption(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_PROBES)

    @property
    def localAddress(self) -> Address:
        """The own address; empty once closed."""
        if self.closed:
            return {}
        return addressOf(self._socket.getsockname())

    @property
    def remoteAddress(self) -> Address:
        """The peer's address; after the end too, if it was asked for or known before."""
        if self._peer is None and not self.closed:
            try:
                self._peer = self._socket.getpeername()
            except OSError:  # the peer has reset the connection: nobody is there
                return {}
        return addressOf(self._peer)

    @property
    def handle(self) -> socket.socket:
        """The socket."""
        return self._socket

    # sending

    def _enqueue(self, rest: bytes | memoryview, length: int) -> None:
        self.queued += length
        if self._sending is _BROKEN:
            return
        if self._queue is None:
            self._queue = deque()
        self._queue.append(rest)
        if not self._watched:
            self._watched = True
            self._watcher.addWriter(self)

    def _sendQueue(self) -> bool:
        """Send from the queue; whether it is empty now."""
        queue = self._queue
        assert queue is not None
        try:
            if len(queue) == 1:
                sent = self._socket.send(queue[0])
            else:
                sent = self._socket.sendmsg(list(islice(queue, _PIECES)))
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                self._writeFailed(error.errno)
            return False
        self.queued -= sent
        while sent:
            piece = queue[0]
            length = len(piece)
            if sent < length:
                queue[0] = memoryview(piece)[sent:]
                return False
            sent -= length
            queue.popleft()
        if queue:
            return False
        self._queue = None
        return True

    def _writeFailed(self, number: int | None) -> None:
        """Tell the owner in a later tick, after what can still be read."""
        leaving = self._sending is _LEAVING
        self._sending = _BROKEN
        self._queue = None
        if self._receiving in _READS:
            self._watcher.removeReader(self)
        if self._watched:
            self._watched = False
            self._watcher.removeWriter(self)
        self.ticks.nextTick(self._readLast, None if leaving else brokenConnection(number, "write"))

    def _readLast(self, error: Exception | None) -> None:
        try:
            while self._receiving is _FLOWING and not self.closed:
                length = self._receiveLast()
                if not length:
                    break
                self.bytesRead += length
                self.owner.carrierArea(length)
        finally:
            if not self.closed:
                self._shut()
                self._gone(error, self.ticks.nextTick)

    def _receiveLast(self) -> int:
        try:
            return self._socket.recv_into(_INPUT)
        except OSError:
            return 0  # what broke the write is told, not that reading fails too

    def _endNow(self) -> None:
        if self._sending is _ENDING and not self.closed:
            self._shutdown()

    def _shutdown(self) -> None:
        self._sending = _ENDED
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # not connected any more: reading tells why

    def _stopReading(self, state: _Receiving) -> None:
        self._receiving = state
        self._watcher.removeReader(self)

    def _shut(self) -> None:
        """Out of the reactor, then close."""
        if self._receiving in _READS:
            self._watcher.removeReader(self)
        if self._watched:
            self._watched = False
            self._watcher.removeWriter(self)
        self._queue = None
        self.closed = True
        self._socket.close()
        self._poller.leave()
        leave, self._leave = self._leave, None
        if leave is not None:
            leave.end(self.ticks)

    def _setOption(self, level: int, option: int, value: int) -> None:
        try:
            self._socket.setsockopt(level, option, value)
        except OSError as error:
            # A connection that the peer has reset takes no options; reading tells of the reset.
            if error.errno not in (errno.EINVAL, errno.ENOTCONN, errno.ECONNRESET):
                raise
