"""A directory of certificates: what is found, what is left out and why."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from tests.support import Pki
from txnodetls.daemon.certdir import Pair, grouped, readDirectory
from txnodetls.daemon.files import Files


@pytest.fixture
def certs(pki: Pki, tmp_path: Path) -> Path:
    """One pair of each layout."""
    a, b, c, d = (pki.issue(f"{letter}.example") for letter in "abcd")
    (tmp_path / "a.pem").write_bytes(a.key + a.cert)
    (tmp_path / "b.crt").write_bytes(b.cert)
    (tmp_path / "b.key").write_bytes(b.key)
    for name, pair, files in (
        ("c", c, ("fullchain.pem", "privkey.pem")),
        ("d", d, ("tls.crt", "tls.key")),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / files[0]).write_bytes(pair.cert)
        (tmp_path / name / files[1]).write_bytes(pair.key)
    (tmp_path / ".hidden.pem").write_text("nonsense")
    (tmp_path / "README").write_text("nonsense")
    (tmp_path / "empty").mkdir()
    return tmp_path


def read(directory: Path, before: list[Pair] = []) -> tuple[list[Pair], list[str]]:  # noqa: B006
    return readDirectory(str(directory), Files(), before)


def test_every_layout_is_known(certs: Path) -> None:
    pairs, warnings = read(certs)
    assert warnings == []
    assert [(pair.source, pair.names) for pair in pairs] == [
        (letter, (f"{letter}.example",)) for letter in "abcd"
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: (d / "b.crt").unlink(), "a key without its certificate"),
        (lambda d: (d / "b.key").unlink(), "a certificate without its key"),
        (lambda d: (d / "b.key").write_text(""), "a certificate without its key"),
        (lambda d: (d / "b.key").write_bytes((d / "a.pem").read_bytes()), "do not match"),
        (
            lambda d: (d / "b.crt").write_bytes((d / "b.crt").read_bytes()[:300]),
            "a key without its certificate",
        ),
        (
            lambda d: (d / "b.crt").write_text(
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
            ),
            "cannot be read: ",
        ),
    ],
)
def test_a_pair_that_cannot_be_used_is_left_out_and_the_old_one_stays(
    change: object, said: str, certs: Path
) -> None:
    before, _ = read(certs)
    change(certs)  # type: ignore[operator]
    pairs, (warning,) = read(certs)
    assert [pair.source for pair in pairs] == ["a", "c", "d"]
    assert warning.startswith(f"{certs}/b: ")
    assert said in warning
    pairs, (warning,) = read(certs, before)
    assert pairs == before
    assert warning.endswith("; the one from before stays")


def test_what_is_taken_away_is_gone(certs: Path) -> None:
    before, _ = read(certs)
    (certs / "b.crt").unlink()
    (certs / "b.key").unlink()
    pairs, warnings = read(certs, before)
    assert [pair.source for pair in pairs] == ["a", "c", "d"]
    assert warnings == []


def test_an_encrypted_key_is_told(pki: Pki, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as form

    key = form.load_pem_private_key(pki.server.key, None)
    locked = key.private_bytes(
        form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"x")
    )
    (tmp_path / "a.pem").write_bytes(pki.server.cert + locked)
    assert "cannot be read: Password was not given" in read(tmp_path)[1][0]


def test_pairs_of_different_kinds_serve_together(pki: Pki, tmp_path: Path) -> None:
    for source, kind in (("one", "RSA"), ("two", "ECDSA"), ("three", "ECDSA")):
        pair = pki.issue("a.example", key_type=trustme.KeyType[kind])
        (tmp_path / f"{source}.pem").write_bytes(pair.cert + pair.key)
    groups, warnings = grouped(read(tmp_path)[0])
    assert [[pair.source for pair in group] for group in groups] == [["one", "three"]]
    assert warnings == ["two is not used: three has the same names"]


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "absent")


def test_it_can_be_handed_over(certs: Path) -> None:
    files = Files()
    pairs, _ = readDirectory(str(certs), files)
    again, _ = readDirectory(str(certs), Files(files.contents, files.directories))
    assert again == pairs
