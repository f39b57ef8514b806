"""Daemons that share sessions and ticket keys: what is said of the settings; two at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred

from tests.daemon.running import Twistd
from tests.loopback import Loopback, Received, until
from tests.sessions.services import Service, memcached, redis
from tests.support import Pki, happened
from txnodetls.daemon.config import readConfig
from txnodetls.daemon.files import Files
from txnodetls.daemon.plan import Config
from txnodetls.daemon.written import ConfigError
from txnodetls.openssl import sessions, symbols
from txnodetls.sessions.memory import MemorySessionStore
from txnodetls.sessions.ring import TicketKeyFile, TicketKeyRing

pytestmark = pytest.mark.skipif(
    not symbols.available("SSL_CTX_add_session") or not sessions.ticketKeysAvailable(),
    reason="this OpenSSL hides its functions",
)
LISTENING = r"listening on 127\.0\.0\.1:(\d+)"
COUNT = 200


@pytest.fixture
def files(pki: Pki, tmp_path: Path) -> Path:
    (tmp_path / "key.pem").write_bytes(pki.server.key)
    (tmp_path / "cert.pem").write_bytes(pki.server.cert)
    (tmp_path / "tickets").write_bytes(bytes(48))
    (tmp_path / "seal.key").write_bytes(bytes(range(32)))
    (tmp_path / "seal.key").chmod(0o600)
    return tmp_path


# -- settings


def options(config: Config) -> list[Any]:
    return [listener.options for listener in config.listeners]


def test_switches_say_where_sessions_and_keys_are(files: Path) -> None:
    (found,) = options(readConfig({"session-store": "memory:", "ticket-keys": f"file:{files}/r"}))
    assert isinstance(found["sessionStore"], MemorySessionStore)
    assert isinstance(found["ticketKeyRing"], TicketKeyRing)
    assert isinstance(found["ticketKeyRing"]._home, TicketKeyFile)


def test_the_same_text_is_the_same_store_in_all_listeners_and_after_a_reload(files: Path) -> None:
    path = files / "nodetls.toml"
    path.write_text(
        """
        session-store = "memory:?maxEntries=77"
        ticket-keys = "memory"
        [[listener]]
        port = 1
        echo = true
        [[listener]]
        port = 2
        echo = true
        [[listener]]
        port = 3
        echo = true
        session-store = "memory:?maxEntries=78"
        """
    )
    before = readConfig({"config": str(path)})
    one, two, three = options(before)
    assert one["sessionStore"] is two["sessionStore"]
    assert one["sessionStore"] is not three["sessionStore"]
    assert one["ticketKeyRing"] is two["ticketKeyRing"] is three["ticketKeyRing"]
    again = options(readConfig({"config": str(path)}, Files()))
    assert again[0]["sessionStore"] is one["sessionStore"]
    assert again[0]["ticketKeyRing"] is one["ticketKeyRing"]


@pytest.mark.parametrize(
    ("switches", "problem"),
    [
        ({"session-store": "disk:"}, "--session-store: .*memory:, redis"),
        ({"session-store": "memcached://h"}, "--session-store: needs a key to seal"),
        ({"session-store": "redis://:geheim@h/x"}, "--session-store: .*no database"),
        ({"ticket-keys": "disk:"}, "--ticket-keys: .*memory:, file:PATH"),
        ({"ticket-keys": "file:/no/such/place/x"}, "--ticket-keys: .*No such file"),
        ({"ticket-keys": "redis://h"}, "--ticket-keys: .*wrapped"),
        ({"ticket-keys": "memory", "ticketKeysFile": "FILES/tickets"}, "--ticket-keys: cannot be"),
        ({"sessionStore": "memory:"}, "did you mean session-store"),
    ],
)
def test_what_is_wrong_is_told_by_the_switch(
    files: Path, switches: dict[str, str], problem: str
) -> None:
    if "redis" in str(switches):
        pytest.importorskip("txredisapi")
    written = {name: text.replace("FILES", str(files)) for name, text in switches.items()}
    with pytest.raises(ConfigError, match=problem) as caught:
        readConfig(written)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(("workers", "said"), [("0", False), ("1", False), ("2", True)])
def test_what_workers_would_not_share_is_warned_about(
    files: Path, workers: str, said: bool
) -> None:
    switches = {"session-store": "memory:", "ticket-keys": "memory", "workers": workers}
    warnings = readConfig(switches).warnings
    assert [each.split()[1] for each in warnings] == ["ticket-keys", "session-store"] * said


def test_keys_of_the_server_seal_a_store_that_has_none(files: Path) -> None:
    for keys in ({"ticket-keys": "memory"}, {"ticketKeysFile": str(files / "tickets")}):
        (found,) = options(readConfig({"session-store": "memcached://localhost", **keys}))
        assert found["sessionStore"].sealingKeys is None


# -- two daemons


@pytest.fixture
def daemons(files: Path) -> Iterator[Callable[..., list[int]]]:
    """Start two daemons with some switches; gives their ports."""
    with ExitStack() as stack:

        def start(*switches: str) -> list[int]:
            common = ["--port=0", "--key=key.pem", "--cert=cert.pem", *switches]
            started = [stack.enter_context(Twistd("nodetls", *common, cwd=files)) for _ in range(2)]
            return [int(each.waitFor(LISTENING)[1]) for each in started]

        yield start


async def visit(loopback: Loopback, port: int, session: bytes | None, version: str) -> Any:
    """The latest session that is known after a visit, and whether it resumed."""
    client = loopback.dial(port, session=session, maxVersion=version)
    told: list[bytes] = []
    client.on("session", told.append)
    await happened(client, "secureConnect")
    reused = client.isSessionReused()
    client.write(b"hello")
    assert await happened(client, "data") == (b"hello",)
    await until(lambda: told or reused)
    done = Received(client)
    client.end()
    await done
    return (told[-1] if told else session), reused


async def visitBoth(loopback: Loopback, ports: list[int]) -> None:
    """A session made in one daemon resumes in the other."""
    for version in ("TLSv1.2", "TLSv1.3"):
        session, reused = await visit(loopback, ports[0], None, version)
        assert not reused
        for port in reversed(ports):
            session, reused = await visit(loopback, port, session, version)
            assert reused


def inRedis(directory: Path) -> tuple[Service, str]:
    pytest.importorskip("txredisapi")
    return redis(directory, "--requirepass", "secret"), "redis://:secret@127.0.0.1:{}/1"


def inMemcached(directory: Path) -> tuple[Service, str]:
    return memcached(), "memcached://127.0.0.1:{}"


@pytest.mark.parametrize("kind", [inRedis, inMemcached])
@ensureDeferred
async def test_a_session_of_one_daemon_resumes_in_the_other_and_a_dead_store_loses_no_handshake(
    pki: Pki,
    files: Path,
    daemons: Callable[..., list[int]],
    kind: Callable[[Path], tuple[Service, str]],
) -> None:
    service, address = kind(files)
    with service:
        where = address.format(service.port)
        ports = daemons(f"--session-store={where}?keyFile=seal.key&timeout=10")
        async with Loopback(pki) as loopback:
            await visitBoth(loopback, ports)
            session, _ = await visit(loopback, ports[0], None, "TLSv1.3")
            clients: list[tuple[Any, Received]] = []
            resumed: list[bool] = []
            for number in range(COUNT):
                client = loopback.dial(ports[number % 2], session=session)
                client.once(
                    "secureConnect",
                    lambda client=client: resumed.append(client.isSessionReused()),
                )
                clients.append((client, Received(client)))
                client.end(b"hello")
                if number == COUNT // 2:
                    await until(lambda: len(resumed) > 10)
                    service.kill()
            for _client, received in clients:
                await received
                assert (received.data, received.errors) == (b"hello", [])
            assert len(resumed) == COUNT
            print(f"{sum(resumed)} of {COUNT} resumed")
            assert 0 < sum(resumed) < COUNT
            # And when it is there again, so are sessions.
            service.start()
            session, reused = None, False
            while not reused:
                session, reused = await visit(loopback, ports[0], session, "TLSv1.3")


@ensureDeferred
async def test_ticket_keys_in_a_file_are_good_in_both(
    pki: Pki, files: Path, daemons: Callable[..., list[int]]
) -> None:
    ports = daemons("--ticket-keys=file:ring")
    async with Loopback(pki) as loopback:
        await visitBoth(loopback, ports)
    assert (files / "ring").stat().st_mode & 0o777 == 0o600


@ensureDeferred
async def test_ticket_keys_and_sessions_in_one_redis_are_good_in_both(
    pki: Pki, files: Path, daemons: Callable[..., list[int]]
) -> None:
    pytest.importorskip("txredisapi")
    with redis(files) as service:
        where = f"redis://127.0.0.1:{service.port}?keyFile=seal.key&timeout=10"
        ports = daemons(f"--ticket-keys={where}", f"--session-store={where}")
        async with Loopback(pki) as loopback:
            # Tickets are those of the ring as soon as its keys are known, which is in a moment.
            while True:
                session, _ = await visit(loopback, ports[0], None, "TLSv1.3")
                _, reused = await visit(loopback, ports[1], session, "TLSv1.3")
                if reused:
                    break
            await visitBoth(loopback, ports)
