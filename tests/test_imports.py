"""
The house: imports point down, one room speaks OpenSSL, importing does nothing.

The floors are read from the table in `docs/architecture.md`, so that the
drawing and the house cannot drift apart.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.support import PROJECT, runPython

PACKAGE = PROJECT / "txnodetls"

#: Certificates are read with OpenSSL; a socket with TLS is a socket without, and more.
#: (Floor 1, too, names things for each other.)
SAME_FLOOR = {("pki", "openssl"), ("socket", "net")}
#: These stand outside of the floors: they show the house to those who come from outside.
FACE = 100

#: Attributes and modules of pyOpenSSL and cryptography that are private.
PRIVATE_ATTRIBUTES = frozenset({"_ssl", "_into_ssl", "_from_ssl", "_x509", "_pkey", "_lib", "_ffi"})
#: The same, of names that our own classes have as well: told by what stands before them.
PRIVATE_OF_OTHERS = re.compile(r"(native|context|ctx|store)(\(.*\))?\._(context|store)$")
PRIVATE_MODULES = re.compile(r"(OpenSSL|cryptography)\b.*\._|OpenSSL\._|.*\bbindings\b")


@cache
def floors() -> dict[str, int]:
    """Room (a module or a package right below txnodetls) to floor, from the drawing."""
    found: dict[str, int] = {}
    drawing = (PROJECT / "docs" / "architecture.md").read_text()
    table = drawing.partition("## The floors")[2].partition("\n## ")[0]
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) < 3 or not (cells[0].isdigit() or cells[0] == "face"):
            continue
        for name in re.findall(r"`([\w/.]+)`", cells[1]):
            floor = FACE if cells[0] == "face" else int(cells[0])
            found[name.removesuffix(".py").rstrip("/")] = floor
    return found


@dataclass(frozen=True)
class Import:
    """One import of something of ours, in one of our files."""

    path: Path
    line: int
    target: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(PROJECT)}:{self.line} imports {self.target}"


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py"))


def dotted(path: Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    """The room a dotted name of ours is in; `__init__` for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def isModule(name: str) -> bool:
    path = PROJECT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def importsOf(path: Path) -> Iterator[Import]:
    """Every import of ours in the file, wherever it stands, `TYPE_CHECKING` included."""
    package = dotted(path) if path.name == "__init__.py" else dotted(path).rpartition(".")[0]
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, base] if base else up)
            names = []
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                names.append(inner if isModule(inner) else base)
        else:
            continue
        for name in names:
            if name.split(".")[0] == "txnodetls":
                yield Import(path, node.lineno, name)


def forbidden(importer: str, imported: str) -> bool:
    """Whether a room may not import from another, by their floors."""
    if importer == imported or (importer, imported) in SAME_FLOOR:
        return False
    above, below = floors()[importer], floors()[imported]
    if above == below == 1 or above == below == FACE:
        return False
    return below >= above


def test_every_room_is_in_the_drawing() -> None:
    rooms = {room(dotted(path)) for path in modules()}
    assert sorted(rooms - floors().keys()) == []


def test_imports_point_down() -> None:
    drawn = floors().keys()
    wrong = [
        str(each)
        for path in modules()
        for each in importsOf(path)
        if {room(dotted(path)), room(each.target)} <= drawn
        and forbidden(room(dotted(path)), room(each.target))
    ]
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    ("importer", "imported", "wrong"),
    [
        ("protocol", "socket", True),
        ("protocol", "transports", True),
        ("socket", "protocol", False),
        ("socket", "net", False),
        ("net", "socket", True),
        ("errors", "openssl", True),
        ("errors", "__init__", True),
        ("__init__", "server", False),
    ],
)
def test_the_rule_itself(importer: str, imported: str, wrong: bool) -> None:
    assert forbidden(importer, imported) is wrong


def moduleGraph() -> dict[str, set[str]]:
    """Module to modules, all of ours; an import for types only is no edge."""
    graph: dict[str, set[str]] = {}
    for path in modules():
        tree = parsed(path)
        typesOnly = {
            inner.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            for inner in ast.walk(node)
            if isinstance(inner, (ast.Import, ast.ImportFrom))
        }
        graph[dotted(path)] = {
            each.target for each in importsOf(path) if each.line not in typesOnly
        } - {dotted(path)}
    return graph


def test_no_two_modules_import_each_other() -> None:
    graph = moduleGraph()
    done: set[str] = set()
    circles: list[str] = []

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            circles.append(" -> ".join([*trail[trail.index(name) :], name]))
        elif name not in done:
            for target in sorted(graph.get(name, ())):
                visit(target, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())
    assert not circles, "\n" + "\n".join(circles)


