"""What is trusted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.memory import crlOf, derOf
from tests.support import Pki, runPython
from txnodetls.errors import NodeError
from txnodetls.pki import trust
from txnodetls.pki.credentials import certificatesIn, revocationLists
from txnodetls.pki.pem import PEMBlock
from txnodetls.pki.trust import (
    Trust,
    defaultTrust,
    getCACertificates,
    readable,
    rootCertificates,
    setDefaultCACertificates,
)


@pytest.fixture(autouse=True)
def defaultsAfterwards() -> Iterator[None]:
    """The process's defaults are as before when a test is over."""
    before = trust._Defaults.trust
    yield
    trust._Defaults.trust = before


def of(*authorities: trustme.CA) -> list[PEMBlock]:
    return [block for ca in authorities for block in certificatesIn(ca.cert_pem.bytes())]


class TestDigest:
    def test_differs_wherever_trust_differs(self) -> None:
        first, second = trustme.CA(), trustme.CA()
        [crl] = revocationLists(crlOf(first), "crl")
        trusts = [
            Trust([]),
            Trust(of(first)),
            Trust(of(second)),
            Trust(of(first, second)),
            Trust(of(first), [crl]),
            Trust(of(first), (), True),
            Trust([block._replace(label="TRUSTED CERTIFICATE") for block in of(first)]),
        ]
        assert len({each.digest for each in trusts}) == len(trusts)
        assert all(len(each.digest) == 32 for each in trusts)

    def test_the_order_and_repetitions_do_not_count(self) -> None:
        first, second = trustme.CA(), trustme.CA()
        assert Trust(of(first, second)).digest == Trust(of(second, first, first)).digest

    def test_a_certificate_is_not_taken_for_a_list(self) -> None:
        """Otherwise moving bytes from one option to the other would not be noticed."""
        [block] = of(trustme.CA())
        assert Trust([block]).digest != Trust([], [block.der]).digest


class TestExtending:
    def test_makes_another_trust(self) -> None:
        first, second = trustme.CA(), trustme.CA()
        before = Trust(of(first))
        after = before.extended(of(second), partial=True)
        assert before.ders() == (derOf(first.cert_pem.bytes()),)
        assert after.ders() == (*before.ders(), derOf(second.cert_pem.bytes()))
        assert after.partial
        assert not before.partial

    def test_by_nothing_gives_the_same(self) -> None:
        before = Trust([], partial=True)
        assert before.extended() is before
        assert before.extended(partial=True) is before


class TestReading:
    def test_stops_at_what_is_no_certificate(self, pki: Pki) -> None:
        broken = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
        assert len(readable(pki.ca + broken + pki.ca)) == 1
        assert readable(b"garbage") == []


class TestRootCertificates:
    def test_are_pem_and_cannot_be_changed(self) -> None:
        roots = rootCertificates()
        assert isinstance(roots, tuple)
        assert len(roots) > 50
        form = re.compile(
            r"-----BEGIN CERTIFICATE-----\n([\w+/=]{1,64}\n)+-----END CERTIFICATE-----"
        )
        assert all(form.fullmatch(root) for root in roots)

    def test_are_the_same_object_each_time(self) -> None:
        assert rootCertificates() is rootCertificates()
        assert getCACertificates("bundled") is rootCertificates()

    def test_are_trusted_by_default(self) -> None:
        assert set(rootCertificates()) <= set(getCACertificates("default"))
        assert getCACertificates() == getCACertificates("default")


class TestGetCACertificates:
    def test_the_systems_are_pem(self) -> None:
        assert all(pem.startswith("-----BEGIN") for pem in getCACertificates("system"))

    @pytest.mark.parametrize(
        ("type", "code"),
        [
            ("nope", "ERR_INVALID_ARG_VALUE"),
            ("", "ERR_INVALID_ARG_VALUE"),
            (1, "ERR_INVALID_ARG_TYPE"),
            (["default"], "ERR_INVALID_ARG_TYPE"),
        ],
    )
    def test_anything_else_is_nodes_error(self, type: Any, code: str) -> None:
        with pytest.raises(NodeError) as caught:
            getCACertificates(type)
        assert caught.value.code == code


