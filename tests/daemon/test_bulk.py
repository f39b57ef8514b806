"""
Bulk through the proxy: all of it arrives, and the daemon does not hold it.

The reader first stops, so that everything in between fills up, and then reads steadily.  The
peers are the standard library's: plain sockets behind, C{ssl} in front.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.running import Twistd
from tests.support import Pki

MiB = 1024 * 1024
PEAK = 100 * MiB

sizes = [
    pytest.param(48 * MiB, 0.5, id="48MiB"),
    pytest.param(1024 * MiB, 5.0, id="1GiB", marks=[pytest.mark.soak, pytest.mark.timeLimit(300)]),
]


class Transfer(threading.Thread):
    """One end's part of a transfer; C{digest} is of what went through it."""

    def __init__(self, work: Callable[[Any], None]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._hash = hashlib.blake2b()
        self.count = 0
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._work(self)
        except BaseException as error:
            self.error = error

    def passed(self, data: bytes) -> None:
        self._hash.update(data)
        self.count += len(data)

    def result(self, timeout: float) -> tuple[int, str]:
        self.join(timeout)
        assert not self.is_alive(), f"stuck after {self.count} bytes"
        if self.error is not None:
            raise self.error
        return self.count, self._hash.hexdigest()


def send(sock: socket.socket, size: int, end: Callable[[], object]) -> Callable[[Transfer], None]:
    def work(transfer: Transfer) -> None:
        block = bytearray(hashlib.shake_256(b"bulk").digest(MiB))
        for number in range(size // MiB):
            block[:8] = number.to_bytes(8, "big")
            sock.sendall(block)
            transfer.passed(bytes(block))
        end()

    return work


def receive(sock: socket.socket, stop: float) -> Callable[[Transfer], None]:
    def work(transfer: Transfer) -> None:
        threading.Event().wait(stop)
        while data := sock.recv(256 * 1024):
            transfer.passed(data)

    return work


def connectBoth(pki: Pki, directory: Path) -> Any:
    """The daemon, the client's TLS socket and the backend's plain one."""
    (directory / "key.pem").write_bytes(pki.server.key)
    (directory / "cert.pem").write_bytes(pki.server.cert)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)
    daemon = Twistd(
        "nodetls",
        "--port=0",
        "--key=key.pem",
        "--cert=cert.pem",
        f"--proxy=tcp:127.0.0.1:{listener.getsockname()[1]}",
        cwd=directory,
    )
    try:
        port = int(daemon.waitFor(r"listening on 127\.0\.0\.1:(\d+)")[1])
        context = ssl.create_default_context(cadata=pki.ca.decode())
        plain = socket.create_connection(("127.0.0.1", port), 20)
        client = context.wrap_socket(plain, server_hostname="localhost")
        backend, _ = listener.accept()
    except BaseException:
        daemon.end()
        raise
    finally:
        listener.close()
    client.settimeout(120)
    backend.settimeout(120)
    return daemon, client, backend


@pytest.mark.parametrize(("size", "stop"), sizes)
@pytest.mark.parametrize("direction", ["upload", "download"])
def test_all_of_it_arrives_and_memory_stays_bounded(
    direction: str, size: int, stop: float, pki: Pki, tmp_path: Path
) -> None:
    daemon, client, backend = connectBoth(pki, tmp_path)
    with daemon, client, backend:
        if direction == "upload":
            # unwrap() sends the close_notify and waits for the proxy's.
            sender = Transfer(send(client, size, client.unwrap))
            receiver = Transfer(receive(backend, stop))
        else:
            sender = Transfer(send(backend, size, lambda: backend.shutdown(socket.SHUT_WR)))
            receiver = Transfer(receive(client, stop))
        received = receiver.result(250)
        backend.close()
        assert sender.result(20) == received
        assert received[0] == size
        peak = daemon.peakMemory()
    assert peak < PEAK, f"{peak / MiB:.0f} MiB"
