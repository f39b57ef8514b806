"""C{twistd nodetls}: an echo server, or TLS in front of any Twisted client endpoint."""
