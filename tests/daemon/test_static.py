"""Static files: what is there, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.web.test.requesthelper import DummyRequest

from txnodetls.daemon.static import staticSite


def fetch(directory: Path, path: str) -> tuple[int, bytes]:
    site = staticSite(str(directory))
    request = DummyRequest([part.encode() for part in path.split("/")])
    request.method = b"GET"
    resource = site.resource
    while request.postpath and not resource.isLeaf:
        name = request.postpath.pop(0)
        resource = resource.getChildWithDefault(name, request)
    result = resource.render(request)
    written = b"".join(request.written)
    return request.responseCode or 200, written + (result if isinstance(result, bytes) else b"")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "page.txt").write_bytes(b"a page")
    (tmp_path / ".secret").write_bytes(b"hidden")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "index.html").write_bytes(b"the index")
    (tmp_path / "bare").mkdir()
    return tmp_path


def test_a_file_is_served(directory: Path) -> None:
    assert fetch(directory, "page.txt") == (200, b"a page")
    assert fetch(directory, "inner/index.html") == (200, b"the index")


@pytest.mark.parametrize("path", [".secret", "absent", "bare/", "../etc/passwd", "", "inner/../x"])
def test_it_is_not_there(path: str, directory: Path) -> None:
    status, body = fetch(directory, path)
    assert status == 404
    assert b"hidden" not in body
    assert b"page.txt" not in body
