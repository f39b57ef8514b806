"""
What C{twistd nodetls --help} prints: a manual page, made from the settings.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from txnodetls.daemon.settings import GROUPS, SETTINGS, SWITCH_ONLY, Scope, Setting

__all__ = ["manual"]

_HEAD = (
    (
        "Name",
        ["nodetls - serve TLS as Node.js does: terminate it, originate it, or echo"],
    ),
    (
        "Synopsis",
        [
            "twistd [twistd's options] nodetls [options]",
            "twistd -n nodetls",
            "twistd -n nodetls --key K --cert C --proxy tcp:127.0.0.1:8080",
            "twistd -n nodetls --config FILE",
        ],
    ),
)

_DESCRIPTION = (
    (
        "Without options it is an echo on 127.0.0.1:8443 with a certificate made to be thrown "
        "away, and says how to talk to it."
    ),
    (
        "Every option is a switch, --NAME=VALUE, and a key of the TOML file that --config names, "
        "NAME = VALUE (a name with a dot in quotes). Keys at the top of the file hold for all of "
        "its [[listener]] tables, unless a listener says otherwise; switches override the file. "
        "Options with an (r) can also be in a [[listener.route]], for some of the listener's "
        "clients. Those with a (p) are about the whole process and belong to the top of the file."
    ),
    (
        "A FILE is a path, a list is separated by commas (in the file it may be an array), MS are "
        "milliseconds and S seconds. Options that are Node's mean what "
        "https://nodejs.org/api/tls.html says. Options of twistd itself, such as --uid, --pidfile "
        "and --logfile, come before the word nodetls; twistd --help lists them."
    ),
)

_TAIL: tuple[tuple[str, list[tuple[str, str]]], ...] = (
    (
        "Signals",
        [
            (
                "SIGHUP",
                (
                    "Read everything again. If it is not good, say so and change nothing; if it "
                    "is, it holds for new connections. Those that are open go on in any case."
                ),
            ),
            (
                "SIGTERM, SIGINT",
                (
                    "Take no more connections, let those that are open go on for drainTimeout, "
                    "then end them. Once more: end them at once."
                ),
            ),
        ],
    ),
    (
        "Exit status",
        [
            ("0", "It has come to its end, or printed this page."),
            ("1", "It could not be started or tested, and the last line says why."),
        ],
    ),
    (
        "Examples",
        [
            (
                (
                    "twistd -n nodetls --port 443 --interface 0.0.0.0 --certDir certs "
                    "--proxy unix:/run/app"
                ),
                "Terminate TLS, with the certificate for the name that is asked for.",
            ),
            (
                "twistd -n nodetls --port 5432 --originate db.example.com:5433 --ca ca.pem",
                "Speak TLS for a program that cannot.",
            ),
            (
                "twistd nodetls --config nodetls.toml --test-config && kill -HUP $(cat twistd.pid)",
                "Go by a changed configuration, if it is good.",
            ),
        ],
    ),
)


def manual(width: int = 80) -> str:
    """
    The page.

    @param width: of its lines, in characters.
    """
    width = max(50, min(width, 100))
    lines: list[str] = []
    for title, paragraphs in _HEAD:
        lines += [title.upper(), *(f"  {paragraph}" for paragraph in paragraphs), ""]
    lines.append("DESCRIPTION")
    for paragraph in _DESCRIPTION:
        lines += [*_wrapped(paragraph, 2, width), ""]
    for group in GROUPS:
        found = [setting for setting in SETTINGS.values() if setting.group == group]
        if found:
            lines += [group.upper(), *_settings(found, width), ""]
    for title, rows in _TAIL:
        lines.append(title.upper())
        for name, text in rows:
            lines += [*_wrapped(name, 2, width), *_wrapped(text, 10, width)]
        lines.append("")
    return "\n".join(lines)


def _settings(settings: Iterable[Setting], width: int) -> list[str]:
    lines = []
    for setting in settings:
        short = "-p, " if setting.name == "port" else "-i, " if setting.name == "interface" else ""
        value = f"={setting.kind}" if setting.kind else ""
        lines.append(f"  {short}--{setting.name}{value}{_mark(setting)}")
        text = setting.help + (f" [{setting.default}]" if setting.default else "")
        lines += _wrapped(text, 10, width)
    return lines


def _mark(setting: Setting) -> str:
    if setting.name in SWITCH_ONLY:
        return ""
    return {Scope.PROCESS: " (p)", Scope.LISTENER: "", Scope.ROUTE: " (r)"}[setting.scope]


def _wrapped(text: str, indent: int, width: int) -> list[str]:
    space = " " * indent
    return textwrap.wrap(
        text,
        width,
        initial_indent=space,
        subsequent_indent=space,
        break_long_words=False,
        break_on_hyphens=False,
    )
