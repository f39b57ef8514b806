"""Which responses are good enough to be shown to a client."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from tests.stapling import NOW, Authority, derOf
from tests.support import Pki, makePki
from txnodetls.ocsp.checking import RevokedCertificate, UnusableStaple, checkStaple


@pytest.fixture(scope="module")
def authority(pki: Pki) -> Authority:
    return Authority(pki)


@pytest.fixture
def leaf(pki: Pki) -> bytes:
    return derOf(pki.server.cert)


def refusal(data: bytes, certificate: bytes, issuer: bytes | None) -> str:
    """Why a response is not to be sent."""
    with pytest.raises(UnusableStaple) as raised:
        checkStaple(data, certificate, issuer, NOW)
    return str(raised.value)


# -- single responses


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256()], ids=["sha1", "sha256"])
def test_a_response_of_the_issuer_is_good(
    authority: Authority, leaf: bytes, algorithm: hashes.HashAlgorithm
) -> None:
    data = authority.response(leaf, algorithm=algorithm)
    staple = checkStaple(data, leaf, authority.der, NOW)
    assert staple.der == data
    assert (staple.thisUpdate, staple.nextUpdate) == (NOW - 3600, NOW + 86400)


def test_so_is_one_of_whom_the_issuer_has_named_for_it(authority: Authority, leaf: bytes) -> None:
    data = authority.response(leaf, signer=authority.delegate())
    assert checkStaple(data, leaf, authority.der, NOW).der == data


def test_one_that_does_not_say_when_it_lapses_does_not(authority: Authority, leaf: bytes) -> None:
    data = authority.response(leaf, until=None)
    assert checkStaple(data, leaf, authority.der, NOW).nextUpdate is None


def test_without_the_issuer_only_the_signature_is_not_looked_at(
    pki: Pki, authority: Authority, leaf: bytes
) -> None:
    stranger = Authority(makePki())
    data = authority.response(leaf, signer=(stranger.certificate, stranger.key))
    assert checkStaple(data, leaf, None, NOW).der == data
    assert "another certificate" in refusal(data, derOf(pki.client.cert), None)


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ({"since": 600}, "from the future"),
        ({"until": -1}, "lapsed"),
        ({"until": 0}, "lapsed"),
        ({"status": ocsp.OCSPCertStatus.REVOKED}, "revoked"),
        ({"status": ocsp.OCSPCertStatus.UNKNOWN}, "unknown"),
    ],
    ids=["future", "lapsed", "lapsing", "revoked", "unknown"],
)
def test_what_is_not_true_now_is_refused(
    authority: Authority, leaf: bytes, what: dict[str, Any], why: str
) -> None:
    assert why in refusal(authority.response(leaf, **what), leaf, authority.der)


def test_clocks_may_be_a_little_apart(authority: Authority, leaf: bytes) -> None:
    assert checkStaple(authority.response(leaf, since=120), leaf, authority.der, NOW)


def test_what_is_about_another_certificate_is_refused(
    pki: Pki, authority: Authority, leaf: bytes
) -> None:
    data = authority.response(derOf(pki.client.cert))
    assert "another certificate" in refusal(data, leaf, authority.der)


def test_the_same_number_of_another_issuer_is_another_certificate(
    authority: Authority, leaf: bytes
) -> None:
    data = authority.response(leaf, issuer=Authority(makePki()).certificate)
    assert "another certificate" in refusal(data, leaf, authority.der)


def test_signatures_of_others_are_refused(authority: Authority, leaf: bytes) -> None:
    stranger = Authority(makePki())
    wrong = [
        (stranger.certificate, stranger.key),
        stranger.delegate(),
        authority.delegate(usage=ExtendedKeyUsageOID.SERVER_AUTH),
        authority.delegate(days=-1),
    ]
    for signer in wrong:
        data = authority.response(leaf, signer=signer)
        assert "not signed" in refusal(data, leaf, authority.der)
    hidden = authority.response(leaf, signer=authority.delegate(), attach=False)
    assert "not signed" in refusal(hidden, leaf, authority.der)


def test_a_changed_response_is_refused(authority: Authority, leaf: bytes) -> None:
    data = bytearray(authority.response(leaf))
    data[-1] ^= 1
    assert refusal(bytes(data), leaf, authority.der)


def test_a_responder_that_gave_no_answer_is_named_as_such(
    authority: Authority, leaf: bytes
) -> None:
    status = ocsp.OCSPResponseStatus.TRY_LATER
    data = ocsp.OCSPResponseBuilder.build_unsuccessful(status)
    text = refusal(data.public_bytes(serialization.Encoding.DER), leaf, authority.der)
    assert "TRY_LATER" in text


@given(st.binary(max_size=200))
def test_garbage_is_refused(pki: Pki, data: bytes) -> None:
    leaf = derOf(pki.server.cert)
    assert refusal(data, leaf, derOf(pki.ca))


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=255))
def test_a_response_with_any_byte_changed_is_refused_or_says_the_same(
    pki: Pki, position: int, value: int
) -> None:
    authority, leaf = Authority(pki), derOf(pki.server.cert)
    data = bytearray(authority.response(leaf))
    data[position % len(data)] = value
    try:
        staple = checkStaple(bytes(data), leaf, authority.der, NOW)
    except UnusableStaple:
        return
    assert staple.nextUpdate == NOW + 86400


def test_an_answer_to_another_question_is_refused(authority: Authority, leaf: bytes) -> None:
    data = authority.response(leaf, nonce=b"n" * 32)
    assert checkStaple(data, leaf, authority.der, NOW, b"n" * 32)
    with pytest.raises(UnusableStaple, match="another question"):
        checkStaple(data, leaf, authority.der, NOW, b"m" * 32)
    # Whoever has not asked with one does not look for it.
    assert checkStaple(data, leaf, authority.der, NOW)


def test_an_answer_that_was_signed_beforehand_has_no_nonce(
    authority: Authority, leaf: bytes
) -> None:
    assert checkStaple(authority.response(leaf), leaf, authority.der, NOW, b"n" * 32)


def test_only_who_may_can_say_that_a_certificate_is_revoked(
    authority: Authority, leaf: bytes
) -> None:
    revoked = ocsp.OCSPCertStatus.REVOKED
    with pytest.raises(RevokedCertificate):
        checkStaple(authority.response(leaf, status=revoked), leaf, authority.der, NOW)
    stranger = Authority(makePki())
    forged = authority.response(leaf, status=revoked, signer=(stranger.certificate, stranger.key))
    assert "not signed" in refusal(forged, leaf, authority.der)
    old = authority.response(leaf, status=revoked, since=-7200, until=-3600)
    assert "lapsed" in refusal(old, leaf, authority.der)
