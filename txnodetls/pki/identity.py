"""
Is this certificate good for the host that was asked for?

This is the one check between "the certificate is valid" and "it is theirs",
and it works on names that the other side chose.  What went wrong here in the
past, in Node and elsewhere, and is closed:

 - URI names were taken for host names (CVE-2021-44531): only C{DNS:} counts
   for a name and only C{IP Address:} for an address.
 - The text of the names was taken apart at commas, and a name with C{, DNS:}
   in it became two (CVE-2021-44532): quoted parts are read as JSON strings,
   and a text whose quotes do not close is an error, never a match.
 - The text of a subject was taken apart at line ends (CVE-2021-44533): the
   subject comes as a dictionary, whose makers never had it as text.
 - An address that neither side could read compared equal to itself.  What is
   no address equals nothing.
 - A dot that is none in ASCII (U+3002) hid a label (CVE-2026-48618): a host is compared in
   its ASCII spelling.
 - A NUL ended a name early (CVE-2009-2408): a NUL is a character that
   fits nowhere.
 - An address found a match among names, or a wildcard: addresses are only
   compared with addresses.

Addresses are compared by service-identity.  Names are compared here: Node
lets a wildcard stand for a part of a label (C{f*.example.com}) and falls back
on the common name, which service-identity does not, and the verdict is to be
Node's.

In three things this is not Node 24.19.  An IPv6 address can match: from 24.17 on, no IPv6 host
ever did (nodejs/node#64144, corrected since).  A host with a character that no host has
(C{/}, C{?}, a line end) fits nothing, where Node leaves off what follows.  And C{x*.example.com}
does not fit C{xn--bcher-kva.example.com}, whose first letter is no x.

Source: https://nodejs.org/api/tls.html#tlscheckserveridentityhostname-cert;
RFC 6125, 6.4; RFC 2818, 3.1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from service_identity.hazmat import IPAddress_ID, IPAddressPattern

from txnodetls.errors import Blame, CertificateError, NodeError, invalidArgType
from txnodetls.pki.hostnames import (
    Address,
    addressText,
    domainToASCII,
    readAddress,
    withoutDot,
)

__all__ = ["checkServerIdentity"]

_DNS = "DNS:"
_IP = "IP Address:"
_JSON_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
#: RFC 6125 allows Unicode in a certificate's names, but not how to compare it; blanks and
#: control characters have no business there.
_UNFIT = re.compile("[^\x21-\x7f]")


def checkServerIdentity(hostname: str, cert: Mapping[str, Any]) -> CertificateError | None:
    """
    Whether a certificate is good for a host.

    @param hostname: the name or address that was asked for; a dot at its end does not count.
    @param cert: the certificate object, as C{getPeerCertificate()} gives it; C{subject} and
        C{subjectaltname} are looked at.

    @return: None if it is, else the error, for the caller to raise or to report.

    @raise NodeTypeError: C{hostname} is not a str, or C{cert} not a mapping:
        C{ERR_INVALID_ARG_TYPE}.
    @raise NodeError: the quotes in C{subjectaltname} do not close:
        C{ERR_TLS_CERT_ALTNAME_FORMAT}.
    """
    if not isinstance(hostname, str):
        raise invalidArgType("hostname", "of type string", hostname)
    if not isinstance(cert, Mapping):
        raise invalidArgType("cert", "of type object", cert)
    shown = withoutDot(hostname)
    reason = _whyNot(shown, withoutDot(domainToASCII(hostname)), cert)
    if reason is None:
        return None
    return CertificateError(reason, shown, cert if isinstance(cert, dict) else dict(cert))


def _whyNot(shown: str, host: str, cert: Mapping[str, Any]) -> str | None:
    """
    None if the certificate is good for C{host}; else why not, with the host as C{shown}.

    An address is one as it was given: C{host} is empty for IPv6.
    """
    altNames = cert.get("subjectaltname")
    dnsNames, addresses = _splitKinds(altNames)
    address = readAddress(shown) or readAddress(host)
    if address is not None:
        if any(each is not None and _sameAddress(address, each) for each in addresses):
            return None
        known = ", ".join("" if each is None else addressText(each) for each in addresses)
        return f"IP: {shown} is not in the cert's list: {known}"
    labels = _labels(host)
    if dnsNames:
        if any(_fits(labels, name) for name in dnsNames):
            return None
        return f"Host: {shown}. is not in the cert's altnames: {altNames}"
    subject = cert.get("subject")
    commonName = subject.get("CN") if isinstance(subject, Mapping) else None
    if commonName is None or commonName == "":
        return "Cert does not contain a DNS name"
    # Only a certificate without any DNS name is asked for its common name.
    several = commonName if isinstance(commonName, (list, tuple)) else [commonName]
    if any(isinstance(name, str) and _fits(labels, name) for name in several):
        return None
    return f"Host: {shown}. is not cert's CN: {','.join(map(str, several))}"


def _splitKinds(altNames: object) -> tuple[list[str], list[Address | None]]:
    """The DNS names and the addresses; None is an address that cannot be read."""
    if not altNames:
        return [], []
    if not isinstance(altNames, str):
        raise invalidArgType("cert.subjectaltname", "of type string", altNames)
    names = _splitQuoted(altNames) if '"' in altNames else altNames.split(", ")
    dnsNames = [name[len(_DNS) :] for name in names if name.startswith(_DNS)]
    addresses = [readAddress(name[len(_IP) :]) for name in names if name.startswith(_IP)]
    return dnsNames, addresses


def _splitQuoted(altNames: str) -> list[str]:
    """The names in a text in which some are quoted; a comma in quotes separates nothing."""
    found: list[str] = []
    current: list[str] = []
    at = 0
    while at < len(altNames):
        comma = altNames.find(",", at)
        quote = altNames.find('"', at, comma if comma >= 0 else len(altNames))
        if quote >= 0:
            string = _JSON_STRING.match(altNames, quote)
            if string is None:
                raise _formatError()
            current += altNames[at:quote], json.loads(string[0])
            at = string.end()
        elif comma >= 0:
            found.append("".join([*current, altNames[at:comma]]))
            current = []
            at = comma + 2  # the comma and the blank behind it
        else:
            current.append(altNames[at:])
            break
    found.append("".join(current))
    return found


def _formatError() -> NodeError:
    return NodeError(
        "Invalid subject alternative name string",
        "ERR_TLS_CERT_ALTNAME_FORMAT",
        name="SyntaxError",
        blame=Blame.PEER,
    )


def _sameAddress(wanted: Address, found: Address) -> bool:
    return bool(IPAddress_ID(wanted).verify(IPAddressPattern(found)))


def _labels(name: str) -> list[str]:
    return withoutDot(name).translate(_LOWER).split(".")


def _fits(host: list[str], pattern: str) -> bool:
    """
    Whether a name of the certificate, which may have a wildcard, fits the labels of a host.

    One wildcard, in the leftmost of three labels or more, for a whole label or a part of
    one.  It is in no internationalized label, and stands for no part of one.
    """
    labels = _labels(pattern)
    if len(labels) != len(host) or "" in labels or _UNFIT.search("".join(labels)):
        return False
    if labels[1:] != host[1:]:
        return False
    wild, own = labels[0], host[0]
    if "*" not in wild or "xn--" in wild:
        return wild == own
    if wild.count("*") > 1 or len(labels) <= 2:
        return False
    if wild != "*" and own.startswith("xn--"):
        return False  # Of a label in punycode, a part stands for nothing (CVE-2023-28321 of curl).
    prefix, suffix = wild.split("*")
    return len(prefix) + len(suffix) <= len(own) and own.startswith(prefix) and own.endswith(suffix)
