"""Next Protocol Negotiation, where OpenSSL still has it; with this package and with `openssl`."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import pytest_twisted

import txnodetls as tls
from tests.loopback import Loopback, until
from tests.support import Pki, happened, requireTool, runPython, unusedPort
from txnodetls.openssl import symbols

OLD = {"maxVersion": "TLSv1.2"}
HERE = symbols.available("SSL_CTX_set_next_proto_select_cb")

pytestmark = pytest.mark.skipif(not HERE, reason="the functions for NPN cannot be had here")


async def agreed(loopback: Loopback, server: Any, **options: Any) -> tuple[Any, Any]:
    """What both ends say they agreed on."""
    before = len(server.secured)
    client = await loopback.secure(server, **options)
    await until(lambda: len(server.secured) > before)
    return client.npnProtocol, server.secured[-1].npnProtocol


@pytest_twisted.ensureDeferred
async def test_the_servers_order_decides(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(NPNProtocols=["b", b"a"], **OLD)
        assert await agreed(loopback, server, NPNProtocols=b"\1a\1b") == ("b", "b")
        assert await agreed(loopback, server, NPNProtocols=["a"]) == ("a", "a")


@pytest_twisted.ensureDeferred
async def test_a_client_without_any_of_them_names_its_own(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(NPNProtocols=["a"], **OLD)
        assert await agreed(loopback, server, NPNProtocols=["x", "y"]) == (False, "x")


@pytest_twisted.ensureDeferred
async def test_clients_of_the_same_context_that_do_not_ask_get_none(pki: Pki) -> None:
    context = tls.createSecureContext({"ca": pki.ca, **OLD})
    async with Loopback(pki) as loopback:
        server = await loopback.serve(NPNProtocols=["a"])
        got = await agreed(loopback, server, NPNProtocols=["a"], secureContext=context)
        assert got == ("a", "a")
        assert await agreed(loopback, server, secureContext=context) == (False, False)


@pytest_twisted.ensureDeferred
async def test_neither_tls_1_3_nor_alpn_leaves_room_for_it(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(NPNProtocols=["a"], ALPNProtocols=["h2"])
        assert await agreed(loopback, server, NPNProtocols=["a"]) == (False, False)
        client = await loopback.secure(server, NPNProtocols=["a"], ALPNProtocols=["h2"], **OLD)
        assert (client.alpnProtocol, client.npnProtocol) == ("h2", False)


@pytest_twisted.ensureDeferred
async def test_a_context_chosen_by_name_lists_the_servers_protocols(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(NPNProtocols=["a"], **OLD)
        chosen = {"key": pki.server.key, "cert": pki.server.cert, **OLD}
        server.addContext("localhost", chosen)
        assert await agreed(loopback, server, NPNProtocols=["a"]) == ("a", "a")


@pytest_twisted.ensureDeferred
async def test_before_the_handshake_nothing_is_known(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        client = loopback.dial(await loopback.serve(), NPNProtocols=["a"])
        assert client.npnProtocol is None
        await happened(client, "secureConnect")
        assert client.npnProtocol is False


@pytest_twisted.ensureDeferred
async def test_openssl_s_client_chooses_from_our_list(pki: Pki) -> None:
    openssl = requireTool("openssl")
    async with Loopback(pki) as loopback:
        server = await loopback.serve(NPNProtocols=["spdy/3", "http/1.1"], **OLD)
        address = f"127.0.0.1:{server.address()['port']}"
        process = subprocess.Popen(
            [openssl, "s_client", "-connect", address, "-nextprotoneg", "http/1.1"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            await until(lambda: server.secured)
            assert server.secured[0].npnProtocol == "http/1.1"
        finally:
            process.kill()
            process.communicate()


@pytest_twisted.ensureDeferred
async def test_we_choose_from_the_list_of_openssl_s_server(pki: Pki, tmp_path: Any) -> None:
    openssl, port = requireTool("openssl"), unusedPort()
    (tmp_path / "pem").write_bytes(pki.server.cert + pki.server.key)
    command = f"s_server -accept 127.0.0.1:{port} -tls1_2 -nextprotoneg spdy/3,http/1.1"
    process = subprocess.Popen(
        [openssl, *command.split(), "-cert", tmp_path / "pem", "-key", tmp_path / "pem"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        assert b"ACCEPT" in process.stdout.readline() + process.stdout.readline()
        async with Loopback(pki) as loopback:
            client = await loopback.secure(port, NPNProtocols=["http/1.1"])
            assert client.npnProtocol == "http/1.1"
    finally:
        process.kill()
        process.communicate()


def test_where_openssl_cannot_be_asked_the_option_is_refused_at_once() -> None:
    code = """
import txnodetls as tls
for make in (
    lambda: tls.createServer(NPNProtocols=["a"]),
    lambda: tls.connect(1, NPNProtocols=["a"]),
    lambda: tls.TLSSocket(tls.net.Socket(), NPNProtocols=["a"], isServer=True),
):
    try:
        make()
    except TypeError as error:
        print(error.code)
tls.createServer(NPNProtocols=[])
"""
    done = runPython(f"import os; os.environ[{symbols.SWITCH!r}] = 'off'\n{code}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [b"ERR_FEATURE_UNAVAILABLE_ON_PLATFORM"] * 3
