"""
Certificates of every kind, and of kinds that nobody would issue, out of a seed.

The same seed gives the same certificates, but for the salt in signatures of
RSA-PSS.  They are properly signed, by keys of every algorithm that cryptography
has, and have in them what a hostile authority could think of: names that look
like structure, strings that are not what they say, huge and negative numbers,
times of any century, extensions that are broken.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.pki.building import extension, name, oid, sequence, text
from tests.pki.signers import SERVING, Signer, signers
from txnodetls.pki import der

__all__ = ["EMAILS", "HOSTS", "IPS", "MEMBERS", "Made", "Maker"]

#: The properties of X509Certificate, but for its key.
MEMBERS = (
    "subject",
    "issuer",
    "subjectAltName",
    "infoAccess",
    "validFrom",
    "validTo",
    "validFromDate",
    "validToDate",
    "fingerprint",
    "fingerprint256",
    "fingerprint512",
    "keyUsage",
    "serialNumber",
    "signatureAlgorithm",
    "signatureAlgorithmOid",
    "ca",
    "raw",
    "issuerCertificate",
)

#: What certificates are checked for; what is in them resembles it.
HOSTS = (
    "a.test",
    "A.Test.",
    "www.a.test",
    "x.www.a.test",
    "foo.a.test",
    "xn--foo-bar.a.test",
    ".a.test",
    "evil.test",
    "b.test",
    "localhost",
    "test",
    "a_b.a.test",
    "bücher.test",
    "127.0.0.1",
    "8.8.8.8",
    "",
)
EMAILS = ("me@a.test", "ME@A.test", "Me@a.test", "@a.test", "me@", "evil@b.test", "mé@a.test", "x")
IPS = ("127.0.0.1", "8.8.8.8", "::1", "::ffff:127.0.0.1", "fe80::1")

_DNS = (
    b"a.test",
    b"A.TEST",
    b"a.test.",
    b"*.a.test",
    b"f*.a.test",
    b"*o.a.test",
    b"f*o.a.test",
    b"x*.a.test",
    b"*.*.test",
    b"*",
    b"*.test",
    b"*.co.test",
    b"xn--*.a.test",
    b"xn--bcher-kva.test",
    "bücher.test".encode(),
    b"b.test",
    b"www.a.test",
    b".a.test",
    b"-x.a.test",
    b"*.-x.test",
    b"a..test",
    b"a b.test",
    b"a_b.a.test",
    b"localhost",
    b"127.0.0.1",
    b"",
)
_HOSTILE = (
    b"a.test, DNS:evil.test",
    b'a.test", DNS:evil.test',
    b'", DNS:evil.test, DNS:"',
    b"a.test\\, DNS:evil.test",
    b"evil.test\0.a.test",
    b"a.test\0.evil.test",
    b"\0evil.test",
    b"evil.test\n",
    b"x\r\nCN=evil.test",
    b"x\nDNS:evil.test",
    b"IP Address:127.0.0.1",
    b"x/CN=evil.test",
    b"x+CN=evil.test",
    b"#0c01",
    b" lead and trail ",
    b"'quoted'",
    b'"quoted"',
    b"\\",
    b"back\\slash",
    b"<angle>;semi",
    b"tab\there",
    b"del\x7f",
    b"\xff\xfe latin",
    "übergröße 日本 😀".encode(),
    b"\xc3\x28 bad utf-8",
    b"\xed\xa0\x80 surrogate",
    b"\xf8\x88\x80\x80\x80 five octets",
    b"\xc0\xaf overlong",
    b"__proto__",
    b"constructor",
    b"toString",
    b"x" * 300,
    b"",
)
_TYPES = (
    "2.5.4.3",
    "2.5.4.3",
    "2.5.4.3",
    "2.5.4.4",
    "2.5.4.5",
    "2.5.4.6",
    "2.5.4.7",
    "2.5.4.8",
    "2.5.4.10",
    "2.5.4.11",
    "2.5.4.12",
    "2.5.4.42",
    "2.5.4.65",
    "2.5.4.97",
    "2.5.4.15",
    "2.5.4.45",
    "1.2.840.113549.1.9.1",
    "1.2.840.113549.1.9.2",
    "0.9.2342.19200300.100.1.1",
    "0.9.2342.19200300.100.1.25",
    "1.3.6.1.4.1.311.60.2.1.3",
    "1.2.3.4.5",
    "2.999.1",
    "1.3.6.1.4.1.99999." + ".".join(["4294967295"] * 8),
)
_UTF8, _NUMERIC, _PRINTABLE, _T61, _IA5 = 0x0C, 0x12, 0x13, 0x14, 0x16
_UNIVERSAL, _BMP = 0x1C, 0x1E
_STRINGS = (_UTF8, _UTF8, _PRINTABLE, _T61, _IA5, _UNIVERSAL, _BMP, _NUMERIC)
_ODD_TAGS = (
    0x01,
    0x02,
    0x03,
    0x04,
    0x05,
    0x06,
    0x0A,
    0x15,
    0x17,
    0x18,
    0x19,
    0x1A,
    0x1B,
    0x30,
    0x31,
    0x80,
)

_SERVER_AUTH, _CLIENT_AUTH = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"
_USAGES = (_SERVER_AUTH, _CLIENT_AUTH, "1.3.6.1.5.5.7.3.9", "2.5.29.37.0", "1.2.3.4.5.6", "2.999.3")
_METHODS = ("1.3.6.1.5.5.7.48.1", "1.3.6.1.5.5.7.48.2", "1.3.6.1.5.5.7.48.3", "1.2.3", "2.999")
_OTHER_NAMES = (
    "1.3.6.1.5.5.7.8.9",
    "1.3.6.1.5.5.7.8.5",
    "1.3.6.1.5.5.7.8.7",
    "1.3.6.1.4.1.311.20.2.3",
    "1.3.6.1.5.5.7.8.8",
    "1.2.3.4",
)


@dataclass(frozen=True)
class Made:
    """
    A certificate.

    @ivar encoded: it in DER.
    @ivar signer: whose key is in it.
    @ivar issuer: the certificate of whoever signed it; None: it is self-signed.
    """

    encoded: bytes
    signer: Signer
    subject: bytes
    serial: bytes
    issuer: Made | None = None

    @property
    def chain(self) -> list[Made]:
        """It, its issuer, and so on."""
        return [self] if self.issuer is None else [self, *self.issuer.chain]


class Maker:
    """
    Makes certificates.

    @param seed: what they are made from.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._random = random.Random(seed)
        self._signers = signers()
        self._authorities = [self._authority(signer) for signer in self._signers]

    def certificate(self) -> Made:
        """The next one."""
        pick = self._random
        signer = pick.choice(self._signers)
        issuer = pick.choice(self._authorities) if pick.random() < 0.7 else None
        extensions = self._extensions(signer, issuer)
        return self._make(
            signer,
            issuer,
            self._name(),
            self._serial(),
            extensions,
            times=(self._time(), self._time()),
            version=pick.choice((2, 2, 2, 2, 2, 2, 2, 1, 0, None)),
        )

    def leaf(self) -> Made:
        """One that a TLS server can show, below two authorities; strange, but not broken."""
        pick = self._random
        signer = pick.choice([each for each in self._signers if each.kind in SERVING])
        root = pick.choice([each for each in self._authorities if each.signer.kind in SERVING])
        middle = self._authority(
            pick.choice([each for each in self._signers if each.kind in SERVING]), root
        )
        return self._make(
            signer,
            middle,
            self._name(),
            bytes((1,)) + pick.randbytes(15),
            [self._altNames(), self._access(), self._usages()],
        )

    # -- the whole

    def _authority(self, signer: Signer, issuer: Made | None = None) -> Made:
        extensions = [
            extension("2.5.29.19", sequence(der.encode(der.BOOLEAN, b"\xff")), critical=True),
            extension("2.5.29.15", der.encode(der.BIT_STRING, b"\x01\x06"), critical=True),
            extension("2.5.29.14", der.encode(der.OCTET_STRING, signer.info[-20:])),
        ]
        label = f"Authority {signer.kind} {self._random.randrange(1000)}"
        subject = name([("2.5.4.10", text("Org", _PRINTABLE))], [("2.5.4.3", text(label))])
        serial = bytes((1,)) + self._random.randbytes(7)
        return self._make(signer, issuer, subject, serial, extensions)

    def _make(
        self,
        signer: Signer,
        issuer: Made | None,
        subject: bytes,
        serial: bytes,
        extensions: Sequence[bytes],
        times: tuple[bytes, bytes] = (
            text("200101000000Z", der.UTC_TIME),
            text("20991231235959Z", der.GENERALIZED_TIME),
        ),
        version: int | None = 2,
    ) -> Made:
        by = signer if issuer is None else issuer.signer
        number = b"" if version is None else der.encode(der.INTEGER, bytes((version,)))
        body = sequence(
            der.encode(0xA0, number) if number else b"",
            der.encode(der.INTEGER, serial),
            by.algorithm,
            subject if issuer is None else issuer.subject,
            sequence(*times),
            subject,
            signer.info,
            der.encode(0xA3, sequence(*extensions)) if extensions else b"",
        )
        signature = der.encode(der.BIT_STRING, b"\0" + by.sign(body))
        encoded = sequence(body, by.algorithm, signature)
        return Made(encoded, signer, subject, serial, issuer)

    # -- names, numbers, times

    def _string(self) -> bytes:
        """An encoded string of some type, mostly what it says."""
        pick = self._random
        if pick.random() < 0.01:
            return der.encode(pick.choice(_ODD_TAGS), pick.choice((b"", b"\0", b"x", b"\x01\x02")))
        octets = pick.choice(_HOSTILE if pick.random() < 0.6 else _DNS)
        tag = pick.choice(_STRINGS)
        if pick.random() < 0.01:
            return der.encode(tag, octets)  # whatever that makes
        read = octets.decode(errors="replace")
        if tag == _UTF8:
            return der.encode(tag, read.encode())
        if tag == _BMP:
            return der.encode(tag, "".join(c for c in read if c < "\ud800").encode("utf-16-be"))
        if tag == _UNIVERSAL:
            return der.encode(tag, read.encode("utf-32-be"))
        return der.encode(tag, octets)

    def _name(self) -> bytes:
        pick = self._random
        groups = pick.choice((0, 1, 1, 2, 3, 3, 5, 12, 40))
        return name(
            *(
                [
                    (pick.choice(_TYPES), self._string())
                    for _ in range(pick.choice((1, 1, 1, 1, 2, 3)))
                ]
                for _ in range(groups)
            )
        )

    def _serial(self) -> bytes:
        pick = self._random
        usual = bytes((pick.randrange(1, 0x80),)) + pick.randbytes(pick.randrange(20))
        odd = (b"\0", b"\x01", b"\x80", b"\xff", b"\xff\x7f", b"\0\xff", b"\x7f" * 64, b"\x80" * 33)
        return usual if pick.random() < 0.5 else pick.choice(odd)

    def _time(self) -> bytes:
        pick = self._random
        rest = "".join(f"{pick.randrange(*span):02}" for span in ((1, 13), (1, 29), (24,), (60,)))
        kind = pick.randrange(12)
        if kind < 5:
            return text(f"{pick.choice((0, 20, 49, 50, 70, 99)):02}{rest}00Z", der.UTC_TIME)
        if kind < 9:
            year = pick.choice((1, 1000, 1900, 1949, 1950, 1970, 2000, 2049, 2050, 2100, 9999))
            return text(f"{year:04}{rest}59Z", der.GENERALIZED_TIME)
        odd = (
            ("991231235959+0100", der.UTC_TIME),
            ("9912312359Z", der.UTC_TIME),
            ("000229000000Z", der.UTC_TIME),
            ("010229000000Z", der.UTC_TIME),
            ("20240229120000Z", der.GENERALIZED_TIME),
            ("20230229120000Z", der.GENERALIZED_TIME),
            ("20200101000000.123Z", der.GENERALIZED_TIME),
            ("20200101000000.Z", der.GENERALIZED_TIME),
            ("20200101000060Z", der.GENERALIZED_TIME),
            ("20201301000000Z", der.GENERALIZED_TIME),
            ("20200101000000", der.GENERALIZED_TIME),
            ("20200101000000-1200", der.GENERALIZED_TIME),
            ("00000101000000Z", der.GENERALIZED_TIME),
            ("99991231235959Z", der.GENERALIZED_TIME),
            ("", der.UTC_TIME),
            ("x", der.GENERALIZED_TIME),
        )
        return text(*pick.choice(odd))

    # -- extensions

    def _extensions(self, signer: Signer, issuer: Made | None) -> list[bytes]:
        pick = self._random
        makers: list[tuple[float, Callable[[], bytes]]] = [
            (0.8, self._altNames),
            (0.3, self._constraints),
            (0.4, self._usage),
            (0.4, self._usages),
            (0.4, self._access),
            (0.3, lambda: self._subjectKey(signer)),
            (0.3, lambda: self._authorityKey(signer, issuer)),
            (0.15, self._policies),
            (0.15, self._nameConstraints),
            (0.1, self._points),
            (0.05, self._proxy),
            (0.05, self._netscape),
            (0.1, self._unknown),
        ]
        found = [make() for chance, make in makers if pick.random() < chance]
        if found and pick.random() < 0.05:
            found.append(pick.choice(found))
        pick.shuffle(found)
        return found

    def _extension(self, kind: str, value: bytes) -> bytes:
        """The extension, now and then with a value that is damaged."""
        pick = self._random
        if pick.random() < 0.12:
            value = self._damage(value)
        return extension(kind, value, critical=pick.random() < 0.2)

    def _damage(self, value: bytes) -> bytes:
        pick = self._random
        how = pick.randrange(6)
        if how == 0 or not value:
            return b""
        if how == 1:
            return value[: pick.randrange(len(value))]
        if how == 2:
            return value + pick.randbytes(pick.randrange(1, 4))
        if how == 3:
            return pick.randbytes(pick.randrange(1, 12))
        changed = bytearray(value)
        for _ in range(pick.choice((1, 1, 2))):
            changed[pick.randrange(min(len(changed), 8 if how == 4 else 400))] = pick.randrange(256)
        return bytes(changed)

    def _altNames(self) -> bytes:
        pick = self._random
        names = [self._generalName() for _ in range(pick.choice((0, 1, 1, 2, 3, 5)))]
        return self._extension("2.5.29.17", sequence(*names))

    def _generalName(self) -> bytes:
        pick = self._random
        octets = pick.choice(_HOSTILE if pick.random() < 0.4 else _DNS)
        kind = pick.randrange(14)
        if kind < 5:
            return der.encode(0x82, octets)
        if kind < 7:
            mail = (
                b"me@a.test",
                b"me@A.TEST",
                b"@a.test",
                b"me@a.test\0@b.test",
                "mé@a.test".encode(),
            )
            return der.encode(0x81, pick.choice((octets, *mail)))
        if kind == 7:
            return der.encode(0x86, pick.choice((b"http://a.test/", b"spiffe://x/a,b", octets)))
        if kind == 8:
            address = (
                b"\x7f\0\0\1",
                b"\x08" * 4,
                bytes(15) + b"\1",
                b"\xfe\x80" + bytes(13) + b"\1",
            )
            mapped = bytes(10) + b"\xff\xff\x7f\0\0\1"
            return der.encode(0x87, pick.choice((*address, mapped, b"", b"x", bytes(8), bytes(32))))
        if kind == 9:
            return der.encode(0xA4, self._name())
        if kind == 10:
            return der.encode(0x88, oid(pick.choice((*_USAGES, *_TYPES)))[2:])
        if kind in (11, 12):
            value = pick.choice((self._string(), text("me@a.test"), text("_x.a.test", _IA5)))
            return der.encode(0xA0, oid(pick.choice(_OTHER_NAMES)) + der.encode(0xA0, value))
        return der.encode(
            pick.choice((0xA3, 0xA5, 0x85, 0x83)),
            pick.choice((b"", der.encode(0xA1, text("x")), sequence(text("x")))),
        )

    def _access(self) -> bytes:
        pick = self._random
        entries = [
            sequence(oid(pick.choice(_METHODS)), self._location())
            for _ in range(pick.choice((0, 1, 2, 2, 3)))
        ]
        return self._extension("1.3.6.1.5.5.7.1.1", sequence(*entries))

    def _location(self) -> bytes:
        pick = self._random
        usual = (
            b"http://o/",
            b"http://p/,q",
            b'http://r/"s',
            b"http://t/\nOCSP - URI:u",
            b"ldap:///x",
        )
        return self._generalName() if pick.random() < 0.3 else der.encode(0x86, pick.choice(usual))

    def _constraints(self) -> bytes:
        pick = self._random
        flag = pick.choice((b"", der.encode(der.BOOLEAN, b"\xff"), der.encode(der.BOOLEAN, b"\0")))
        length = pick.choice((b"", b"", der.encode(der.INTEGER, b"\0"), der.encode(2, b"\xff")))
        return self._extension("2.5.29.19", sequence(flag, length))

    def _usage(self) -> bytes:
        bits = self._random.choice(
            (b"\x01\x06", b"\x05\xa0", b"\x07\x80", b"\0\0", b"\0", b"\x07\0\x80")
        )
        return self._extension("2.5.29.15", der.encode(der.BIT_STRING, bits))

    def _usages(self) -> bytes:
        pick = self._random
        purposes = [oid(pick.choice(_USAGES)) for _ in range(pick.choice((0, 1, 1, 2, 6)))]
        return self._extension("2.5.29.37", sequence(*purposes))

    def _subjectKey(self, signer: Signer) -> bytes:
        octets = self._random.choice((signer.info[-20:], b"", b"x" * 20))
        return self._extension("2.5.29.14", der.encode(der.OCTET_STRING, octets))

    def _authorityKey(self, signer: Signer, issuer: Made | None) -> bytes:
        pick = self._random
        info = signer.info if issuer is None else issuer.signer.info
        parts = b""
        if pick.random() < 0.7:
            parts += der.encode(0x80, pick.choice((info[-20:], info[-20:], b"other")))
        if pick.random() < 0.3:
            above = self._name() if issuer is None or pick.random() < 0.3 else issuer.subject
            serial = b"\x05" if issuer is None or pick.random() < 0.3 else issuer.serial
            parts += der.encode(0xA1, der.encode(0xA4, above)) + der.encode(0x82, serial)
        return self._extension("2.5.29.35", sequence(parts))

    def _policies(self) -> bytes:
        qualifier = sequence(oid("1.3.6.1.5.5.7.2.1"), text("http://cps/", _IA5))
        return self._extension(
            "2.5.29.32", sequence(sequence(oid("2.23.140.1.2.1"), sequence(qualifier)))
        )

    def _nameConstraints(self) -> bytes:
        pick = self._random
        tree = sequence(self._generalName())
        return self._extension("2.5.29.30", sequence(der.encode(pick.choice((0xA0, 0xA1)), tree)))

    def _points(self) -> bytes:
        full = der.encode(0xA0, der.encode(0xA0, self._generalName()))
        return self._extension("2.5.29.31", sequence(sequence(full)))

    def _proxy(self) -> bytes:
        policy = sequence(oid("1.3.6.1.5.5.7.21.1"))
        return self._extension("1.3.6.1.5.5.7.1.14", sequence(policy))

    def _netscape(self) -> bytes:
        kind = self._random.choice((b"\x06\x40", b"\0\x07", b"\x07\x80"))
        return self._extension("2.16.840.1.113730.1.1", der.encode(der.BIT_STRING, kind))

    def _unknown(self) -> bytes:
        return self._extension("1.2.3.4.5.6.7", self._random.randbytes(self._random.randrange(40)))
