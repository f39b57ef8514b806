"""
Staples from the authority itself.

The responder is named in the certificate.  It is asked when a staple is needed for the first
time, and then again well before what it said lapses.  What all of this costs a handshake is
bounded:

- the first ones wait for the first answer, all of them for the same, and no longer than
  C{patience}; then they go without;
- later ones get what is there, at once.  While a responder is down that is its last answer, as
  long as that is true; it is asked again in growing distances, at random ones, so that the
  servers of a farm do not all come at the same time.

What is sent is what has passed L{txnodetls.ocsp.checking}, nothing else.  When the authority says
that the certificate is revoked there is no staple any more, though the last one would still hold.

Sources: RFC 6960, RFC 5019, RFC 8954, RFC 9654.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from zope.interface import implementer

from txnodetls.interfaces import IOCSPResponder
from txnodetls.ocsp.checking import RevokedCertificate, Staple, UnusableStaple, checkStaple

__all__ = ["FetchingOCSPResponder"]

# How many responders of one certificate are asked, one after the other.
MAX_RESPONDERS: Final = 3
# For how many certificates staples are kept.
MAX_CERTIFICATES: Final = 1000
# Seconds: the shortest and the longest time until an answer is renewed,
SOONEST: Final = 30.0
LATEST: Final = 43200.0
# until a responder that has failed is asked again, which doubles each time,
FIRST_RETRY: Final = 10.0
LAST_RETRY: Final = 3600.0
# and until a certificate that nobody has asked for is forgotten.
FORGOTTEN: Final = 7 * 86400.0
# For how long an answer holds that does not say so itself.
UNDATED: Final = 86400.0

_NONCE_SIZE: Final = 32


class _Entry:
    """
    What is known of a certificate.

    @ivar asked: when somebody asked last, on the reactor's clock.
    @ivar failures: how many questions have failed since the last that did not.
    @ivar fetching: a question that is under way.
    @ivar timer: when it is asked next.
    @ivar waiting: who waits for the question that is under way.
    @ivar said: what the log says of the failures.
    """

    __slots__ = (
        "asked",
        "certificate",
        "failures",
        "fetching",
        "issuer",
        "said",
        "staple",
        "timer",
        "urls",
        "waiting",
    )

    def __init__(self, certificate: bytes, issuer: bytes) -> None:
        self.certificate = certificate
        self.issuer = issuer
        self.urls = _respondersOf(certificate)
        self.asked = 0.0
        self.failures = 0
        self.fetching: Deferred[None] | None = None
        self.timer: IDelayedCall | None = None
        self.staple: Staple | None = None
        self.waiting: list[Deferred[bytes | None]] = []
        self.said: str | None = None

    def current(self, now: float) -> bytes | None:
        """The staple, if it is true now."""
        staple = self.staple
        if staple is None or not staple.thisUpdate - UNDATED <= now < _endOf(staple):
            return None
        return staple.der

    def stopTimer(self) -> None:
        timer, self.timer = self.timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def answer(self, staple: bytes | None) -> None:
        """Tell all who wait."""
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            if not each.called:
                each.callback(staple)


@implementer(IOCSPResponder)
class FetchingOCSPResponder:
    """
    Staples from the responder that a certificate names; none where it names none.

    A server has it as its C{ocspResponder}; several may share one.

    @param reactor: the reactor; the global one if not given.
    @param timeout: seconds for a question, with all its redirects.
    @param patience: seconds that a handshake waits at most.
    @param refusePrivate: ask only responders with a public address, whatever their names are
        (for those who have their certificates from somebody whom they do not trust).
    @param nonce: ask with a nonce, which a responder that knows them answers with.
    @param now: the time, in seconds since 1970.
    @raise ValueError: a time that is none.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any = None,
        *,
        timeout: float = 10.0,
        patience: float = 1.0,
        refusePrivate: bool = False,
        nonce: bool = True,
        now: Callable[[], float] = time.time,
    ) -> None:
        # Half a second, which only those pay for who ask anybody.
        from txnodetls.ocsp.http import Client

        for name, value in (("timeout", timeout), ("patience", patience)):
            if not value > 0:
                raise ValueError(f"{name} has to be more than 0 seconds")
        if reactor is None:
            from twisted.internet import reactor
        self._reactor = reactor
        self._patience = patience
        self._nonce = nonce
        self._now = now
        self._client = Client(reactor, timeout, refusePrivate)
        self._entries: dict[tuple[bytes, bytes], _Entry] = {}
        self._closed = False

    def respond(
        self, certificate: bytes, issuer: bytes | None
    ) -> Deferred[bytes | None] | bytes | None:
        """
        The staple of a certificate, or None.

        Whoever calls it beforehand, and passes over what it returns, spares the first handshake
        the wait.

        @param certificate: DER.
        @param issuer: DER.  Where it is None there is no staple: nobody could tell who signed it.
        @return: a Deferred, which never fails, if somebody is being asked.
        """
        if issuer is None or self._closed:
            return None
        entry = self._entryOf(certificate, issuer)
        entry.asked = self._reactor.seconds()
        if not entry.urls:
            return None
        staple = entry.current(self._now())
        if staple is not None:
            return staple
        if entry.fetching is None and not entry.failures:
            self._fetch(entry)
        if entry.fetching is None:
            # It has just been answered, or has failed and is given time.
            return entry.current(self._now())
        return self._wait(entry)

    def close(self) -> None:
        """Ask nobody any more; who waits gets None."""
        self._closed = True
        while self._entries:
            self._forget(next(iter(self._entries)))

    def _wait(self, entry: _Entry) -> Deferred[bytes | None]:
        def forget(result: Any) -> Any:
            if waiter in entry.waiting:
                entry.waiting.remove(waiter)
            return result

        waiter: Deferred[bytes | None] = Deferred()
        waiter.addTimeout(self._patience, self._reactor, lambda _result, _seconds: None)
        waiter.addBoth(forget)
        entry.waiting.append(waiter)
        return waiter

    # -- what is known

    def _entryOf(self, certificate: bytes, issuer: bytes) -> _Entry:
        key = certificate, issuer
        entry = self._entries.get(key)
        if entry is None:
            if len(self._entries) >= MAX_CERTIFICATES:
                self._forget(min(self._entries, key=lambda other: self._entries[other].asked))
            entry = self._entries[key] = _Entry(certificate, issuer)
        return entry

    def _forget(self, key: tuple[bytes, bytes]) -> None:
        entry = self._entries.pop(key)
        entry.stopTimer()
        if entry.fetching is not None:
            entry.fetching.cancel()
        entry.answer(None)

    # -- asking

    def _fetch(self, entry: _Entry) -> None:
        entry.stopTimer()
        entry.fetching = fetching = Deferred.fromCoroutine(self._askFor(entry))
        if fetching.called:
            entry.fetching = None

    async def _askFor(self, entry: _Entry) -> None:
        staple: Staple | None = None
        failure: BaseException | None = None
        try:
            staple = await self._ask(entry)
        except (CancelledError, UnusableStaple) as error:
            failure = error
        except Exception as error:
            self._log.failure("Asking an OCSP responder failed")
            failure = error
        entry.fetching = None
        if not self._knows(entry):
            return
        if staple is not None:
            self._got(entry, staple)
        else:
            self._failed(entry, failure)
        entry.answer(entry.current(self._now()))

    async def _ask(self, entry: _Entry) -> Staple:
        """
        Ask one responder after the other.

        @raise UnusableStaple: none has an answer that can be used.
        """
        from txnodetls.ocsp.http import Unanswered

        reasons = []
        for url in entry.urls:
            nonce = os.urandom(_NONCE_SIZE) if self._nonce else None
            request = _requestFor(entry.certificate, entry.issuer, nonce)
            try:
                data = await self._client.ask(url, request)
                staple = checkStaple(data, entry.certificate, entry.issuer, self._now(), nonce)
                if _endOf(staple) <= self._now():
                    raise UnusableStaple("it is old, and does not say until when it holds")
            except RevokedCertificate:
                raise
            except (Unanswered, UnusableStaple) as error:
                reasons.append(f"{url}: {error}")
                if not self._knows(entry):
                    break
            else:
                return staple
        raise UnusableStaple("; ".join(reasons))

    def _knows(self, entry: _Entry) -> bool:
        """Whether it was not forgotten meanwhile."""
        return self._entries.get((entry.certificate, entry.issuer)) is entry

    def _got(self, entry: _Entry, staple: Staple) -> None:
        known = entry.staple
        # Behind one name there may be several responders, and one of them behind the times.
        lapsed = entry.current(self._now()) is None
        if known is None or lapsed or staple.thisUpdate >= known.thisUpdate:
            entry.staple = known = staple
        if entry.failures:
            self._log.info("The OCSP responder of {urls} answers again", urls=entry.urls[0])
        entry.failures, entry.said = 0, None
        half = (_endOf(known) - self._now()) / 2
        self._schedule(entry, min(max(half, SOONEST), LATEST))

    def _failed(self, entry: _Entry, failure: BaseException | None) -> None:
        why = str(failure) or type(failure).__name__
        if isinstance(failure, RevokedCertificate):
            entry.staple = None
        entry.failures += 1
        if entry.said != why:
            entry.said = why
            self._log.warn(
                "There is no new OCSP staple for certificate {serial}: {why}",
                serial=_serialOf(entry.certificate),
                why=why,
            )
        delay = FIRST_RETRY * 2 ** min(entry.failures - 1, 20)
        self._schedule(entry, min(delay, LAST_RETRY))

    def _schedule(self, entry: _Entry, delay: float) -> None:
        """Ask again after about this time, in seconds."""
        spread = delay * random.uniform(0.8, 1.0)  # noqa: S311
        entry.timer = self._reactor.callLater(spread, self._due, entry)

    def _due(self, entry: _Entry) -> None:
        entry.timer = None
        if self._reactor.seconds() - entry.asked > FORGOTTEN:
            self._forget((entry.certificate, entry.issuer))
        else:
            self._fetch(entry)


def _endOf(staple: Staple) -> float:
    """When a staple lapses."""
    return staple.thisUpdate + UNDATED if staple.nextUpdate is None else staple.nextUpdate


def _respondersOf(certificate: bytes) -> tuple[str, ...]:
    """The URLs of the responders that a certificate names."""
    try:
        extension = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_class(
            x509.AuthorityInformationAccess
        )
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return ()
    places = [
        access.access_location.value
        for access in extension.value
        if access.access_method == AuthorityInformationAccessOID.OCSP
        and isinstance(access.access_location, x509.UniformResourceIdentifier)
    ]
    return tuple(places[:MAX_RESPONDERS])


def _requestFor(certificate: bytes, issuer: bytes, nonce: bytes | None) -> bytes:
    # SHA-1 only names the issuer here; not all responders know another (RFC 5019).
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        x509.load_der_x509_certificate(certificate),
        x509.load_der_x509_certificate(issuer),
        hashes.SHA1(),  # noqa: S303
    )
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(serialization.Encoding.DER)


def _serialOf(certificate: bytes) -> str:
    return f"{x509.load_der_x509_certificate(certificate).serial_number:X}"