def privateUses(tree: ast.Module, where: str) -> Iterator[str]:
    """Where a file touches what is private to pyOpenSSL or cryptography."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            if node.attr in PRIVATE_ATTRIBUTES or re.search(PRIVATE_OF_OTHERS, text):
                yield f"{where}:{node.lineno} {text}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if PRIVATE_MODULES.match(alias.name) or alias.name in ("ctypes", "cffi"):
                    yield f"{where}:{node.lineno} import {alias.name}"
        elif isinstance(node, ast.ImportFrom) and not node.level:
            module = node.module or ""
            for alias in node.names:
                foreign = PRIVATE_MODULES.match(f"{module}.{alias.name}") is not None
                if foreign or module in ("ctypes", "cffi") or alias.name in ("lib", "ffi"):
                    yield f"{where}:{node.lineno} from {module} import {alias.name}"
        elif isinstance(node, ast.Name) and node.id in ("lib", "ffi"):
            yield f"{where}:{node.lineno} {node.id}"


def test_only_one_room_touches_the_private_names_of_pyopenssl() -> None:
    uses = [
        use
        for path in modules()
        if room(dotted(path)) != "openssl"
        for use in privateUses(parsed(path), str(path.relative_to(PROJECT)))
    ]
    assert not uses, "\n" + "\n".join(uses)


def test_the_search_for_private_names_finds_them() -> None:
    lines = [
        "from OpenSSL._util import lib",
        "import OpenSSL._util",
        "from cryptography.hazmat.bindings.openssl.binding import Binding",
        "connection._ssl",
        "context._context",
        "self._context",
        "import ctypes",
        "from OpenSSL import SSL",
        "from cryptography.hazmat.primitives import hashes",
    ]
    found = {use.split()[0] for use in privateUses(ast.parse("\n".join(lines)), "x")}
    assert found == {"x:1", "x:2", "x:3", "x:4", "x:5", "x:7"}


IMPORT_ALL = """
import signal, sys, threading
import ssl, socket

def picture():
    handlers = {s: signal.getsignal(s) for s in signal.valid_signals()}
    import twisted.internet.tcp, twisted.internet.base, OpenSSL.SSL, OpenSSL.crypto
    patched = {}
    for module in (ssl, socket, twisted.internet.tcp, twisted.internet.base, OpenSSL.SSL):
        for name, value in vars(module).items():
            patched[module.__name__, name] = id(value)
            if isinstance(value, type):
                for inner, member in list(vars(value).items()):
                    patched[module.__name__, name, inner] = id(member)
    return handlers, patched, threading.active_count(), list(sys.meta_path)

import twisted.internet.ssl, twisted.web.client      # what these import is not ours
assert "twisted.internet.reactor" not in sys.modules
before = picture()
import txnodetls, pkgutil, importlib
names = [m.name for m in pkgutil.walk_packages(txnodetls.__path__, "txnodetls.")]
if sys.argv[1] == "all":
    for name in names:
        if not name.endswith("__main__"):
            importlib.import_module(name)
assert "twisted.internet.reactor" not in sys.modules, "a reactor was installed"
after = picture()
for was, now, what in zip(before, after, ("signal handlers", "patches", "threads", "importers")):
    if isinstance(was, dict):
        changed = [key for key in was if was[key] != now.get(key)]
        assert not changed, (what, changed)
    else:
        assert was == now, (what, was, now)
print("quiet", len(names))
"""


@pytest.mark.parametrize("what", ["face", "all"])
def test_importing_installs_nothing_and_patches_nothing(what: str) -> None:
    done = runPython(IMPORT_ALL, what)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    assert done.stdout.decode().startswith("quiet ")


def test_importing_the_package_brings_no_endpoints() -> None:
    """They cost a good part of a program's start, and most programs have no use for them."""
    done = runPython(
        "import sys, txnodetls; assert 'twisted.internet.endpoints' not in sys.modules"
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")


@pytest.mark.parametrize(
    "module",
    [
        "certifi",
        "cryptography.x509.ocsp",
        "difflib",
        "twisted.protocols.memcache",
        "txnodetls.legacy",
        "txnodetls.openssl.symbols",
        "txnodetls.pki.fields",
        "txnodetls.pki.hostnames",
        "txnodetls.pki.pfxshape",
        "txnodetls.ocsp",
        "txnodetls.protocol.trace",
        "txnodetls.sessions.redis",
        "txnodetls.sessions.ring",
    ],
)
def test_what_most_programs_have_no_use_for_is_imported_late(module: str) -> None:
    done = runPython(f"import sys, txnodetls; assert {module!r} not in sys.modules")
    assert (done.returncode, done.stderr.decode()) == (0, "")


@pytest.mark.parametrize(
    "making",
    [
        "import txnodetls as t; t.Server(requestCert=True)",
        "from txnodetls.twisted import endpoints as e; e.ClientEndpoint(None, 'localhost', 1)",
        "import txnodetls.daemon.runtime",
    ],
)
def test_nobody_who_will_read_certificates_imports_for_it_in_a_handshake(making: str) -> None:
    done = runPython(
        f"{making}\n"
        "import sys\n"
        "assert {'txnodetls.pki.certificates', 'txnodetls.pki.identity'} <= set(sys.modules)"
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")


def test_what_is_imported_late_is_there_all_the_same() -> None:
    done = runPython(
        "import txnodetls\n"
        "assert set(txnodetls.__all__) <= set(dir(txnodetls))\n"
        "from txnodetls import *\n"
        "assert RedisSessionStore is txnodetls.RedisSessionStore\n"
        "assert not hasattr(txnodetls, 'RedisSessionStores')\n"
        "assert txnodetls.pki.identity.checkServerIdentity is checkServerIdentity\n"
        "assert not hasattr(txnodetls.pki, 'identities')\n"
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")


def test_the_daemon_can_choose_its_reactor() -> None:
    """A plugin that imported the reactor would break `twistd --reactor=...`."""
    code = (
        "import sys, glob, runpy\n"
        "for path in glob.glob('twisted/plugins/*.py'):\n"
        "    runpy.run_path(path)\n"
        "assert 'twisted.internet.reactor' not in sys.modules\n"
    )
    done = runPython(code, cwd=PROJECT)
    assert (done.returncode, done.stderr.decode()) == (0, "")
