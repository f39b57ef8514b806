"""
Chains and sessions that have fooled programs, each by its name, in handshakes.

OpenSSL builds and judges the chain; these hold that nothing here gets in its way.
Names are in `tests/pki/test_bypasses.py`.
"""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.pki.building import altName, extension, ia5, oid, sequence, simpleName, text
from tests.pki.building import certificate as encode
from tests.pki.signers import signers
from tests.support import Credentials, Pki
from tests.tlspairs import Told, memoryPair
from txnodetls.errors import NodeError
from txnodetls.pki import der
from txnodetls.pki.pem import toPEM

VERSIONS = ("TLSv1.2", "TLSv1.3")
both = pytest.mark.parametrize("version", VERSIONS)
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class Party:
    """
    Somebody with a certificate.

    @param by: who has issued it; None for itself.
    """

    def __init__(self, name: str, by: Party | None = None, *extensions: Any, **more: Any) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.by = by
        issuer = self if by is None else by
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(issuer.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(more.get("since", NOW - DAY))
            .not_valid_after(more.get("until", NOW + DAY))
        )
        for each in extensions:
            builder = builder.add_extension(each, critical=True)
        self.certificate = builder.sign(issuer.key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def credentials(self, *chain: Party) -> Credentials:
        """Its own, and further certificates on the way up."""
        secret = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return Credentials(self.pem + b"".join(each.pem for each in chain), secret)


def authority(length: int | None = None) -> x509.BasicConstraints:
    return x509.BasicConstraints(ca=True, path_length=length)


NOBODY = x509.BasicConstraints(ca=False, path_length=None)


def names(*hosts: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.DNSName(each) for each in hosts])


LOCALHOST = names("localhost")
#: Which of the two depends on what OpenSSL looks at first.
NO_AUTHORITY = ("INVALID_CA", "INVALID_PURPOSE")


def refusal(pki: Pki, version: str, server: Credentials, ca: bytes, **client: Any) -> str | None:
    """The code with which a client refuses a server; None if it takes it."""
    pair = memoryPair(
        pki,
        # Whatever its certificate is like, it is the client that is to refuse it.
        {
            "key": server.key,
            "cert": server.cert,
            "maxVersion": version,
            "ciphers": "DEFAULT:@SECLEVEL=0",
        },
        {"ca": ca, **client},
        pump=False,
    )
    told = Told(pair.client)
    pair.pump()
    assert ("secureConnect" in told.events) is (not told.errors)
    assert bool(pair.client.authorized) is (not told.errors)
    return told.codes[0] if told.errors else None


@both
def test_what_is_good_is_taken(version: str, pki: Pki) -> None:
    """Or else the rest of this file would say nothing."""
    root = Party("root", None, authority())
    middle = Party("middle", root, authority())
    leaf = Party("leaf", middle, LOCALHOST)
    assert refusal(pki, version, leaf.credentials(middle), root.pem) is None


@both
@pytest.mark.parametrize("constraints", [[NOBODY], []])
def test_a_server_that_issues_certificates_cve_2002_0862_cve_2015_1793(
    constraints: list[Any], version: str, pki: Pki
) -> None:
    """Whoever has a certificate of one name has not one of all."""
    root = Party("root", None, authority())
    server = Party("evil.test", root, names("evil.test"), *constraints)
    forged = Party("localhost", server, LOCALHOST)
    assert refusal(pki, version, forged.credentials(server), root.pem) in NO_AUTHORITY


@both
def test_an_authority_of_version_1_cve_2014_0092(version: str, pki: Pki) -> None:
    """Without extensions nothing says that it is none; in the middle of a chain it is none."""
    root = Party("root", None, authority())
    middle = Party("middle", root)
    # The same without its version, which is signed, too.
    body = middle.certificate.tbs_certificate_bytes
    parts = [each.encoding for each in der.children(der.only(body))]
    old = sequence(*parts[1:7])
    signed = root.key.sign(old, ec.ECDSA(hashes.SHA256()))
    algorithm = parts[2]
    encoded = sequence(old, algorithm, der.encode(der.BIT_STRING, b"\0" + signed))
    leaf = Party("leaf", middle, LOCALHOST)
    chain = Credentials(leaf.pem + toPEM(encoded), leaf.credentials().key)
    assert refusal(pki, version, chain, root.pem) in NO_AUTHORITY


@both
def test_more_authorities_than_were_allowed(version: str, pki: Pki) -> None:
    root = Party("root", None, authority(0))
    middle = Party("middle", root, authority())
    leaf = Party("leaf", middle, LOCALHOST)
    code = refusal(pki, version, leaf.credentials(middle), root.pem)
    assert code == "PATH_LENGTH_EXCEEDED"


@both
@pytest.mark.parametrize(
    ("permitted", "excluded", "hosts", "code"),
    [
        (["good.test"], None, ["localhost"], "UNSPECIFIED"),
        (None, ["localhost"], ["localhost"], "UNSPECIFIED"),
        (["localhost"], None, ["localhost", "evil.test"], "UNSPECIFIED"),
        (["localhost"], None, ["localhost"], None),
    ],
)
def test_a_name_that_the_authority_may_not_vouch_for(
    permitted: Any, excluded: Any, hosts: list[str], code: str | None, version: str, pki: Pki
) -> None:
    def trees(hosts: Any) -> Any:
        return None if hosts is None else [x509.DNSName(each) for each in hosts]

    limits = x509.NameConstraints(trees(permitted), trees(excluded))
    root = Party("root", None, authority(), limits)
    leaf = Party("leaf", root, names(*hosts))
    assert refusal(pki, version, leaf.credentials(), root.pem) == code


