"""Node's events, ticks and duplex streams, on any Twisted reactor."""

from txnodetls.streams.emitter import EventEmitter
from txnodetls.streams.ticks import TickQueue, ticksFor

__all__ = ["EventEmitter", "TickQueue", "ticksFor"]
