"""
Responders: where a server gets its OCSP staples from.

A staple is the certificate authority's signed word, good for some days, that a
certificate is not revoked; the server shows it with the certificate.  Whoever
shows a wrong one does harm: a client that looks takes an outdated, a foreign
or a badly signed staple for an attack, where it takes none for nothing.  So a
staple is looked at before it is sent, and one that would not do is not sent.

What is looked at (L{checkStaple}):

- that it is an answer, and about this certificate of this issuer;
- that the certificate is good; that it is revoked is for the client to find
  out from others, and for the operator to read in the log;
- that it is of now: not from the future, and not lapsed;
- that it is signed by the issuer, or by one whom the issuer has named for this
  (the extended key usage C{OCSPSigning}), whose certificate comes with it.

Sources: RFC 6960, RFC 6961, RFC 5019.
"""

from __future__ import annotations

import datetime
import os
import stat
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from twisted.logger import Logger
from zope.interface import implementer

from txnodetls.interfaces import IOCSPResponder

__all__ = ["FileOCSPResponder", "Staple", "UnusableStaple", "checkStaple"]

# What a response may weigh; those of public authorities have some 500 bytes to 2 KiB.
MAX_SIZE: Final = 65536
# How far clocks may be apart.
SKEW: Final = datetime.timedelta(minutes=5)
# How often a file is looked at, in seconds.
LOOK_EVERY: Final = 1.0
# How often the responses are, in seconds, even if no file has changed.
CHECK_EVERY: Final = 60.0
# For how many certificates the answers are remembered.
_REMEMBERED: Final = 1000

_HASHES: Final[tuple[type[hashes.HashAlgorithm], ...]] = (
    hashes.SHA1,
    hashes.SHA224,
    hashes.SHA256,
    hashes.SHA384,
    hashes.SHA512,
)


class UnusableStaple(Exception):
    """A response that is not to be sent; the text says why."""


class ForeignStaple(UnusableStaple):
    """A response about another certificate."""


@attrs.frozen
class Staple:
    """
    A response that was checked.

    @ivar der: the response.
    @ivar thisUpdate: since when it is true, in seconds since 1970.
    @ivar nextUpdate: when it lapses, or None if it does not say.
    """

    der: bytes
    thisUpdate: float
    nextUpdate: float | None

    def checkTime(self, now: float) -> None:
        """
        Is it of now?

        @raise UnusableStaple: it is not.
        """
        if self.thisUpdate > now + SKEW.total_seconds():
            raise UnusableStaple("it is from the future")
        if self.nextUpdate is not None and self.nextUpdate <= now:
            raise UnusableStaple("it has lapsed")


def checkStaple(data: bytes, certificate: bytes, issuer: bytes | None, now: float) -> Staple:
    """
    Look at a response.

    @param data: DER of the response.
    @param certificate: DER of the certificate that it is to be about.
    @param issuer: DER of the certificate's issuer.  Where that is not known, neither is whether
        the signature is good.
    @param now: seconds since 1970.
    @raise UnusableStaple: it is not to be sent.
    """
    try:
        return _check(data, certificate, issuer, now)
    except UnsupportedAlgorithm as error:
        raise UnusableStaple(f"it uses an algorithm that is not known here: {error}") from error
    except ValueError as error:
        raise UnusableStaple(f"it cannot be read: {error}") from error


def _check(data: bytes, certificate: bytes, issuer: bytes | None, now: float) -> Staple:
    response = ocsp.load_der_ocsp_response(data)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise UnusableStaple(f"the responder gave no answer: {response.response_status.name}")
    subject = x509.load_der_x509_certificate(certificate)
    authority = None if issuer is None else x509.load_der_x509_certificate(issuer)
    single = _about(response, subject, authority)
    if single.certificate_status is not ocsp.OCSPCertStatus.GOOD:
        raise UnusableStaple(f"the certificate is {single.certificate_status.name.lower()}")
    until = single.next_update_utc
    staple = Staple(
        data, single.this_update_utc.timestamp(), None if until is None else until.timestamp()
    )
    staple.checkTime(now)
    if authority is not None:
        _checkSignature(response, authority, now)
    return staple


def _about(
    response: ocsp.OCSPResponse, subject: x509.Certificate, authority: x509.Certificate | None
) -> ocsp.OCSPSingleResponse:
    """What the response says of this certificate."""
    for single in response.responses:
        if single.serial_number != subject.serial_number:
            continue
        if authority is None or _isOf(single, subject, authority):
            return single
    raise ForeignStaple("it is about another certificate")


def _isOf(
    single: ocsp.OCSPSingleResponse, subject: x509.Certificate, authority: x509.Certificate
) -> bool:
    algorithm = single.hash_algorithm
    if not isinstance(algorithm, _HASHES):
        return False
    builder = ocsp.OCSPRequestBuilder().add_certificate(subject, authority, algorithm)
    wanted = builder.build()
    return (
        single.issuer_name_hash == wanted.issuer_name_hash
        and single.issuer_key_hash == wanted.issuer_key_hash
    )


