"""Reading options from Python and from text."""

from __future__ import annotations

import types
import warnings
from pathlib import Path
from typing import Any

import pytest

from txnodetls.errors import NodeError
from txnodetls.options import (
    CONNECT,
    CONTEXT,
    SERVER,
    OptionTextError,
    UnknownOptionWarning,
    fromText,
    readOptions,
)


class TestReading:
    def test_keywords_win_over_the_mapping(self) -> None:
        options = readOptions(CONTEXT, {"key": "a", "cert": "b"}, {"key": "c"})
        assert dict(options) == {"key": "c", "cert": "b"}

    def test_any_mapping_will_do(self) -> None:
        assert readOptions(CONTEXT, types.MappingProxyType({"key": "a"})).key == "a"

    @pytest.mark.parametrize("nothing", [None, False, 0, "", {}])
    def test_what_is_false_is_no_options(self, nothing: object) -> None:
        assert len(readOptions(CONTEXT, nothing)) == 0

    @pytest.mark.parametrize("wrong", ["x", 1, True, [], [1], object()])
    def test_what_is_no_mapping_is_nodes_error(self, wrong: object) -> None:
        with pytest.raises(NodeError, match='The "options" argument must be of type object'):
            readOptions(CONTEXT, wrong)

    def test_options_of_the_same_table_are_taken_as_they_are(self) -> None:
        options = readOptions(SERVER, {"key": "a"})
        assert readOptions(SERVER, options) is options
        assert readOptions(SERVER, options, {"key": "b"}).key == "b"
        assert readOptions(CONTEXT, options).table is CONTEXT

    def test_a_change_of_the_original_is_not_seen(self) -> None:
        key = bytearray(b"key")
        given: dict[str, Any] = {"key": [key, {"pem": key}]}
        options = readOptions(CONTEXT, given)
        key[:] = b"xxx"
        given["key"].append("more")
        assert options.key == (b"key", {"pem": b"key"})


class TestUnknownNames:
    def test_are_reported_with_the_nearest_known_one(self) -> None:
        with pytest.warns(UnknownOptionWarning, match="'cerst'.*did you mean 'cert'") as caught:
            options = readOptions(SERVER, {"cerst": "x"})
        assert "cerst" not in options
        # Where the caller is to look, not where we are.
        assert caught[0].filename == __file__

    def test_one_in_the_wrong_case_is_near(self) -> None:
        with pytest.warns(UnknownOptionWarning, match="did you mean 'rejectUnauthorized'"):
            readOptions(CONNECT, {"rejectunauthorized": False})

    def test_are_reported_among_the_keywords_too(self) -> None:
        with pytest.warns(UnknownOptionWarning, match="'xyzzy' .all of them"):
            readOptions(CONNECT, None, {"xyzzy": 1})

    def test_the_options_of_a_server_may_be_given_to_a_context(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            options = readOptions(CONTEXT, {"key": "a", "handshakeTimeout": 1, "pauseOnConnect": 1})
        assert list(options) == ["key"]


class TestText:
    def test_files_are_named_where_contents_are_wanted(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"first")
        (tmp_path / "b").write_bytes(b"second")
        found = fromText(SERVER, {"key": f"{tmp_path}/a,{tmp_path}/b", "dhparam": f"{tmp_path}/a"})
        assert found == {"key": [b"first", b"second"], "dhparam": b"first"}

    def test_everything_else_is_written_as_it_is(self) -> None:
        found = fromText(
            SERVER,
            {
                "ciphers": "HIGH:!aNULL",
                "ALPNProtocols": "h2, http/1.1",
                "requestCert": "yes",
                "honorCipherOrder": "off",
                "handshakeTimeout": "2500",
                "sessionTimeout": "60",
                "dhparam": "auto",
                "secureOptions": "NO_TICKET|SSL_OP_NO_RENEGOTIATION",
            },
        )
        assert found == {
            "ciphers": "HIGH:!aNULL",
            "ALPNProtocols": ["h2", "http/1.1"],
            "requestCert": True,
            "honorCipherOrder": False,
            "handshakeTimeout": 2500,
            "sessionTimeout": 60,
            "dhparam": "auto",
            "secureOptions": 1 << 14 | 1 << 30,
        }

    def test_what_was_read_is_taken_by_the_same_table(self) -> None:
        found = fromText(CONNECT, {"minVersion": "TLSv1.3", "timeout": "1.5", "servername": "x"})
        assert dict(readOptions(CONNECT, found)) == found

    def test_the_values_of_a_toml_file_count_as_their_text(self, tmp_path: Path) -> None:
        (tmp_path / "with, comma").write_bytes(b"first")
        found = fromText(
            SERVER,
            {
                "cert": [f"{tmp_path}/with, comma"],
                "ALPNProtocols": ["h2", "x,y"],
                "requestCert": True,
                "handshakeTimeout": 10,
            },
        )
        assert found == {
            "cert": [b"first"],
            "ALPNProtocols": ["h2", "x,y"],
            "requestCert": True,
            "handshakeTimeout": 10,
        }

    @pytest.mark.parametrize(
        ("name", "value"), [("ciphers", ["a"]), ("ALPNProtocols", [1]), ("requestCert", {})]
    )
    def test_other_values_of_a_toml_file_are_refused(self, name: str, value: Any) -> None:
        with pytest.raises(OptionTextError, match=f"option {name}: "):
            fromText(SERVER, {name: value})

    def test_an_unknown_name_is_an_error_with_the_nearest_known_one(self) -> None:
        with pytest.raises(OptionTextError, match="did you mean handshakeTimeout"):
            fromText(SERVER, {"handshakeTimout": "1"})
        with pytest.raises(OptionTextError, match=r"txnodetls\.options\.SERVER"):
            fromText(SERVER, {"xyzzy": "1"})

    def test_a_callback_is_refused_with_the_python_way(self) -> None:
        with pytest.raises(
            OptionTextError,
            match=r"SNICallback is a callback and has no text form; "
            r"use createServer\(\.\.\.\) or wrapServer\(\.\.\.\) in Python",
        ):
            fromText(SERVER, {"SNICallback": "x"})

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("requestCert", "perhaps"),
            ("handshakeTimeout", "soon"),
            ("sessionTimeout", "1.5"),
            ("secureOptions", "NO_SUCH"),
            ("key", "/no/such/file"),
        ],
    )
    def test_a_text_that_makes_no_value_is_an_error_that_names_the_option(
        self, name: str, text: str
    ) -> None:
        with pytest.raises(OptionTextError, match=f"option {name}: ") as caught:
            fromText(SERVER, {name: text})
        assert text in str(caught.value)
        assert caught.value.code == "ERR_INVALID_ARG_VALUE"
        assert isinstance(caught.value, ValueError)
