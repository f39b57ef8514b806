"""Building OpenSSL contexts."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from OpenSSL._util import lib

from tests.memory import crlOf, derOf, handshake, issued, trustedPEM
from txnodetls.errors import NodeError, OpenSSLError
from txnodetls.openssl import contexts, sessions
from txnodetls.openssl.failures import drainErrors, verifyErrorCode
from txnodetls.pki.credentials import certificateChain, revocationLists


def serving(authority: trustme.CA) -> SSL.Context:
    native = contexts.newContext()
    credentials = issued(authority)
    contexts.useCertificate(native, derOf(credentials.cert))
    contexts.addChain(native, certificateChain(credentials.cert)[1])
    contexts.usePrivateKey(native, credentials.key, None)
    return native


def trusting(*authorities: trustme.CA) -> contexts.CertificateStore:
    store = contexts.CertificateStore()
    for authority in authorities:
        store.addCertificate(derOf(authority.cert_pem.bytes()))
    return store


def client(store: contexts.CertificateStore) -> SSL.Context:
    native = contexts.newContext()
    contexts.setStore(native, store)
    return native


def verdict(server: SSL.Context, store: contexts.CertificateStore) -> str:
    done = handshake(server, client(store))
    assert done.error is None
    return verifyErrorCode(done.clientVerdict)


class TestVerdict:
    def test_a_trusted_chain_is_accepted(self) -> None:
        authority = trustme.CA()
        assert verdict(serving(authority), trusting(authority)) == "OK"

    def test_the_handshake_goes_on_whatever_the_verdict(self) -> None:
        assert verdict(serving(trustme.CA()), trusting()) == "UNABLE_TO_VERIFY_LEAF_SIGNATURE"

    def test_the_last_error_is_the_verdict(self) -> None:
        """Node reads SSL_get_verify_result, which keeps the last of several errors."""
        authority = trustme.CA()
        store = trusting()
        store.addRevocations(revocationLists(crlOf(authority), "crl")[0])
        assert verdict(serving(authority), store) == "UNABLE_TO_VERIFY_LEAF_SIGNATURE"


class TestStore:
    def test_one_store_serves_many_contexts_and_outlives_them(self) -> None:
        authority = trustme.CA()
        store, server = trusting(authority), serving(authority)
        for _ in range(20):
            assert verdict(server, store) == "OK"
        gc.collect()
        assert verdict(server, store) == "OK"

    def test_a_context_keeps_its_store(self) -> None:
        authority = trustme.CA()
        store = trusting(authority)
        native = client(store)
        del store
        gc.collect()
        assert handshake(serving(authority), native).clientVerdict == 0

    def test_a_revoked_certificate_is_refused(self) -> None:
        authority = trustme.CA()
        server = serving(authority)
        sent = handshake(server, client(trusting())).client.get_peer_certificate(
            as_cryptography=True
        )
        assert sent is not None
        store = trusting(authority)
        crl = crlOf(authority, [sent.public_bytes(Encoding.PEM)])
        store.addRevocations(revocationLists(crl, "crl")[0])
        assert verdict(server, store) == "CERT_REVOKED"

    def test_with_lists_each_issuer_needs_one(self) -> None:
        first, second = trustme.CA(), trustme.CA()
        store = trusting(first, second)
        store.addRevocations(revocationLists(crlOf(first), "crl")[0])
        assert verdict(serving(first), store) == "OK"
        assert verdict(serving(second), store) == "UNABLE_TO_GET_CRL"

    def test_an_intermediate_ends_a_chain_only_if_it_may(self) -> None:
        child = trustme.CA().create_child_ca()
        store = trusting(child)
        server = contexts.newContext()
        credentials = issued(child)
        contexts.useCertificate(server, derOf(credentials.cert))
        contexts.usePrivateKey(server, credentials.key, None)
        assert verdict(server, store) == "UNABLE_TO_GET_ISSUER_CERT"
        partial = trusting(child)
        partial.allowPartialChains()
        assert verdict(server, partial) == "OK"

    def test_the_data_of_a_trusted_certificate_counts(self, tmp_path: Path) -> None:
        authority = trustme.CA()
        server = serving(authority)
        for setting, expected in (("-addtrust", "OK"), ("-addreject", "INVALID_PURPOSE")):
            store = contexts.CertificateStore()
            pem = trustedPEM(authority.cert_pem.bytes(), tmp_path, setting, "serverAuth")
            store.addTrusted(pem)
            assert verdict(server, store) == expected

    def test_garbage_is_refused_with_openssls_error(self) -> None:
        with pytest.raises(OpenSSLError) as caught:
            contexts.CertificateStore().addCertificate(b"\x30\x03\x02\x01\x05")
        assert caught.value.code is not None
        assert caught.value.code.startswith("ERR_OSSL_ASN1_")
        with pytest.raises(NodeError, match="Failed to parse CRL"):
            contexts.CertificateStore().addRevocations(b"\x30\x03\x02\x01\x05")


class TestOwnCertificates:
    def test_each_of_several_certificates_has_its_own_chain(self) -> None:
        native = contexts.newContext()
        sent = {}
        for kind in (trustme.KeyType.RSA, trustme.KeyType.ECDSA):
            root = trustme.CA(key_type=kind)
            credentials = issued(root.create_child_ca(key_type=kind), key_type=kind)
            leaf, chain = certificateChain(credentials.cert)
            assert chain
            contexts.useCertificateChain(native, leaf, chain)
            contexts.usePrivateKey(native, credentials.key, None)
            sent[kind] = [leaf, *chain]
        for kind, cipher in (
            (trustme.KeyType.RSA, "ECDHE-RSA-AES128-GCM-SHA256"),
            (trustme.KeyType.ECDSA, "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ):
            peer = contexts.newContext()
            contexts.setCipherList(peer, cipher)
            contexts.setVersions(peer, 0x0303, 0x0303)
            assert handshake(native, peer).sent == sent[kind]

    def test_a_key_of_another_certificate_is_refused(self) -> None:
        authority = trustme.CA()
        native = contexts.newContext()
        contexts.useCertificate(native, derOf(issued(authority).cert))
        with pytest.raises(OpenSSLError) as caught:
            contexts.usePrivateKey(native, issued(authority).key, None)
        assert caught.value.code == "ERR_OSSL_X509_KEY_VALUES_MISMATCH"

    def test_a_client_is_told_whose_certificates_are_wanted(self) -> None:
        authority = trustme.CA()
        native = serving(authority)
        contexts.addClientCA(native, derOf(authority.cert_pem.bytes()))
        done = handshake(native, client(trusting(authority)), ask=True)
        subject = x509.load_pem_x509_certificate(authority.cert_pem.bytes()).subject
        assert [name.der() for name in done.client.get_client_ca_list()] == [subject.public_bytes()]


class TestSettings:
    def test_partial_writes_are_off_and_idle_buffers_are_released(self) -> None:
        native = contexts.newContext()
        mode = native.set_mode(0)
        assert not mode & lib.SSL_MODE_ENABLE_PARTIAL_WRITE
        assert mode & lib.SSL_MODE_RELEASE_BUFFERS
        assert mode & lib.SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER

    def test_no_session_is_kept_inside_openssl(self) -> None:
        mode = contexts.newContext().get_session_cache_mode()
        assert mode & SSL.SESS_CACHE_NO_INTERNAL_STORE
        assert mode & SSL.SESS_CACHE_SERVER

    def test_taking_all_old_ciphers_away_is_no_error(self) -> None:
        native = contexts.newContext()
        contexts.setCipherList(native, "")
        with pytest.raises(OpenSSLError) as caught:
            contexts.setCipherList(native, "nothing-of-this-name")
        assert caught.value.code == "ERR_SSL_NO_CIPHER_MATCH"

    def test_a_context_of_one_side_is_of_no_use_to_the_other(self) -> None:
        authority = trustme.CA()
        native = contexts.newContext("client")
        credentials = issued(authority)
        contexts.useCertificate(native, derOf(credentials.cert))
        contexts.usePrivateKey(native, credentials.key, None)
        assert handshake(native, contexts.newContext()).error is not None
        assert handshake(serving(authority), native).error is None

    def test_nothing_is_left_in_the_error_queue(self) -> None:
        native = contexts.newContext()
        for call in (
            lambda: contexts.setGroups(native, "no-such-group"),
            lambda: contexts.setSignatureAlgorithms(native, "nope"),
            lambda: contexts.setCipherSuites(native, "TLS_NOPE"),
            lambda: contexts.setSessionIdContext(native, b"x" * 33),
            lambda: contexts.usePrivateKey(native, b"nothing", None),
            lambda: contexts.setDHParameters(native, b"nothing"),
        ):
            with pytest.raises(NodeError):
                call()
            assert drainErrors() == []

    def test_the_names_of_the_ciphers_have_old_and_new_ones(self) -> None:
        names = contexts.cipherNames()
        assert {"TLS_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "PSK-AES128-CBC-SHA"} <= (
            set(names)
        )
        assert names == sorted(set(names))


def test_dropping_the_finite_field_groups_leaves_the_others_and_their_order() -> None:
    before, after = offered(contexts.newContext()), contexts.newContext()
    contexts.dropFiniteFieldGroups(after)
    assert offered(after) == [group for group in before if group not in (0x0100, 0x0101)]


def offered(native: SSL.Context) -> list[int]:
    """The groups in the ClientHello of a context."""
    connection = SSL.Connection(native, None)
    connection.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    hello = connection.bio_read(65536)
    # Extension 10: its number, its length, the length of the list, the list.
    at = hello.index(b"\x00\x0a\x00", 80)
    size = int.from_bytes(hello[at + 4 : at + 6], "big")
    assert int.from_bytes(hello[at + 2 : at + 4], "big") == size + 2
    members = hello[at + 6 : at + 6 + size]
    return [int.from_bytes(members[i : i + 2], "big") for i in range(0, size, 2)]


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
@pytest.mark.parametrize("name", [b"localhost", None])
def test_a_context_that_refuses_names_serves_only_whom_another_one_is_chosen_for(
    version: int, name: bytes | None
) -> None:
    refusing, chosen = serving(trustme.CA()), serving(trustme.CA())
    contexts.refuseNames(refusing)
    sessions.renewNoTickets(chosen)
    contexts.setVersions(refusing, version, version)
    for switches in (False, True):
        server = SSL.Connection(refusing, None)
        peer = SSL.Connection(contexts.newContext(), None)
        if name is not None:
            peer.set_tlsext_host_name(name)
        if switches:
            server.set_context(chosen)
        server.set_accept_state()
        peer.set_connect_state()
        with pytest.raises(SSL.WantReadError):
            peer.do_handshake()
        server.bio_write(peer.bio_read(65536))
        with pytest.raises(SSL.WantReadError if switches else SSL.Error):
            server.do_handshake()
        answer = server.bio_read(65536)
        if switches:
            assert answer[0] == 22  # its handshake goes on
        else:
            # An alert, in plain text: fatal, unrecognized_name.
            assert (answer[0], answer[5:]) == (21, bytes([2, 112]))
        drainErrors()
