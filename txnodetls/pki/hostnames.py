"""
Host names and addresses in the one spelling in which they can be compared.

What a program asks for may be spelled in many ways: C{BÜCHER.example},
C{bücher.example}, C{xn--bcher-kva.example.}, C{0:0::1}.  What cannot be
brought into one spelling compares equal to nothing.

Source: UTS #46 (non-transitional), RFC 5891, RFC 5952; Node's C{net.isIP}.
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


def withoutDot(host: str) -> str:
    """A name without the dot at its end that makes it absolute."""
    return host[:-1] if host.endswith(".") else host


def domainToASCII(host: str) -> str:
    """
    A host name in lower case with internationalized labels as C{xn--...}.

    @return: C{""} for what cannot be one; what is ASCII is let through as it is.
    """
    if host.isascii() and _PUNYCODE not in host.lower():
        return host.lower()
    if len(host) > _LONGEST:
        return ""
    try:
        mapped = unicodedata.normalize("NFC", idna.uts46_remap(host, False, False))
        return ".".join(_labelToASCII(label) for label in mapped.split("."))
    except (idna.IDNAError, UnicodeError):
        return ""


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
