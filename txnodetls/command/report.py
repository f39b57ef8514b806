"""
Findings as text: a table of what was agreed, the verdict, the chain as a tree.

Everything that the peer chose goes through L{printable}.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Final

from txnodetls.command.findings import Findings, Link, Origin, Session
from txnodetls.command.terminal import Palette, printable

__all__ = ["render"]

_COLUMN: Final = 10

_ORIGINS: Final = {
    Origin.SENT: "",
    Origin.TRUSTED: " (trusted here, not sent)",
    Origin.SESSION: " (not sent: the session has it)",
}

#: What may help, by the code of what is wrong.
_ADVICE: Final = {
    "SELF_SIGNED_CERT_IN_CHAIN": (
        "The authority at the chain's end is not trusted here; --ca FILE trusts it."
    ),
    "DEPTH_ZERO_SELF_SIGNED_CERT": "Nobody vouches for it but itself; --ca FILE trusts it.",
    "UNABLE_TO_GET_ISSUER_CERT": "Its authority is not known here; --ca FILE names one.",
    "UNABLE_TO_GET_ISSUER_CERT_LOCALLY": "Its authority is not known here; --ca FILE names one.",
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE": (
        "Its authority is not known here, and the server sends no other certificate: one in "
        "between may be missing there, or --ca FILE here."
    ),
    "CERT_HAS_EXPIRED": "One in the chain is too old, or the clock here is wrong.",
    "CERT_NOT_YET_VALID": "One in the chain is not valid yet, or the clock here is wrong.",
    "ERR_TLS_CERT_ALTNAME_INVALID": (
        "The certificate is for somebody else; --servername NAME asks for another name."
    ),
}


def render(
    findings: Findings, palette: Palette, now: datetime.datetime, *, pem: bool = False
) -> str:
    """
    The report.

    @param now: the time by which certificates are called too old.
    @param pem: with the certificates themselves, in PEM, at its end.
    """
    lines = [
        *_agreed(findings, palette),
        "",
        palette.strong("certificates"),
        *_tree(findings.chain, palette, now),
    ]
    if not findings.chain:
        lines.append("  none: the server has shown no certificate")
    for each in findings.unused:
        lines.append(palette.dim(f"  also sent, to no use: {printable(each)}"))
    lines += ["", *_verdict(findings, palette)]
    if pem:
        lines += [
            "",
            *(link.pem.rstrip("\n") for link in findings.chain if link.origin is Origin.SENT),
        ]
    return "\n".join(lines) + "\n"


def _agreed(findings: Findings, palette: Palette) -> Iterator[str]:
    where = findings.address
    where = f"[{where}]:{findings.port}" if ":" in where else f"{where}:{findings.port}"
    rows = [
        ("connected", where),
        ("asked for", findings.servername or f"{findings.name}, without sending a name"),
        ("protocol", findings.protocol),
        ("cipher", findings.cipher),
        ("group", findings.group),
        ("ALPN", findings.alpn or "none"),
        ("staple", findings.staple or "none"),
        ("session", _session(findings.session)),
    ]
    for label, value in rows:
        yield f"{palette.dim(label.ljust(_COLUMN))} {printable(value)}"


def _session(session: Session) -> str:
    begun = "resumed" if session.reused else "new"
    if not session.tickets:
        return begun if session.reused else f"{begun}, not to be resumed"
    with_ = [f"a ticket of {each} bytes" if each else "a session id" for each in session.tickets]
    return f"{begun}, to be resumed with {' or '.join(with_)}"


def _tree(chain: tuple[Link, ...], palette: Palette, now: datetime.datetime) -> Iterator[str]:
    for depth, link in enumerate(chain):
        indent = "  " * (depth + 1)
        branch = f"{indent[:-2]}  " if depth == 0 else f"{indent[:-2]}└ "
        origin = palette.dim(_ORIGINS[link.origin])
        yield f"{branch}{palette.strong(printable(link.subject))}{origin}"
        last = depth == len(chain) - 1
        bar = "  " if last and link.selfIssued else "│ "
        for label, value in _details(link, palette, now):
            yield f"{indent}{bar}{palette.dim(label.ljust(_COLUMN))} {value}"
        if last and not link.selfIssued:
            unknown = palette.bad("is not known here")
            yield f"{indent}└ {printable(link.issuer)} {unknown}"


def _details(link: Link, palette: Palette, now: datetime.datetime) -> Iterator[tuple[str, str]]:
    if link.names is not None:
        yield "names", printable(link.names)
    yield "valid", _validity(link, palette, now)
    yield "key", link.key
    yield "signature", link.signature + (", by itself" if link.selfIssued else "")
    yield "serial", printable(link.serial)
    yield "SHA-256", link.fingerprint


def _validity(link: Link, palette: Palette, now: datetime.datetime) -> str:
    span = f"{link.shownFrom} to {link.shownTo}"
    if link.validFrom is None or link.validTo is None:
        return f"{span} {palette.bad('(makes no sense)')}"
    if now < link.validFrom:
        return f"{span} {palette.bad('(not yet)')}"
    if now > link.validTo:
        return f"{span} {palette.bad(f'({_days(now - link.validTo)} ago)')}"
    return f"{span} ({_days(link.validTo - now)} left)"


def _days(span: datetime.timedelta) -> str:
    return "1 day" if span.days == 1 else f"{span.days} days"


def _verdict(findings: Findings, palette: Palette) -> Iterator[str]:
    if findings.trusted:
        whom = f" for {findings.name}" if findings.chain else ""
        yield palette.good(f"trusted{whom}")
        return
    reason = printable(findings.reason or "")
    yield palette.bad("not trusted") + f": {reason} ({findings.code})"
    advice = _ADVICE.get(findings.code or "")
    if advice is not None:
        yield advice
