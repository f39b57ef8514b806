"""What cryptography hides is imported when it is first asked for."""

from __future__ import annotations

import pytest

from tests.support import runPython
from txnodetls.openssl import late, symbols


def test_what_is_asked_of_it_is_the_modules_own() -> None:
    assert late.symbols.require is symbols.require
    assert late.symbols.SSL_CTRL_SET_DH_AUTO == symbols.SSL_CTRL_SET_DH_AUTO
    with pytest.raises(AttributeError, match="has no attribute 'SSL_new'"):
        late.symbols.SSL_new  # type: ignore[attr-defined]


def test_what_has_changed_there_has_changed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbols, "require", len)
    assert late.symbols.require is len


def test_a_server_without_ticket_keys_does_not_import_it() -> None:
    done = runPython(
        "import sys\n"
        "import txnodetls as tls\n"
        "tls.createServer({})\n"
        "assert 'txnodetls.openssl.symbols' not in sys.modules\n"
        "tls.createServer({}).getTicketKeys()\n"
        "assert 'txnodetls.openssl.symbols' in sys.modules\n"
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
