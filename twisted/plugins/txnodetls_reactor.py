"""The reactor C{uvloop}, for C{twistd --reactor} and whoever else asks Twisted for it by name."""

from twisted.application.reactors import Reactor

uvloop = Reactor(
    "uvloop",
    "txnodetls.twisted.uvloopreactor",
    "The asyncio reactor on uvloop's event loop (pip install txnodetls[uvloop]).",
)
