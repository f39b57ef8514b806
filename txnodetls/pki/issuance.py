"""
Whether one certificate says that it was issued by another.

This is what OpenSSL builds chains by, and it is about what the certificates
say of each other; no signature is looked at.

Source: RFC 5280, 4.2.1.1 to 4.2.1.3 and 7.1; OpenSSL, C{X509_check_issued(3)}.
"""

from __future__ import annotations

from txnodetls.errors import NodeError
from txnodetls.pki.fields import DIGITAL_SIGNATURE, KEY_CERT_SIGN, Fields
from txnodetls.pki.names import canonicalName
from txnodetls.pki.objects import SIGNATURES
from txnodetls.pki.publickeys import algorithmParts, isDecodable, keyKind

__all__ = ["isIssuedBy"]


def isIssuedBy(subject: Fields, issuer: Fields) -> bool:
    """
    Whether C{subject} names C{issuer} as its issuer, and C{issuer} may issue.

    Names, key identifiers, the kind of key and "key usage" must fit.
    """
    try:
        return (
            subject.canonicalIssuer == issuer.canonicalSubject
            and subject.isSound
            and issuer.isSound
            and _fitsAuthorityKey(subject, issuer)
            and _fitsAlgorithm(subject, issuer)
            and _maySign(subject, issuer)
        )
    except NodeError:
        return False  # What cannot be read does not say so.


def _fitsAuthorityKey(subject: Fields, issuer: Fields) -> bool:
    wanted = subject.authorityKey
    if wanted.identifier is not None and issuer.subjectKey not in (None, wanted.identifier):
        return False
    if wanted.serial is not None and wanted.serial != issuer.serial:
        return False
    return wanted.issuer is None or canonicalName(wanted.issuer) == issuer.canonicalIssuer


def _fitsAlgorithm(subject: Fields, issuer: Fields) -> bool:
    signature = SIGNATURES.get(algorithmParts(subject.innerAlgorithm)[0])
    if signature is None:
        return False
    kind = keyKind(issuer.key)
    if kind != signature.key and not (kind == "RSA" and signature.key == "RSA-PSS"):
        return False
    return isDecodable(issuer.key)


def _maySign(subject: Fields, issuer: Fields) -> bool:
    needed = DIGITAL_SIGNATURE if subject.isProxy else KEY_CERT_SIGN
    return issuer.usage is None or bool(issuer.usage & needed)
