"""
Damaged certificates, keys and lists: whatever comes, there is an answer or an error with a code.

    python -m tests.pki.fuzzing COUNT [SEED]

damages good inputs in COUNT ways and shows each to everything that reads such
things.  What fails is printed with the seed and, in hexadecimal digits, the input.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import random
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from tests.pki.building import certificate, extension
from tests.pki.generating import EMAILS, HOSTS, MEMBERS, Maker
from tests.pki.samples import bundle, parameters, revocations, staple
from tests.pki.signers import signers
from txnodetls.context import createSecureContext
from txnodetls.errors import NodeError
from txnodetls.ocsp import UnusableStaple, checkStaple
from txnodetls.pki import der
from txnodetls.pki.certificates import certificateChainObject, certificateObject
from txnodetls.pki.fields import Fields
from txnodetls.pki.identity import checkServerIdentity
from txnodetls.pki.issuers import findIssuer
from txnodetls.pki.pem import pemBlocks, toPEM
from txnodetls.pki.x509certificate import X509Certificate
from txnodetls.pki.x509text import accessText, altNamesText, readGeneralNames, usageList

__all__ = ["LIMIT", "Fuzzer"]

#: How long one input may take, in seconds.  It takes a thousandth of that.
LIMIT = 10.0
_STEP = 20000

_CALLS = ("toString", "toJSON", "toLegacyObject", "__repr__")
_INTERESTING = (0, 1, 2, 3, 4, 5, 6, 0x0C, 0x10, 0x1F, 0x30, 0x31, 0x7F, 0x80, 0x81, 0x84, 0xFF)


def coded(what: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    """The answer, or None for an error with a code; every other error goes on."""
    try:
        return what(*arguments, **more)
    except NodeError as error:
        if not isinstance(error.code, str):
            raise AssertionError(f"an error without a code: {error!r}") from error
        return None


# -- everything that reads


def readCertificate(data: bytes) -> None:
    """As a peer's, which OpenSSL has let pass or not, and as one that is given."""
    shown = coded(certificateObject, data)
    coded(certificateChainObject, [data, data], lambda each: data)
    coded(findIssuer, data, [data])
    if shown is not None:
        judge(shown)
    found = coded(X509Certificate, data)
    if found is None:
        return
    assert shown is not None, "OpenSSL has accepted what cannot be read here"
    for member in (*MEMBERS, "publicKey"):
        coded(getattr, found, member)
    for call in _CALLS:
        coded(getattr(found, call))
    for host in HOSTS:
        coded(found.checkHost, host, subject="always")
    for email in EMAILS[:2]:
        coded(found.checkEmail, email, subject="always")
    coded(found.checkIP, "127.0.0.1")
    coded(found.checkIssued, found)
    coded(lambda: found.verify(found.publicKey))
    coded(found.checkPrivateKey, signers()[0].key)


def judge(shown: dict[str, Any]) -> None:
    for host in HOSTS:
        coded(checkServerIdentity, host, shown)


def readExtension(kind: str) -> Callable[[bytes], None]:
    """The value of an extension, alone and in a certificate."""

    def read(data: bytes) -> None:
        coded(lambda: altNamesText(readGeneralNames(data)))
        coded(accessText, data)
        coded(usageList, data)
        encoded = certificate(extension(kind, data))
        shown = coded(certificateObject, encoded)
        judge(shown)
        fields = Fields(encoded)
        _ = fields.isSound, fields.isCA
        coded(lambda: X509Certificate(encoded).checkHost("a.test"))

    return read


def readPublicKey(data: bytes) -> None:
    coded(certificateObject, certificate(key=data))
    readCertificate(certificate(key=data))


def readOption(name: str, label: str, **others: Any) -> Callable[[bytes], None]:
    """As an option of a context."""

    def read(data: bytes) -> None:
        value = toPEM(data, label)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            coded(createSecureContext, {name: value, **others})

    return read


def readBundle(data: bytes) -> None:
    """As a PFX, of which Node says what is wrong in OpenSSL's words and without a code."""
    with contextlib.suppress(NodeError):
        createSecureContext(pfx=data)


def readText(data: bytes) -> None:
    """As PEM."""
    coded(lambda: list(pemBlocks(data, frozenset({"CERTIFICATE", "X509 CRL"}))))
    coded(X509Certificate, data)
    coded(X509Certificate, data.decode("latin-1"))


def readElements(data: bytes) -> None:
    """As anything at all."""
    waiting = [data]
    for _ in range(50):
        if not waiting:
            break
        found = coded(der.only, waiting.pop())
        if found is None:
            continue
        for read in (der.content, der.number, der.bits, der.boolean):
            coded(read, found)
        if found.tag & 0x20:
            waiting += [each.encoding for each in coded(der.children, found) or ()]


def readStaple(data: bytes) -> None:
    with contextlib.suppress(UnusableStaple):
        checkStaple(data, certificate(), None, 0.0)


# -- inputs


