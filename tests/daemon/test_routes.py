"""Routes: for whom each is, with which certificate, and who may come in."""

from __future__ import annotations

from typing import Any

import pytest

from txnodetls.daemon.settings import Mode
from txnodetls.daemon.written import ConfigError

ROUTES = """
    proxy = "tcp:127.0.0.1:1"
    [[listener]]
    [[listener.route]]
    servernames = ["a.example", "*.b.example"]
    protocols = ["h2"]
    static = "DIR"
    [[listener.route]]
    name = "staff"
    servernames = ["staff.example"]
    ca = "DIR/ca.pem"
    clientSubject = ["CN=x", "CN=y+O=z"]
"""


def test_routes_say_for_whom_they_are(withFiles: Any) -> None:
    (listener,) = withFiles(ROUTES).listeners
    first, staff = listener.routes
    assert (first.name, staff.name) == ("route1", "staff")
    assert first.takes("A.example", "h2")
    assert first.takes("x.b.example", "h2")
    assert not first.takes("a.example", "http/1.1")
    assert not first.takes(None, "h2")
    assert first.serving.mode is Mode.STATIC
    assert staff.serving.mode is Mode.TERMINATE


def test_a_route_has_its_own_trust_and_rules_and_the_listeners_certificate(withFiles: Any) -> None:
    (listener,) = withFiles(ROUTES).listeners
    staff = listener.routes[1]
    context = listener.contexts.find("staff.example")
    assert context is staff.context
    assert context.options["requestCert"] is True
    assert context.ownCertificates == listener.options["secureContext"].ownCertificates
    assert not listener.options.get("requestCert")
    assert len(staff.rules.subjects) == 2
    assert listener.contexts.find("a.example") is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[[listener]]\necho = true\nservernames = ['a']", "servernames: belongs to a route"),
        ("[[listener]]\necho = true\n[[listener.route]]\necho = true", "servernames: or protocols"),
        (
            "[[listener]]\necho = true\n[[listener.route]]\nservernames = ['*']",
            r"servernames: '\*' is neither a name nor a wildcard",
        ),
        (
            "[[listener]]\necho = true\n[[listener.route]]\nprotocols = ['h2']\nca = 'DIR/ca.pem'",
            "ca: needs servernames",
        ),
        (
            "[[listener]]\necho = true\n[[listener.route]]\nservernames = ['a']\nport = 5",
            "port: belongs to the listener",
        ),
        (
            (
                "echo = true\n[[listener]]\n[[listener.route]]\nservernames = ['a']"
                "\nkey = 'DIR/key.pem'"
            ),
            "key: needs cert, too",
        ),
        (
            (
                "[[listener]]\necho = true\n[[listener.route]]\nservernames = ['a']\n"
                "[[listener.route]]\nservernames = ['a']\nca = 'DIR/ca.pem'"
            ),
            "ca: a is route route1's, too: say it there",
        ),
        (
            (
                "[[listener]]\necho = true\n[[listener.route]]\nname = 'x'\nservernames = ['a']\n"
                "[[listener.route]]\nname = 'x'\nservernames = ['b']"
            ),
            "name: 'x' is another route's, too",
        ),
        ("echo = true\nclientSubject = ['CN=x']", "clientSubject: needs ca"),
        (
            "echo = true\nca = 'DIR/ca.pem'\nrejectUnauthorized = false\nclientSAN = ['DNS:x.y']",
            "clientSAN: needs ca, and clients that are refused",
        ),
        ("echo = true\nca = 'DIR/ca.pem'\nclientSAN = ['x']", "clientSAN: 'x' is not KIND:NAME"),
        ("echo = true\nstrictSNI = true", "strictSNI: needs certDir"),
        ("echo = true\ncertDir = 'absent'", "certDir: cannot read absent: No such file"),
        ("originate = 'a:1'\ncertDir = 'DIR/certs'", "certDir: has no meaning with originate"),
        ("originate = 'unix:/x'", "servername: is needed"),
        ("static = 'absent'", "static: absent is no directory"),
    ],
)
def test_what_is_wrong_with_routes_and_rules_is_told(text: str, line: str, withFiles: Any) -> None:
    with pytest.raises(ConfigError, match=f"[0-9]: {line}|: {line}"):
        withFiles(text)
