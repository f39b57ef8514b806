"""
What the supervisor and its workers say to each other: lines of JSON, over pipes of theirs.

    supervisor → worker     {"say": "serve", …a configuration…}   {"say": "tickets", "keys": […]}
                            {"say": "prepare", …the same…}        {"say": "go", "keys": […]}
                            {"say": "drain", "seconds": 10}       {"say": "end"}
                            {"say": "stats"}
    worker → supervisor     {"say": "idle"}  {"say": "serving"}  {"say": "failed", "error": "…"}
                            {"say": "stats", "values": […], "open": 3}  {"say": "leaving"}

A configuration is handed over as what it was read from, bytes and all: a worker reads no files,
so that it serves what the supervisor has checked, and needs no right to read it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

from txnodetls.daemon.certdir import Pair
from txnodetls.daemon.files import Files
from txnodetls.daemon.metrics import Snapshot

__all__ = ["Lines", "filesFrom", "filesTold", "said", "snapshotFrom", "snapshotTold"]


class Lines:
    """Takes bytes, and gives the messages that are complete."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []

    def receive(self, data: bytes) -> list[dict[str, Any]]:
        """
        Take bytes.

        @raise ValueError: they are no message.
        """
        first, *rest = data.split(b"\n")
        self._begun.append(first)
        if not rest:
            return []
        lines = [b"".join(self._begun), *rest]
        self._begun = [lines.pop()]
        return [json.loads(line) for line in lines]


def said(say: str, **more: Any) -> bytes:
    """A message."""
    return json.dumps({"say": say, **more}).encode("ascii") + b"\n"


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def filesTold(files: Files) -> dict[str, Any]:
    """What was read, to be told."""
    return {
        "contents": {path: _text(data) for path, data in files.contents.items()},
        "directories": files.directories,
        "throwaways": [
            [list(names), _text(certificate), _text(key)]
            for names, (certificate, key) in files.throwaways.items()
        ],
        "pairs": {
            directory: [
                [pair.source, list(pair.names), pair.kind, _text(pair.certificate), _text(pair.key)]
                for pair in pairs
            ]
            for directory, pairs in files.pairs.items()
        },
    }


def filesFrom(told: Mapping[str, Any]) -> Files:
    """What was told by L{filesTold}."""
    decode = base64.b64decode
    return Files(
        {path: decode(text) for path, text in told["contents"].items()},
        told["directories"],
        {tuple(names): (decode(cert), decode(key)) for names, cert, key in told["throwaways"]},
        {
            directory: [
                Pair(source, tuple(names), kind, decode(certificate), decode(key))
                for source, names, kind, certificate, key in pairs
            ]
            for directory, pairs in told["pairs"].items()
        },
    )


def snapshotTold(snapshot: Snapshot) -> list[Any]:
    """Metrics, to be told."""
    return [[name, list(labels), value] for (name, labels), value in snapshot.items()]


def snapshotFrom(told: Iterable[Any]) -> Snapshot:
    """What was told by L{snapshotTold}."""
    return {(name, tuple(labels)): value for name, labels, value in told}
