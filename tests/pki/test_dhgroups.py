"""The groups of RFC 7919."""

from __future__ import annotations

import hashlib

import pytest
import trustme

from tests.memory import derOf, issued
from tests.support import requireTool, runTool
from txnodetls.pki.credentials import dhPrimeBits
from txnodetls.pki.dhgroups import group, parametersFor, prime

SIZES = [2048, 3072, 4096, 8192]

#: The last 64 bits but 64 of each prime, as RFC 7919 prints them in appendix A.
ENDINGS = {
    2048: 0x886B423861285C97,
    3072: 0x25E41D2B66C62E37,
    4096: 0xC68A007E5E655F6A,
    8192: 0xD68C8BB7C5C6424C,
}


@pytest.mark.parametrize("bits", SIZES)
def test_the_primes_are_those_of_the_rfc(bits: int) -> None:
    assert prime(bits).bit_length() == bits
    assert prime(bits) >> 64 & 2**64 - 1 == ENDINGS[bits]
    assert prime(bits) & 2**64 - 1 == 2**64 - 1


@pytest.mark.parametrize("bits", [2048, 3072])
def test_the_primes_are_safe(bits: int) -> None:
    """Fermat's test, to a few bases: what was computed wrongly does not pass it."""
    p = prime(bits)
    half = (p - 1) // 2
    for number, tested in ((p, "p"), (half, "(p-1)/2")):
        base = int.from_bytes(hashlib.sha256(tested.encode()).digest(), "big")
        assert pow(base, number - 1, number) == 1


@pytest.mark.parametrize("bits", SIZES)
def test_the_parameters_can_be_read(bits: int) -> None:
    assert dhPrimeBits(group(bits)) == bits


def test_openssl_knows_the_group() -> None:
    openssl = requireTool("openssl")
    done = runTool([openssl, "dhparam", "-noout", "-check"], stdin=group(2048))
    assert done.returncode == 0, done.stderr
    assert b"ok" in done.stderr + done.stdout


def test_the_group_is_as_strong_as_the_key() -> None:
    authority = trustme.CA()
    rsa = derOf(issued(authority, key_type=trustme.KeyType.RSA).cert)
    ec = derOf(issued(authority, key_type=trustme.KeyType.ECDSA).cert)
    assert dhPrimeBits(parametersFor([(rsa, ())])) == 2048
    assert dhPrimeBits(parametersFor([(ec, ())])) == 3072
    # The weakest of several keys counts: its connections are no stronger.
    assert dhPrimeBits(parametersFor([(ec, ()), (rsa, ())])) == 2048


def test_without_a_certificate_it_is_the_smallest() -> None:
    assert dhPrimeBits(parametersFor([])) == 2048