def _checkSignature(response: ocsp.OCSPResponse, authority: x509.Certificate, now: float) -> None:
    """
    Is the response signed by the issuer, or by one whom the issuer has named?

    @raise UnusableStaple: it is not.
    """
    signers = [authority]
    signers += [c for c in response.certificates if _mayAnswerFor(c, authority, now)]
    for signer in signers:
        try:
            _verify(response, signer)
        except InvalidSignature:
            continue
        return
    raise UnusableStaple("it is not signed by the certificate's issuer, nor on its behalf")


def _mayAnswerFor(candidate: x509.Certificate, authority: x509.Certificate, now: float) -> bool:
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    if not candidate.not_valid_before_utc - SKEW <= moment <= candidate.not_valid_after_utc:
        return False
    try:
        usages = candidate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        candidate.verify_directly_issued_by(authority)
    except (x509.ExtensionNotFound, InvalidSignature, ValueError, TypeError):
        return False
    return ExtendedKeyUsageOID.OCSP_SIGNING in usages


def _verify(response: ocsp.OCSPResponse, signer: x509.Certificate) -> None:
    """
    @raise InvalidSignature: the signature is not this key's.
    """
    key = signer.public_key()
    signature, signed = response.signature, response.tbs_response_bytes
    if isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
        key.verify(signature, signed)
        return
    algorithm = response.signature_hash_algorithm
    if algorithm is None:
        raise InvalidSignature("a key of another kind")
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, signed, padding.PKCS1v15(), algorithm)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, signed, ec.ECDSA(algorithm))
    else:
        raise InvalidSignature("a key of another kind")


class _File:
    """A file that may be replaced at any time."""

    __slots__ = ("_identity", "_looked", "data", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data: bytes | None = None
        self._identity: tuple[int, ...] | None = ()
        self._looked: float | None = None

    def look(self, now: float) -> bool:
        """
        Read it if it has changed; whether it has.

        @raise OSError: it has changed, and cannot be read; C{data} is None then.
        @raise UnusableStaple: it has changed, and is no plain file or too large.
        """
        if self._looked is not None and 0 <= now - self._looked < LOOK_EVERY:
            return False
        self._looked = now
        found = self._stat()
        if found == self._identity:
            return False
        self._identity, self.data = found, None
        if found is None:
            raise FileNotFoundError(f"there is no {self.path}")
        with open(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise UnusableStaple("it is no plain file")
            data = opened.read(MAX_SIZE + 1)
        if len(data) > MAX_SIZE:
            raise UnusableStaple(f"it is larger than {MAX_SIZE} bytes")
        self.data = data
        return True

    def _stat(self) -> tuple[int, ...] | None:
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return None
        # The time of change moves with the permissions, too.
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@implementer(IOCSPResponder)
class FileOCSPResponder:
    """
    Staples out of files, which somebody else keeps up to date.

    Each file has one response, DER, as C{openssl ocsp -respout} writes it; which file serves
    which certificate is found out from the responses.  A file that changes is read again, within
    a second; whoever replaces one should do so by renaming.  What cannot be used is not used: it
    is logged, once for each time that the file changes, and there is no staple.

    @param paths: one path, or several.
    @param now: the time, in seconds since 1970.
    @raise TypeError: a path is none.
    """

    _log = Logger()

    def __init__(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        self._files = [_File(Path(path)) for path in given]
        self._now = now
        # The staple of a certificate and its issuer, and until when that is known.
        self._known: dict[tuple[bytes, bytes | None], tuple[Staple | None, float]] = {}
        # What was said of a file since it changed last.
        self._said: set[tuple[Path, str]] = set()

    def respond(self, certificate: bytes, issuer: bytes | None) -> bytes | None:
        """
        The staple of a certificate, or None if there is none that can be used now.

        @param certificate: DER.
        @param issuer: DER, or None where it is not known; then the signature is not looked at.
        """
        now = self._now()
        for file in self._files:
            self._look(file, now)
        key = certificate, issuer
        staple, until = self._known.get(key, (None, now))
        # Whatever is true of it now may be true only for some time.
        if not until - CHECK_EVERY <= now < until:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            staple = self._find(certificate, issuer, now)
            until = now + CHECK_EVERY
            if staple is not None and staple.nextUpdate is not None:
                until = min(until, staple.nextUpdate)
            self._known[key] = staple, until
        return None if staple is None else staple.der

    def _look(self, file: _File, now: float) -> None:
        try:
            if not file.look(now):
                return
            failure = None
        except (OSError, UnusableStaple) as error:
            failure = str(error)
        self._known.clear()
        self._said = {said for said in self._said if said[0] != file.path}
        if failure is not None:
            self._say(file, failure)

    def _find(self, certificate: bytes, issuer: bytes | None, now: float) -> Staple | None:
        """The staple that lapses last."""
        found = []
        foreign = None
        for file in self._files:
            if file.data is None:
                continue
            try:
                found.append(checkStaple(file.data, certificate, issuer, now))
            except ForeignStaple as error:
                foreign = file, str(error)
            except UnusableStaple as error:
                self._say(file, str(error))
        if foreign is not None and len(self._files) == 1:
            # Of several files all but one are about other certificates.
            self._say(*foreign)
        return max(found, key=lambda staple: staple.nextUpdate or staple.thisUpdate, default=None)

    def _say(self, file: _File, what: str) -> None:
        if (file.path, what) not in self._said:
            self._said.add((file.path, what))
            self._log.warn(
                "The OCSP response in {path} is not used: {what}", path=file.path, what=what
            )
