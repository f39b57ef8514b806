"""The command C{twistd nodetls}."""

from twisted.application.service import ServiceMaker

nodetls = ServiceMaker(
    "txnodetls",
    "txnodetls.daemon.service",
    "Node's TLS: an echo server, or TLS in front of any client endpoint.",
    "nodetls",
)
