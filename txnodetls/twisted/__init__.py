"""The Twisted face: transports, protocols and endpoints on the same sockets as Node's."""