class Fuzzer:
    """
    Damaged inputs out of a seed.

    @ivar counts: how many inputs each reader has had.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.counts: Counter[str] = Counter()
        self._random = random.Random(seed)
        maker = Maker(seed)
        made = [maker.certificate() for _ in range(150)]
        certificates = [each.encoded for each in made]
        extensions: dict[str, list[bytes]] = {}
        for encoded in certificates:
            found = coded(Fields, encoded)
            for kind, each in (found.extensions if found else {}).items():
                extensions.setdefault(kind, []).append(each.value)
        keys = [each.private for each in signers()]
        plain = {"cert": toPEM(made[0].encoded), "key": toPEM(keys[0], "PRIVATE KEY")}
        # Reader, how often it has its turn, good inputs.
        self._plan: list[tuple[str, int, Callable[[bytes], None], list[bytes]]] = [
            ("certificate", 40, readCertificate, certificates),
            ("public key", 6, readPublicKey, [each.info for each in signers()]),
            ("elements", 8, readElements, certificates),
            ("PEM", 8, readText, [toPEM(each) for each in certificates[:40]]),
            ("option ca", 3, readOption("ca", "CERTIFICATE"), certificates),
            ("option cert", 3, readOption("cert", "CERTIFICATE", key=plain["key"]), certificates),
            ("option key", 4, readOption("key", "PRIVATE KEY"), keys),
            ("option crl", 4, readOption("crl", "X509 CRL"), [revocations()]),
            ("option pfx", 2, readBundle, [bundle()]),
            ("option dhparam", 1, readOption("dhparam", "DH PARAMETERS"), [parameters()]),
            ("staple", 3, readStaple, [staple()]),
        ]
        for kind, values in sorted(extensions.items()):
            often = 12 if kind == "2.5.29.17" else 1
            self._plan.append((f"extension {kind}", often, readExtension(kind), values))
        self._weights = [often for _, often, _, _ in self._plan]

    def run(self, count: int) -> None:
        """
        Show so many inputs.

        @raise AssertionError: one had neither an answer nor an error with a code, or took
            longer than L{LIMIT}.
        """
        for _ in range(count):
            (name, _, read, seeds) = self._random.choices(self._plan, self._weights)[0]
            self.counts[name] += 1
            self.show(name, read, self._damaged(seeds))

    def show(self, name: str, read: Callable[[bytes], None], data: bytes) -> None:
        try:
            with _limited():
                read(data)
        except BaseException as error:
            raise AssertionError(
                f"seed {self.seed}, input {self.counts.total()}, {name}: "
                f"{type(error).__name__}: {error}\n{data.hex()}"
            ) from error

    def _damaged(self, seeds: list[bytes]) -> bytes:
        pick = self._random
        data = bytearray(pick.choice(seeds))
        for _ in range(pick.choice((1, 1, 1, 2, 3, 8))):
            at = pick.randrange(len(data) + 1)
            end = min(len(data), at + pick.choice((1, 1, 2, 4, 16, 64)))
            how = pick.randrange(9)
            if how == 0 and data:
                data[at % len(data)] ^= 1 << pick.randrange(8)
            elif how == 1 and data:
                data[at % len(data)] = pick.choice(_INTERESTING)
            elif how == 2:
                del data[at:end]
            elif how == 3:
                data[at:at] = data[at:end]
            elif how == 4:
                data[at:end] = pick.randbytes(end - at)
            elif how == 5:
                other = pick.choice(seeds)
                begin = pick.randrange(len(other) + 1)
                data[at:end] = other[begin : begin + end - at]
            elif how == 6:
                del data[at:]
            else:
                self._damageElement(data)
        return bytes(data)

    def _damageElement(self, data: bytearray) -> None:
        """An identifier or a length that is not what it was."""
        heads = list(_heads(bytes(data)))
        if not heads:
            return
        at = self._random.choice(heads)
        if self._random.random() < 0.5:
            data[at] = self._random.choice((*_INTERESTING, data[at] ^ 0x20, data[at] ^ 0x80))
        elif at + 1 < len(data):
            data[at + 1] = self._random.choice((*_INTERESTING, data[at + 1] ^ 1))


def _heads(data: bytes) -> Iterator[int]:
    """Where the elements of an encoding begin, octet strings looked into."""
    waiting = [(0, len(data))]
    for _ in range(400):
        if not waiting:
            return
        at, limit = waiting.pop()
        if at >= limit:
            continue
        found = coded(der.element, data, at, limit)
        if found is None:
            continue
        yield at
        waiting.append((found.end, limit))
        if found.tag & 0x20 or found.tag == der.OCTET_STRING:
            waiting.append((found.start, found.stop))


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """At most L{LIMIT} seconds of this process's own time."""

    def late(signum: int, frame: object) -> None:
        raise AssertionError(f"not done within {LIMIT:g} s")

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def main() -> None:
    """Damage as many inputs as the command line says."""
    count = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int.from_bytes(os.urandom(4))
    print(f"seed {seed}, {count} inputs", flush=True)
    begun = time.monotonic()
    fuzzer = Fuzzer(seed)
    for done in range(0, count, _STEP):
        fuzzer.run(min(_STEP, count - done))
        total = fuzzer.counts.total()
        print(f"{total} inputs in {time.monotonic() - begun:.0f} s", flush=True)
    for name, number in fuzzer.counts.most_common():
        print(f"  {number:>8} {name}")


if __name__ == "__main__":
    faulthandler.enable()
    main()