class TestSetDefaultCACertificates:
    def test_replaces_what_is_trusted_by_default(self, pki: Pki) -> None:
        setDefaultCACertificates([pki.ca.decode(), pki.ca, bytearray(pki.ca)])
        assert defaultTrust().ders() == (derOf(pki.ca),)
        assert [pem.encode() for pem in getCACertificates("default")] == [pki.ca.rstrip(b"\n")]

    def test_the_bundled_ones_stay(self, pki: Pki) -> None:
        before = getCACertificates("bundled")
        setDefaultCACertificates([pki.ca])
        assert getCACertificates("bundled") == before

    def test_an_empty_list_trusts_nobody(self) -> None:
        setDefaultCACertificates([])
        assert getCACertificates("default") == ()

    def test_certificates_with_trust_settings_are_passed_over(self, pki: Pki) -> None:
        """As in Node, which takes them in C{ca} alone."""
        labelled = pki.ca.replace(b" CERTIFICATE", b" TRUSTED CERTIFICATE")
        setDefaultCACertificates([labelled, pki.ca])
        assert len(getCACertificates("default")) == 1
        with pytest.raises(NodeError):
            setDefaultCACertificates([labelled])

    @pytest.mark.parametrize(
        ("certs", "code"),
        [
            (None, "ERR_INVALID_ARG_TYPE"),
            ("x", "ERR_INVALID_ARG_TYPE"),
            ([5], "ERR_INVALID_ARG_TYPE"),
            ([None], "ERR_INVALID_ARG_TYPE"),
            (["not pem"], "ERR_CRYPTO_OPERATION_FAILED"),
            ([b"\0"], "ERR_CRYPTO_OPERATION_FAILED"),
        ],
    )
    def test_a_wrong_list_changes_nothing(self, certs: Any, code: str) -> None:
        before = defaultTrust()
        with pytest.raises(NodeError) as caught:
            setDefaultCACertificates(certs)
        assert caught.value.code == code
        assert defaultTrust() is before


COUNT_EXTRA = """
import sys
from twisted.logger import globalLogPublisher, formatEvent
events = []
globalLogPublisher.addObserver(lambda event: events.append(formatEvent(event)))
from txnodetls.pki.trust import defaultTrust, getCACertificates, rootCertificates
if sys.argv[1:] == ["other user"]:
    import os
    os.geteuid = lambda: os.getuid() + 1
extra = getCACertificates("extra")
more = len(defaultTrust().certificates) - len(rootCertificates())
print(len(extra), more, *events)
"""


class TestExtraCertificates:
    """`NODE_EXTRA_CA_CERTS` is read once per process, so each case has its own."""

    def count(self, value: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        monkeypatch.setenv("NODE_EXTRA_CA_CERTS", value)
        done = runPython(COUNT_EXTRA, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().split(" ", 2)

    def test_are_trusted_beside_the_bundled_ones(
        self, pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "extra.pem"
        path.write_bytes(pki.ca + trustme.CA().cert_pem.bytes())
        assert self.count(str(path), monkeypatch=monkeypatch) == ["2", "2\n"]

    def test_without_the_variable_there_are_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.count("", monkeypatch=monkeypatch) == ["0", "0\n"]

    def test_a_file_that_cannot_be_read_is_logged(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "absent.pem"
        extra, more, log = self.count(str(path), monkeypatch=monkeypatch)
        assert (extra, more) == ("0", "0")
        assert str(path) in log

    def test_a_file_without_any_is_logged(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "empty.pem"
        path.write_bytes(b"nothing")
        extra, _more, log = self.count(str(path), monkeypatch=monkeypatch)
        assert extra == "0"
        assert "no certificate" in log

    def test_are_ignored_under_another_users_rights(
        self, pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "extra.pem"
        path.write_bytes(pki.ca)
        extra, _more, log = self.count(str(path), "other user", monkeypatch=monkeypatch)
        assert extra == "0"
        assert "NODE_EXTRA_CA_CERTS" in log
