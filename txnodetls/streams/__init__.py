"""Node's events, ticks and duplex streams, on any Twisted reactor."""

from txnodetls.streams.duplex import DEFAULT_HIGH_WATER_MARK, Duplex
from txnodetls.streams.emitter import EventEmitter
from txnodetls.streams.ticks import TickQueue, ticksFor

__all__ = ["DEFAULT_HIGH_WATER_MARK", "Duplex", "EventEmitter", "TickQueue", "ticksFor"]
