"""Options that were checked."""

from __future__ import annotations

from typing import Any

import pytest

from txnodetls.options import CONTEXT, SERVER, Options, readOptions


class TestOptions:
    def test_what_was_not_given_is_none_and_no_key(self) -> None:
        options = readOptions(CONTEXT, {"key": None})
        assert options.key is None
        assert options.cert is None
        assert list(options) == ["key"]

    def test_what_the_table_has_not_is_an_error(self) -> None:
        with pytest.raises(AttributeError, match="CONTEXT has no option servername"):
            readOptions(CONTEXT).servername

    def test_cannot_be_changed(self) -> None:
        options: Any = readOptions(CONTEXT, {"key": "a"})
        with pytest.raises(TypeError):
            options["key"] = "b"
        with pytest.raises(AttributeError):
            options.key = "b"

    def test_others_are_made_of_them(self) -> None:
        options = readOptions(SERVER, {"key": "a", "handshakeTimeout": 5})
        assert (options | {"key": "b"}).key == "b"
        assert options.key == "a"
        assert dict(options.only(CONTEXT)) == {"key": "a"}

    def test_show_no_secrets(self) -> None:
        options = readOptions(CONTEXT, {"key": "very secret", "passphrase": "also secret"})
        assert "secret" not in repr(options)
        assert "key" in repr(options)

    def test_an_empty_set_is_false(self) -> None:
        assert not Options(CONTEXT)
