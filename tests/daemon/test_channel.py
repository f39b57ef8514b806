"""What supervisor and workers say to each other."""

from __future__ import annotations

import pytest

from txnodetls.daemon.certdir import Pair
from txnodetls.daemon.channel import (
    Lines,
    filesFrom,
    filesTold,
    said,
    snapshotFrom,
    snapshotTold,
)
from txnodetls.daemon.files import Files
from txnodetls.daemon.metrics import Snapshot


@pytest.mark.parametrize("step", [1, 5, 1000])
def test_messages_come_whole_however_they_are_cut(step: int) -> None:
    data = said("serve", text="line\nbreak") + said("stats")
    lines = Lines()
    found = []
    for start in range(0, len(data), step):
        found += lines.receive(data[start : start + step])
    assert found == [{"say": "serve", "text": "line\nbreak"}, {"say": "stats"}]


def test_files_arrive_as_they_were() -> None:
    pair = Pair("a", ("a.example",), "RSA", b"certificate", b"key")
    files = Files(
        {"key": b"\0\xff"}, {"certs": ["a.pem"]}, {("localhost",): (b"c", b"k")}, {"certs": [pair]}
    )
    told = said("serve", files=filesTold(files))
    (message,) = Lines().receive(told)
    again = filesFrom(message["files"])
    assert again.read("key") == b"\0\xff"
    assert again.names("certs") == ["a.pem"]
    assert again.throwaway(("localhost",)) == (b"c", b"k")
    assert again.pairs == {"certs": [pair]}


def test_metrics_arrive_as_they_were() -> None:
    snapshot: Snapshot = {("connections", ("web",)): 3.0, ("workers", ()): 1.0}
    assert snapshotFrom(snapshotTold(snapshot)) == snapshot
