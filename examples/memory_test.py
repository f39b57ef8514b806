"""A test of one's own: a client and a server in memory, without sockets and without waiting."""

from __future__ import annotations

import unittest

import txnodetls as tls
from txnodetls.testing import MemoryPair, ThrowawayCA


def greet(socket: tls.TLSSocket) -> None:
    """What is to be tested: answers each line."""
    socket.on("data", lambda data: socket.write(b"hello, " + data))


class GreetingTests(unittest.TestCase):
    def test_greets(self) -> None:
        authority = ThrowawayCA()
        cert, key = authority.issue(["localhost"])
        trust = {"ca": authority.certPEM, "servername": "localhost"}
        pair = MemoryPair({"cert": cert, "key": key}, trust)
        received: list[bytes] = []
        greet(pair.server)
        pair.client.on("data", received.append)
        pair.client.write(b"you\n")
        pair.pump()
        self.assertEqual(b"".join(received), b"hello, you\n")
        self.assertTrue(pair.client.authorized)


if __name__ == "__main__":
    unittest.main()
