"""
A browser loads a page with pictures over HTTP/2 from `twistd web --listen nodetls:…`.

The page says itself what it got: which picture has which colour, by which protocol each came,
and what the server says of its end of the connection.  A screenshot is kept: in the directory
that the environment's TXNODETLS_ARTEFACTS names, or in build/artefacts.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import re
import struct
import zlib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.daemon.running import Twistd
from tests.support import PROJECT, Pki, requireModule, requireTool, runTool, unusedPort

PICTURES = 24
LARGE = 512  # pixels each way, of noise: about 800 kB
ARTEFACTS = Path(os.environ.get("TXNODETLS_ARTEFACTS") or PROJECT / "build" / "artefacts")

PAGE = """<!DOCTYPE html><meta charset="utf-8"><title>over our TLS</title>
<style>body { font: 16px sans-serif; margin: 1em } img { margin: 4px; width: 64px; height: 64px }
pre { white-space: pre-wrap; font-size: 11px }
</style><h1>Pictures over HTTP/2</h1><div id="pictures"></div><pre id="told"></pre>
<script>
const pictures = document.getElementById('pictures');
const names = [...Array(COUNT).keys()].map((n) => `${n}.png`).concat('large.png');
const load = (name) => new Promise((done) => {
  const image = new Image();
  image.onload = () => {
    const canvas = document.createElement('canvas');
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    done([name, image.naturalWidth, [...context.getImageData(1, 1, 1, 1).data].slice(0, 3)]);
  };
  image.onerror = () => done([name, 0, []]);
  image.src = name;
  pictures.append(image);
});
(async () => {
  const loaded = await Promise.all(names.map(load));
  const server = await (await fetch('probe.rpy')).json();
  const protocols = performance.getEntries().filter((entry) => entry.nextHopProtocol)
    .map((entry) => entry.nextHopProtocol);
  document.getElementById('told').textContent = JSON.stringify({ loaded, server, protocols });
})();
</script>
"""

# What the server knows of the connection that the page came over.
PROBE = """
import json
from twisted.web.resource import Resource

class Probe(Resource):
    isLeaf = True

    def render_GET(self, request):
        connection = getattr(request.channel, "_conn", request.channel)
        socket = connection.transport.tlsSocket
        cipher = socket.getCipher()["standardName"]
        told = [type(socket).__name__, socket.getProtocol(), socket.alpnProtocol, cipher]
        request.setHeader("content-type", "application/json")
        return json.dumps(told).encode()

resource = Probe()
"""


def png(width: int, height: int, rows: bytes) -> bytes:
    """A picture of RGB pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    lines = b"".join(
        b"\0" + rows[at : at + 3 * width] for at in range(0, 3 * width * height, 3 * width)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def colour(number: int) -> list[int]:
    return [255 - 10 * number, (67 * number) % 256, 10 * number]


@pytest.fixture
def site(pki: Pki, tmp_path: Path) -> Path:
    (tmp_path / "server.key").write_bytes(pki.server.key)
    (tmp_path / "server.pem").write_bytes(pki.server.cert)
    root = tmp_path / "site"
    root.mkdir()
    (root / "index.html").write_text(PAGE.replace("COUNT", str(PICTURES)))
    (root / "probe.rpy").write_text(PROBE)
    for number in range(PICTURES):
        picture = png(64, 64, bytes(colour(number)) * 64 * 64)
        (root / f"{number}.png").write_bytes(picture)
    noise = random.Random(1).randbytes(3 * LARGE * LARGE)
    (root / "large.png").write_bytes(png(LARGE, LARGE, noise))
    return tmp_path


def chromium(pki: Pki, profile: Path) -> list[str]:
    """Headless Chromium that talks to nobody but the server with this key."""
    key = x509.load_pem_x509_certificate(pki.server.cert).public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    known = base64.b64encode(hashlib.sha256(der).digest()).decode()
    return [
        requireTool("chromium"),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
        f"--user-data-dir={profile}",
        # Its own authorities it brings along; ours it knows by the key.
        f"--ignore-certificate-errors-spki-list={known}",
        "--window-size=800,600",
        "--virtual-time-budget=20000",
    ]


@pytest.mark.timeLimit(120)
def test_a_page_with_pictures_over_http2(site: Path, pki: Pki) -> None:
    requireModule("h2")
    port = unusedPort()
    listen = f"nodetls:{port}:interface=127.0.0.1:key=server.key:cert=server.pem"
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    screenshot = ARTEFACTS / "browser.png"
    screenshot.unlink(missing_ok=True)
    browser = chromium(pki, site / "profile")
    with Twistd("web", "--listen", listen, "--path", "site", cwd=site) as server:
        server.waitFor("starting on")
        url = f"https://localhost:{port}/index.html"
        command = [*browser, "--dump-dom", f"--screenshot={screenshot}", url]
        done = runTool(command, timeout=100)
    dom = done.stdout.decode()
    found = re.search(r'<pre id="told">(\{.*?\})</pre>', dom)
    assert found is not None, dom + done.stderr.decode()
    told = json.loads(found[1])
    names = [f"{number}.png" for number in range(PICTURES)]
    expected = [[name, 64, colour(number)] for number, name in enumerate(names)]
    assert told["loaded"][:-1] == expected
    assert told["loaded"][-1][:2] == ["large.png", LARGE]
    # The TLS is ours, and everything came by HTTP/2.
    assert told["server"][:3] == ["TLSSocket", "TLSv1.3", "h2"]
    assert set(told["protocols"]) == {"h2"}
    assert len(told["protocols"]) >= PICTURES + 3
    data = screenshot.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert struct.unpack(">II", data[16:24]) == (800, 600)
    # Nothing that the browser did was an error to the server.
    assert "Traceback" not in server.output
