"""
Whatever a certificate, a key, a list or an extension is made of, there is an answer, or an
error with a code.

A few thousand damaged inputs; `.ci/soak.d/fuzz-certificates` shows hundreds of thousands.
"""

from __future__ import annotations

import pytest

from tests.pki import fuzzing
from tests.pki.building import altName, certificate, extension, ia5, sequence
from tests.pki.fuzzing import Fuzzer, readCertificate
from txnodetls.context import createSecureContext
from txnodetls.errors import NodeError
from txnodetls.pki import der
from txnodetls.pki.certificates import certificateObject


def test_damaged_inputs() -> None:
    fuzzer = Fuzzer(20240229)
    fuzzer.run(3000)
    assert fuzzer.counts["certificate"] > 500
    assert min(fuzzer.counts.values()) > 5


def test_a_seed_gives_the_same_inputs() -> None:
    def inputs(seed: int) -> list[int]:
        fuzzer = Fuzzer(seed)
        given: list[int] = []
        # Some signatures have a salt, and one octet is not like another there.
        fuzzer.show = lambda name, read, data: given.append(len(data))  # type: ignore[method-assign]
        fuzzer._plan = fuzzer._plan[:3]
        fuzzer._weights = fuzzer._weights[:3]
        fuzzer.run(50)
        return given

    assert inputs(1) == inputs(1) != inputs(2)


@pytest.mark.parametrize("raised", [ValueError("x"), NodeError("no code")])
def test_an_error_without_a_code_does_not_pass(raised: Exception) -> None:
    def read(data: bytes) -> None:
        def fail() -> None:
            raise raised

        fuzzing.coded(fail)

    with pytest.raises(AssertionError, match="seed 1, input 0, it: "):
        Fuzzer(1).show("it", read, b"")


def test_what_takes_too_long_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzing, "LIMIT", 0.05)

    def read(data: bytes) -> None:
        while True:
            pass

    with pytest.raises(AssertionError, match="not done within"):
        Fuzzer(1).show("it", read, b"")


# -- what was found so


def test_a_name_constraint_of_nothing_is_no_name_constraint() -> None:
    """An empty subtree was a ValueError, from a peer's certificate."""
    value = sequence(der.encode(0xA0, sequence()))
    constraints = extension("2.5.29.19", sequence(der.encode(der.BOOLEAN, b"\xff")))
    encoded = certificate(altName(ia5(0x82, "a")), extension("2.5.29.30", value), constraints)
    assert certificateObject(encoded)["ca"] is False
    readCertificate(encoded)


def test_an_empty_certificate_is_an_error_with_a_code() -> None:
    empty = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
    with pytest.raises(NodeError) as caught:
        createSecureContext(cert=empty)
    assert caught.value.code == "ERR_CRYPTO_OPERATION_FAILED"
