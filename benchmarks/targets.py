"""
What is aimed at, beside what was measured.

Ratios are those of work per CPU second; of memory, and of time to start, less is better.  Where
the aim is to be level with the base, the floor is what the spread of a machine explains.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = [
    "AGAINST_TWISTED",
    "BASE",
    "LOWER_IS_BETTER",
    "PROXY_AHEAD",
    "START_SHARE",
    "TARGETS",
    "Target",
    "verdict",
]

BASE: Final = "node24"
LOWER_IS_BETTER: Final = frozenset({"mem", "mem-echo", "start"})
FLOOR: Final = 0.95


class Target(NamedTuple):
    """The ratio to the base that is aimed at, of each face."""

    node: float
    twisted: float


TARGETS: Final[dict[str, Target]] = {
    "recv-16k": Target(1.0, 1.0),
    "recv-64k": Target(1.5, 1.6),
    "recv-64k-lowat": Target(1.0, 1.05),
    "recv-1m": Target(1.0, 1.0),
    "send-16k": Target(1.3, 1.4),
    "send-64k": Target(1.3, 1.4),
    "hs13": Target(1.0, 1.0),
    "hs13-rsa": Target(1.05, 1.1),
    "hs12": Target(1.0, 1.0),
    "hs13-mtls": Target(1.2, 1.25),
    "resume13": Target(1.05, 1.1),
    "resume12": Target(1.2, 1.3),
    "echo-1": Target(0.95, 1.0),
    "echo-100": Target(0.8, 0.85),
    "mem-echo": Target(0.6, 0.55),
    "c-recv": Target(1.0, 1.0),
    "c-send": Target(1.0, 1.0),
    "c-hs": Target(1.0, 1.0),
}

#: The Twisted face against Twisted's own TLS.
AGAINST_TWISTED: Final[dict[str, float]] = {
    **dict.fromkeys(("recv-16k", "recv-64k", "recv-64k-lowat", "recv-1m"), 1.5),
    **dict.fromkeys(("send-16k", "send-64k"), 1.5),
    **dict.fromkeys(("hs13", "hs13-rsa", "hs12", "hs13-mtls", "resume13", "resume12"), 1.05),
    "echo-100": 2.0,
}

#: Milliseconds over importing the reactor and pyOpenSSL.
START_SHARE: Final = 40.0

#: In which the daemon is to be ahead of stunnel; its memory is to be below HAProxy's.
PROXY_AHEAD: Final = ("recv-64k", "send-64k")


def verdict(ratio: float, target: float, lower: bool = False) -> str:
    """The target, and whether a ratio meets it."""
    if lower:
        return f"≤ {target:g} {'met' if ratio <= target else 'missed'}"
    if ratio >= target:
        return f"≥ {target:g} met"
    if target == 1.0 and ratio >= FLOOR:
        return f"≥ {target:g} floor"
    return f"≥ {target:g} missed"
