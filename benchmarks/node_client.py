"""
A client of the Node face under load: C{tls.connect} against the harness's compiled server.

    node_client.py PORT recv BYTES     receive so many bytes
    node_client.py PORT send BYTES     send so many, honouring back-pressure
    node_client.py PORT hs COUNT       so many handshakes, 16 at a time

Prints one line of JSON: C{value} per second of the clock, C{cpu_value} per CPU second.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor

import txnodetls as tls

CHUNK = bytes(65536)
AT_ONCE = 16
OPTIONS: dict[str, Any] = {
    "host": "127.0.0.1",
    "servername": "localhost",
    "rejectUnauthorized": False,
    "ecdhCurve": "X25519",
    "minVersion": "TLSv1.3",
    "ciphers": "TLS_AES_128_GCM_SHA256",
}


class Watch:
    """From when it is started until it prints what came of it, and ends the process."""

    def start(self) -> None:
        self.began, self.cpu = time.perf_counter(), sum(os.times()[:2])

    def report(self, work: float, unit: str) -> None:
        seconds, cpu = time.perf_counter() - self.began, sum(os.times()[:2]) - self.cpu
        result = {
            "value": work / seconds,
            "cpu_value": work / cpu,
            "unit": unit,
            "seconds": seconds,
        }
        print(json.dumps(result), flush=True)
        os._exit(0)


def receive(options: dict[str, Any], watch: Watch, count: int) -> None:
    got = 0

    def data(piece: bytes) -> None:
        nonlocal got
        got += len(piece)
        if got >= count:
            watch.report(count / 1e6, "MB/s")

    def secure() -> None:
        watch.start()
        socket.on("data", data)
        socket.write(b"S %d 65536\n" % count)

    socket: Any = tls.connect(options, secure)


def send(options: dict[str, Any], watch: Watch, count: int) -> None:
    left = count

    def pump() -> None:
        nonlocal left
        while left > 0:
            left -= len(CHUNK)
            if not socket.write(CHUNK):
                return

    def secure() -> None:
        watch.start()
        socket.write(b"D %d\n" % count)
        socket.on("data", lambda _answer: watch.report(count / 1e6, "MB/s"))
        socket.on("drain", pump)
        pump()

    socket: Any = tls.connect(options, secure)


def shake(options: dict[str, Any], watch: Watch, count: int) -> None:
    begun = done = 0

    def begin() -> None:
        nonlocal begun
        begun += 1
        socket = tls.connect(options)
        socket.once("secureConnect", socket.end)
        socket.resume()
        socket.on("error", lambda _error: None)
        socket.on("close", closed)

    def closed(_hadError: bool) -> None:
        nonlocal done
        done += 1
        if done == count:
            watch.report(count, "conn/s")
        if begun < count:
            begin()

    watch.start()
    for _ in range(min(AT_ONCE, count)):
        begin()


MODES: dict[str, Callable[[dict[str, Any], Watch, int], None]] = {
    "recv": receive,
    "send": send,
    "hs": shake,
}


def main() -> None:
    port, mode, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    # One context for all connections, as a program that makes many would have it.
    context = tls.createSecureContext(
        {name: OPTIONS[name] for name in ("ecdhCurve", "minVersion", "ciphers")}
    )
    rest = {name: OPTIONS[name] for name in ("host", "servername", "rejectUnauthorized")}
    options = {**rest, "port": port, "secureContext": context}
    reactor.callWhenRunning(MODES[mode], options, Watch(), count)
    reactor.run()


if __name__ == "__main__":
    main()