@both
def test_a_certificate_for_something_else(version: str, pki: Pki) -> None:
    root = Party("root", None, authority())
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    leaf = Party("leaf", root, LOCALHOST, usage)
    assert refusal(pki, version, leaf.credentials(), root.pem) == "INVALID_PURPOSE"


@both
@pytest.mark.parametrize(
    ("since", "until", "code"),
    [(-2, -1, "CERT_HAS_EXPIRED"), (1, 2, "CERT_NOT_YET_VALID")],
)
def test_a_certificate_of_another_time(
    since: int, until: int, code: str, version: str, pki: Pki
) -> None:
    root = Party("root", None, authority())
    times = {"since": NOW + since * DAY, "until": NOW + until * DAY}
    leaf = Party("leaf", root, LOCALHOST, **times)
    assert refusal(pki, version, leaf.credentials(), root.pem) == code
    old = Party("old", None, authority(), **times)
    under = Party("leaf", old, LOCALHOST)
    assert refusal(pki, version, under.credentials(), old.pem) == code


@both
def test_an_authority_of_the_same_name_and_another_key(version: str, pki: Pki) -> None:
    root, other = (Party("root", None, authority()) for _ in range(2))
    leaf = Party("leaf", other, LOCALHOST)
    for chain in ((), (root,), (other,)):
        code = refusal(pki, version, leaf.credentials(*chain), root.pem)
        assert code is not None


@both
def test_an_extension_that_must_be_understood_and_is_not(version: str, pki: Pki) -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0")
    root = Party("root", None, authority())
    leaf = Party("leaf", root, LOCALHOST, unknown)
    code = refusal(pki, version, leaf.credentials(), root.pem)
    assert code is not None


@both
def test_a_signature_with_sha1_shattered(version: str, pki: Pki) -> None:
    """Two documents can have one such sum; authorities were forged with MD5 (CVE-2004-2761)."""
    signer = signers()[0]
    assert signer.kind == "RSA"
    algorithm = sequence(oid("1.2.840.113549.1.1.5"), b"\x05\0")
    constraints = extension("2.5.29.19", sequence(der.encode(der.BOOLEAN, b"\xff")), critical=True)

    def issue(name: str, *extensions: bytes) -> bytes:
        draft = encode(
            *extensions,
            subject=simpleName(name),
            issuer=simpleName("root"),
            notAfter=text("20491231235959Z", der.GENERALIZED_TIME),
            key=signer.info,
            algorithm=algorithm,
        )
        body = next(der.children(der.only(draft))).encoding
        signed = signer.key.sign(body, padding.PKCS1v15(), hashes.SHA1())
        return sequence(body, algorithm, der.encode(der.BIT_STRING, b"\0" + signed))

    root = toPEM(issue("root", constraints))
    leaf = toPEM(issue("leaf", altName(ia5(0x82, "localhost"))))
    key = toPEM(signer.private, "PRIVATE KEY")
    assert refusal(pki, version, Credentials(leaf, key), root) is not None


@both
@pytest.mark.parametrize("value", [None, 0, "", True, 1])
def test_only_false_itself_lets_anybody_in_cve_2021_22939(
    value: Any, version: str, pki: Pki
) -> None:
    """Whoever passes on what was not given, None, has not switched anything off."""
    stranger = Party("localhost", None, LOCALHOST)
    root = Party("root", None, authority())
    code = refusal(pki, version, stranger.credentials(), root.pem, rejectUnauthorized=value)
    assert code == "DEPTH_ZERO_SELF_SIGNED_CERT"


@both
def test_a_session_of_a_handshake_that_was_refused_cve_2020_8172(version: str, pki: Pki) -> None:
    """In Node a session came before the verdict, and resuming it spared the question."""
    server = {"key": pki.server.key, "cert": pki.server.cert, "maxVersion": version}
    server["ticketKeys"] = b"k" * 48
    sessions: list[bytes] = []
    taken: list[bytes | None] = []

    def check(host: str, certificate: Any) -> Exception:
        taken.append(first.client.getSession())
        return NodeError("not this one", "NOT_THIS_ONE")

    client: dict[str, Any] = {"servername": "evil.test"}
    first = memoryPair(pki, server, {**client, "checkServerIdentity": check}, pump=False)
    first.client.on("session", sessions.append)
    told = Told(first.client)
    first.pump()
    assert told.codes == ["NOT_THIS_ONE"]
    assert not sessions
    # What no listener has got may still have been asked for.
    assert taken[0] is not None
    again = memoryPair(pki, server, {**client, "session": taken[0]}, pump=False)
    second = Told(again.client)
    again.pump()
    assert second.codes == ["ERR_TLS_CERT_ALTNAME_INVALID"]
    assert not again.client.authorized
