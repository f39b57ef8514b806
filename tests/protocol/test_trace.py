"""What a trace says, against `openssl s_client -trace`; and that no peer can upset it."""

from __future__ import annotations

import re
import socket
import subprocess
from typing import Any

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st

import txnodetls as tls
from tests.loopback import Loopback, until
from tests.protocol.engines import Pair
from tests.support import Pki, requireTool
from txnodetls.openssl import hooks, symbols
from txnodetls.protocol import tracenames
from txnodetls.protocol.trace import INNER_TYPE, RECORD_HEADER, Tracer
from txnodetls.tracing import toStandardError

VERSIONS = ["TLSv1.2", "TLSv1.3"]
CLIENTS, SERVERS = 1, 2


def suites(number: int) -> str | None:
    return {0x1301: "TLS_AES_128_GCM_SHA256", 0xC02B: ECDHE, 0x009E: DHE, 0x008C: PSK}.get(number)


ECDHE = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
DHE = "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"
PSK = "TLS_PSK_WITH_AES_128_CBC_SHA"


class Traced:
    """A tracer and what it has written."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.tracer = Tracer(self.written.append, suites)

    @property
    def text(self) -> str:
        return "".join(self.written)

    def message(self, kind: int, body: bytes, version: int = 0x0303) -> str:
        """The trace of one handshake message."""
        self.written.clear()
        data = bytes([kind]) + len(body).to_bytes(3, "big") + body
        self.tracer.message(False, version, 22, data)
        return self.text

    def agree(self, suite: int) -> None:
        """A ServerHello that chooses a suite."""
        hello = b"\3\3" + bytes(32) + b"\0" + suite.to_bytes(2, "big") + b"\0"
        self.message(SERVERS, hello)


def vector(size: int, data: bytes) -> bytes:
    return len(data).to_bytes(size, "big") + data


def fields(text: str) -> set[str]:
    """The names of the fields in a trace: what stands before `=`, `:`, `(len=` or a number."""
    found = set()
    for line in text.partition("------details")[0].splitlines():
        name = re.match(r"\s*([A-Za-z][\w. ]*?)\s*(?:=|:|\(|,|\{|$)", line)
        if name:
            found.add(name[1])
    return found


# -- whole handshakes


@pytest.mark.parametrize("version", VERSIONS)
def test_every_message_of_a_handshake_is_there(pki: Pki, version: str) -> None:
    written: list[str] = []
    pair = Pair(pki, version, client={"trace": written.append}, server={"verifyMode": 1}).shake()
    pair.client.engine.send(b"what the application says")
    pair.client.engine.shutdown()
    pair.exchange()
    text = "".join(written)
    expected = ["ClientHello", "ServerHello", "Certificate", "CertificateRequest"]
    expected += ["Finished", "NewSessionTicket"]
    if version == "TLSv1.2":
        expected += ["ServerKeyExchange", "ServerHelloDone", "ClientKeyExchange"]
    else:
        expected += ["EncryptedExtensions", "CertificateVerify"]
    for name in expected:
        assert re.search(rf"^    {name}, Length=\d+$", text, re.MULTILINE), name
    assert "Level=warning(1), description=close notify(0)" in text
    assert "Content Type = ApplicationData (23)" in text
    assert b"what the".hex().upper() not in text
    assert "what the" not in text
    assert text.count("Sent TLS Record\n") > 2
    assert text.count("Received TLS Record\n") > 2


@pytest.mark.parametrize("version", VERSIONS)
def test_both_sides_tell_the_same_messages(pki: Pki, version: str) -> None:
    client: list[str] = []
    server: list[str] = []
    Pair(pki, version, client={"trace": client.append}, server={"trace": server.append}).shake()

    def told(text: str, verb: str) -> list[str]:
        records = re.split(r"^(?=(?:Sent|Received) TLS Record\n)", text, flags=re.MULTILINE)
        # Of a received one OpenSSL (TLS 1.2) tells the header only.
        records = [record.replace("    change_cipher_spec (1)\n", "") for record in records]
        return [record.partition("\n")[2].strip() for record in records if record.startswith(verb)]

    assert told("".join(client), "Sent") == told("".join(server), "Received")
    assert told("".join(server), "Sent") == told("".join(client), "Received")


def test_each_message_stands_in_a_block_of_its_own(pki: Pki) -> None:
    written: list[str] = []
    Pair(pki, "TLSv1.3", client={"trace": written.append}).shake()
    text = "".join(written)
    heads = re.findall(r"^(.*)\n(?:Sent|Received) TLS Record$", text, re.MULTILINE)
    assert heads
    assert set(heads) == {""}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_fields_are_those_of_openssl(pki: Pki, version: str) -> None:
    """What s_client tells of a handshake with the same server is told here with the same names."""
    ours: list[str] = []
    Pair(pki, version, client={"trace": ours.append}).shake()
    theirs = fields(opensslTrace(pki, version)) - VALUES
    # How s_client begins; how OpenSSL 3.0 names a record; what it offers although 1.2 is chosen.
    theirs -= {"CONNECTED", "Received Record", "Sent Record"}
    if version == "TLSv1.2":
        theirs -= {"NamedGroup", "key_exchange"}
    assert len(theirs) > 20
    assert theirs <= fields("".join(ours))


# Names that stand for numbers: which of them there are is up to what each side offers.
VALUES = {
    name.partition(" (")[0]
    for table in (
        tracenames.GROUPS,
        tracenames.POINT_FORMATS,
        tracenames.PSK_MODES,
        tracenames.SIGNATURES,
        tracenames.VERSIONS,
    )
    for name in table.values()
}


def opensslTrace(pki: Pki, version: str) -> str:
    """The trace that `openssl s_client` writes of a handshake with a server of ours."""
    openssl = requireTool("openssl")
    pair = Pair(pki, version)
    listening = socket.create_server(("127.0.0.1", 0))
    process = subprocess.Popen(
        [openssl, "s_client", "-trace", "-connect", f"127.0.0.1:{listening.getsockname()[1]}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        accepted, _ = listening.accept()
        accepted.settimeout(10)
        while data := accepted.recv(65536):
            pair.server.receive(data)
            if output := pair.server.output():
                accepted.sendall(output)
        accepted.close()
        return process.communicate(timeout=20)[0].decode("latin-1")
    finally:
        process.kill()
        process.wait()
        listening.close()


def test_who_does_not_ask_for_a_trace_is_not_called(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    before = hooks.ask

    def ask(ssl: Any, otherwise: Any, method: str, *arguments: Any) -> Any:
        asked.append(method)
        return before(ssl, otherwise, method, *arguments)

    monkeypatch.setattr(hooks, "ask", ask)
    context = tls.createSecureContext({"ca": pki.ca})
    written: list[str] = []
    Pair(pki, client={"context": context, "trace": written.append}).shake()
    assert "hookMessage" in asked
    asked.clear()
    # The same context, which must not have kept the callback.
    Pair(pki, client={"context": context}).shake()
    assert asked == []


def test_a_trace_can_begin_in_the_middle(pki: Pki) -> None:
    if not symbols.available("SSL_set_msg_callback"):
        pytest.skip("SSL_set_msg_callback cannot be had here")
    pair = Pair(pki, "TLSv1.2").shake()
    written: list[str] = []
    pair.client.engine.trace(written.append)
    assert written == []
    pair.client.engine.renegotiate()
    pair.client.pull()
    pair.exchange()
    text = "".join(written)
    assert "ClientHello, Length=" in text
    assert "client_verify_data (len=12)" in text
    # The headers of records come with the next keys.
    assert text.startswith("Sent TLS Record\n  Content Type = Handshake (22)\n    ClientHello")
    assert "Received TLS Record\nHeader:\n" in text


# -- single messages


def test_a_key_exchange_is_told_by_the_suite() -> None:
    traced = Traced()
    params = b"\3\0\x17" + vector(1, b"\4" * 65) + b"\4\3" + vector(2, b"s" * 70)
    assert "KeyExchangeAlgorithm=unknown" in traced.message(12, params)
    traced.agree(0xC02B)
    text = traced.message(12, params)
    assert "KeyExchangeAlgorithm=ECDHE\n" in text
    assert "named_curve: secp256r1 (P-256) (23)" in text
    assert "Signature Algorithm: ecdsa_secp256r1_sha256 (0x0403)" in text
    assert "ecdh_Yc (len=3): 010203" in traced.message(16, vector(1, b"\1\2\3"))
    traced.agree(0x009E)
    params = vector(2, b"p") + vector(2, b"g") + vector(2, b"y") + b"\4\1" + vector(2, b"s")
    text = traced.message(12, params)
    assert [n for n in ("dh_p", "dh_g", "dh_Ys") if f"{n} (len=1)" not in text] == []
    traced.agree(0x008C)
    assert "psk_identity_hint (len=4): 68696E74" in traced.message(12, vector(2, b"hint"))
    assert "psk_identity (len=2): 6D65" in traced.message(16, vector(2, b"me"))


def test_a_certificate_is_shown_in_words_and_as_pem(pki: Pki) -> None:
    written: list[str] = []
    Pair(pki, "TLSv1.3", client={"trace": written.append}).shake()
    text = "".join(written)
    assert "Subject Alternative Name" in text
    pem = re.search(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n", text, re.DOTALL)
    assert pem is not None
    assert pem[0].encode() in pki.server.cert.replace(b"\r", b"")


def test_numbers_without_a_name_are_told_as_such() -> None:
    traced = Traced()
    assert "UNKNOWN, Length=3" in traced.message(99, b"abc")
    assert "61 62 63" in traced.text
    assert tracenames.nameOf(tracenames.GROUPS, 0x1A1A) == "GREASE"
    assert tracenames.nameOf(tracenames.GROUPS, 0x1A2A) == "UNKNOWN"


def test_what_a_peer_writes_cannot_drive_a_terminal() -> None:
    traced = Traced()
    protocols = vector(2, vector(2, vector(1, b"\x1b[2J\nfaked: line\x9b\r")))
    extensions = vector(2, (16).to_bytes(2, "big") + protocols)
    text = traced.message(8, extensions, 0x0304)
    assert ".[2J.faked: line..\n" in text
    assert re.search(r"[^\n\x20-\x7e]", text) is None


def test_a_message_that_ends_early_says_so() -> None:
    traced = Traced()
    assert "Message length parse error!" in traced.message(SERVERS, b"\3\3short")
    traced.tracer.message(False, 0x0303, 21, b"\2")
    traced.tracer.message(False, 0x0303, RECORD_HEADER, b"\x16\3")
    traced.tracer.message(False, 0x0304, INNER_TYPE, b"")
    assert traced.text.count("Message length parse error!") == 4


def test_what_is_left_behind_the_fields_is_shown() -> None:
    assert "6c 65 66 74" in Traced().message(24, b"\1left", 0x0304)


@given(
    st.sampled_from([20, 21, 22, 23, 24, RECORD_HEADER, INNER_TYPE, 300]),
    st.sampled_from([0x0300, 0x0303, 0x0304]),
    st.binary(max_size=300),
    st.sampled_from([0, 0x1301, 0xC02B, 0x009E, 0x008C]),
)
def test_any_bytes_at_all_make_printable_lines(
    contentType: int, version: int, data: bytes, suite: int
) -> None:
    traced = Traced()
    traced.agree(suite)
    traced.tracer.message(False, version, contentType, data)
    assert traced.text.endswith("\n")
    assert re.search(r"[^\n\x20-\x7e]", traced.text) is None


@given(st.sampled_from(sorted(tracenames.HANDSHAKES)), st.binary(max_size=200), st.booleans())
def test_any_bytes_make_a_block_for_each_kind_of_message(kind: int, body: bytes, new: bool) -> None:
    traced = Traced()
    traced.agree(0xC02B)
    text = traced.message(kind, body, 0x0304 if new else 0x0303)
    assert f"{tracenames.HANDSHAKES[kind]}, Length={len(body)}\n" in text


# -- sockets


@pytest_twisted.ensureDeferred
async def test_the_option_traces_clients_and_servers_on_standard_error(
    pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Loopback(pki) as loopback:
        plain = await loopback.serve()
        await loopback.secure(plain)
        assert capsys.readouterr().err == ""
        traced = await loopback.secure(plain, enableTrace=True)
        text = capsys.readouterr().err
        assert text.startswith("Sent TLS Record\n")
        assert "ServerHello, Length=" in text
        traced.destroy()
        server = await loopback.serve(enableTrace=True)
        await loopback.secure(server)
        await until(lambda: server.secured)
        text = capsys.readouterr().err
        assert text.startswith("Received TLS Record\n")
        assert "client_version=0x303 (TLS 1.2)" in text


@pytest_twisted.ensureDeferred
async def test_the_method_traces_from_then_on(pki: Pki, capsys: pytest.CaptureFixture[str]) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion="TLSv1.2")
        client = loopback.dial(server)
        client.enableTrace()
        await until(lambda: server.secured)
        assert "ClientHello, Length=" in capsys.readouterr().err
        client.destroy()
        client.enableTrace()
        if symbols.available("SSL_set_msg_callback"):
            other = await loopback.secure(server)
            other.enableTrace()
            other.renegotiate({})
            await until(lambda: "verify_data (len=12)" in capsys.readouterr().err)


def test_a_standard_error_that_is_gone_is_logged_and_does_no_harm(
    monkeypatch: pytest.MonkeyPatch, loggedErrors: Any
) -> None:
    class Gone:
        def write(self, text: str) -> None:
            raise ValueError("I/O operation on closed file")

    monkeypatch.setattr("sys.stderr", Gone())
    toStandardError("text")
    assert len(loggedErrors.flush(ValueError)) == 1
    monkeypatch.setattr("sys.stderr", None)
    toStandardError("text")
