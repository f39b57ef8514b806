"""
Host names and addresses in the one spelling in which they can be compared.

What a program asks for may be spelled in many ways: C{BÜCHER.example},
C{bücher.example}, C{xn--bcher-kva.example.}, C{0:0::1}.  What cannot be
brought into one spelling compares equal to nothing.

Source: https://url.spec.whatwg.org/#host-parsing; UTS #46 (non-transitional), RFC 5891,
RFC 5952; Node's C{net.isIP}.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata

import idna

__all__ = ["Address", "addressText", "domainToASCII", "readAddress", "withoutDot"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_ZONE = re.compile(r"[0-9A-Za-z.:-]+", re.ASCII)
_JOINERS = "\u200c\u200d"
_PUNYCODE = "xn--"
_LONGEST = 1000  # Four times the longest name; punycode is not linear.
_FORBIDDEN = re.compile(r"[\x00-\x20#%/:<>?@\[\\\]^|\x7f]")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+", re.ASCII)


def withoutDot(host: str) -> str:
    """A name without the dot at its end that makes it absolute."""
    return host[:-1] if host.endswith(".") else host


def domainToASCII(host: str) -> str:
    """
    A host name in lower case with internationalized labels as C{xn--...}.

    A name that ends in a number is an IPv4 address (C{127.1}, C{0x7f000001}), and given in
    its usual spelling.

    @return: C{""} for what cannot be a host's name.  Node's function of this name also lets
        a C{/}, a C{?}, a line end and more pass, and leaves off what follows or stands there;
        here nothing is ever left off.
    """
    name = host.lower() if host.isascii() else host
    if not name.isascii() or _PUNYCODE in name:
        if len(name) > _LONGEST:
            return ""
        try:
            mapped = unicodedata.normalize("NFC", idna.uts46_remap(name, False, False))
            name = ".".join(_labelToASCII(label) for label in mapped.split("."))
        except (idna.IDNAError, UnicodeError):
            return ""
    if _FORBIDDEN.search(name):
        return ""
    labels = withoutDot(name).split(".")
    return _numbersToASCII(labels) if _NUMBER.fullmatch(labels[-1]) else name


def readAddress(text: str) -> Address | None:
    """An IP address, or None.  An IPv6 zone (C{%eth0}) is allowed and left off."""
    text, percent, zone = text.partition("%")
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if percent and (found.version == 4 or not _ZONE.fullmatch(zone)):
        return None
    return found


def addressText(address: Address) -> str:
    """The one spelling of an address; an IPv4 address inside of IPv6 stays readable."""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    number = int(address)
    tail = ipaddress.IPv4Address(number & 0xFFFFFFFF)
    if address.ipv4_mapped is not None:
        return f"::ffff:{tail}"
    if number >> 32 == 0 and number >> 16:
        return f"::{tail}"
    return address.compressed


def _numbersToASCII(labels: list[str]) -> str:
    """One to four numbers, of which the last fills what is left; octal after a zero."""
    if len(labels) > 4 or not all(map(_NUMBER.fullmatch, labels)):
        return ""
    try:
        numbers = [_readNumber(label) for label in labels]
    except ValueError:
        return ""
    *firsts, last = numbers
    if any(each > 255 for each in firsts) or last >= 256 ** (4 - len(firsts)):
        return ""
    for position, each in enumerate(firsts):
        last += each << 8 * (3 - position)
    return str(ipaddress.IPv4Address(last))


def _readNumber(label: str) -> int:
    """@raise ValueError: a digit that is not octal, or more digits than make sense."""
    if label.startswith("0x"):
        return int(label[2:] or "0", 16)
    return int(label, 8 if label.startswith("0") else 10)


def _labelToASCII(label: str) -> str:
    if label.startswith(_PUNYCODE):
        plain = label[len(_PUNYCODE) :].encode("ascii").decode("punycode")
        # It must stand for something, and be the only spelling of it.
        if plain.isascii() or idna.uts46_remap(plain, False, False) != plain:
            raise idna.IDNAError("not the normal form")
        _checkLabel(plain)
        if plain.encode("punycode").decode("ascii") != label[len(_PUNYCODE) :]:
            raise idna.IDNAError("not the normal form")
        return label
    if label.isascii():
        return label
    _checkLabel(label)
    return _PUNYCODE + label.encode("punycode").decode("ascii")


def _checkLabel(label: str) -> None:
    idna.check_initial_combiner(label)
    idna.check_nfc(label)
    for position, character in enumerate(label):
        if character in _JOINERS and not idna.valid_contextj(label, position):
            raise idna.IDNAError("joiner out of place")
