"""twisted.web behind an endpoint string, as curl sees it: HTTP/1.1 and HTTP/2, over our TLS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon.running import Twistd
from tests.support import Pki, requireTool, runTool, unusedPort

Curl = Callable[..., bytes]

# A resource that says what kind of connection it was asked over.
RESOURCE = """
from twisted.web.resource import Resource

class Probe(Resource):
    isLeaf = True

    def render_GET(self, request):
        # Over HTTP/2 the channel is one stream of the connection.
        connection = getattr(request.channel, "_conn", request.channel)
        socket = connection.transport.tlsSocket
        said = [type(socket).__module__, socket.getProtocol(), socket.alpnProtocol]
        return " ".join([*map(str, said), str(request.isSecure())]).encode()

resource = Probe()
"""


@pytest.fixture(scope="module")
def site(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp_path = tmp_path_factory.mktemp("site")
    (tmp_path / "key.pem").write_bytes(pki.server.key)
    (tmp_path / "cert.pem").write_bytes(pki.server.cert)
    (tmp_path / "ca.pem").write_bytes(pki.ca)
    (tmp_path / "page.html").write_text("<p>a page</p>")
    (tmp_path / "big.bin").write_bytes(bytes(range(256)) * 4096 * 8)
    (tmp_path / "probe.rpy").write_text(RESOURCE)
    return tmp_path


@pytest.fixture(scope="module")
def curl(site: Path) -> Iterator[Callable[..., bytes]]:
    """A function: curl's standard output for a path, with more of its arguments."""
    program = requireTool("curl")
    port = unusedPort()
    listen = f"nodetls:{port}:interface=127.0.0.1:key=key.pem:cert=cert.pem"

    def get(path: str, *arguments: str) -> bytes:
        command = [program, "--silent", "--show-error", "--fail", "--max-time", "30"]
        command += ["--cacert", str(site / "ca.pem"), "--resolve", f"localhost:{port}:127.0.0.1"]
        done = runTool([*command, *arguments, f"https://localhost:{port}/{path}"])
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout

    with Twistd("web", "--listen", listen, "--path", ".", cwd=site) as server:
        server.waitFor("reactor class")
        command = [program, "--silent", "--insecure", "--retry", "50", "--retry-connrefused"]
        runTool([*command, "--retry-delay", "0", f"https://127.0.0.1:{port}/page.html"])
        yield get


VERSION = ("--output", "/dev/null", "--write-out", "%{http_version} %{http_code}")


@pytest.mark.parametrize(("switch", "version"), [("--http1.1", b"1.1 200"), ("--http2", b"2 200")])
def test_a_page_is_served(switch: str, version: bytes, curl: Curl) -> None:
    if switch == "--http2":
        pytest.importorskip("h2")
    assert curl("page.html", switch) == b"<p>a page</p>"
    assert curl("page.html", switch, *VERSION) == version


@pytest.mark.parametrize(("switch", "protocol"), [("--http1.1", "http/1.1"), ("--http2", "h2")])
def test_the_connection_is_ours(switch: str, protocol: str, curl: Curl) -> None:
    if switch == "--http2":
        pytest.importorskip("h2")
    assert (
        curl("probe.rpy", switch).decode() == f"txnodetls.socket.tlssocket TLSv1.3 {protocol} True"
    )


@pytest.mark.parametrize("switch", ["--http1.1", "--http2"])
def test_something_big_arrives_whole(switch: str, site: Path, curl: Curl) -> None:
    if switch == "--http2":
        pytest.importorskip("h2")
    # A slow reader, so that twisted.web's producers are paused and resumed.
    assert curl("big.bin", switch, "--limit-rate", "20M") == (site / "big.bin").read_bytes()


@pytest.mark.parametrize("name", ["poll", "select", "asyncio", "uvloop"])
def test_twistd_may_be_told_its_reactor(name: str, site: Path) -> None:
    port = unusedPort()
    listen = f"nodetls:{port}:interface=127.0.0.1:key=key.pem:cert=cert.pem"
    web = ("web", "--listen", listen, "--path", ".")
    command = [requireTool("curl"), "-sS", "--max-time", "30", "--cacert", str(site / "ca.pem")]
    command += ["--ipv4", f"https://localhost:{port}/page.html"]
    with Twistd(f"--reactor={name}", *web, cwd=site) as server:
        server.waitFor("starting on")
        assert name in server.output.lower()
        done = runTool(command)
    assert (done.stdout, done.stderr) == (b"<p>a page</p>", b"")
