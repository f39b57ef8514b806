"""Options out of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from txnodetls.options import CONNECT, SERVER, OptionTextError, fromText


class TestSecretsFromFiles:
    def test_a_passphrase_is_the_first_line(self, tmp_path: Path) -> None:
        path = tmp_path / "passphrase"
        path.write_bytes(" päss \r\nmore".encode())
        assert fromText(SERVER, {"passphraseFile": str(path)}) == {"passphrase": " päss "}

    def test_ticket_keys_are_48_bytes(self, tmp_path: Path) -> None:
        path = tmp_path / "keys"
        path.write_bytes(bytes(48))
        assert fromText(SERVER, {"ticketKeysFile": str(path)}) == {"ticketKeys": bytes(48)}
        path.write_bytes(bytes(47))
        with pytest.raises(OptionTextError, match=r"ticketKeysFile.*47 bytes"):
            fromText(SERVER, {"ticketKeysFile": str(path)})

    def test_one_option_in_two_ways_is_an_error(self, tmp_path: Path) -> None:
        path = tmp_path / "passphrase"
        path.write_bytes(b"x")
        with pytest.raises(OptionTextError, match="passphrase is given twice"):
            fromText(SERVER, {"passphrase": "x", "passphraseFile": str(path)})

    def test_a_server_knows_the_keys_of_a_file_by_their_identities(self, tmp_path: Path) -> None:
        path = tmp_path / "psk"
        path.write_text("# comment\n\none:00ff\ntwo:with:colons:0a0B\n")
        callback = fromText(SERVER, {"pskFile": str(path)})["pskCallback"]
        assert callback(None, "one") == b"\x00\xff"
        assert callback(None, "two:with:colons") == b"\x0a\x0b"
        assert callback(None, "three") is None
        assert callback(None, "") is None

    def test_a_client_uses_the_first_key_of_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "psk"
        path.write_text("one:00ff\ntwo:0a0b\n")
        callback = fromText(CONNECT, {"pskFile": str(path)})["pskCallback"]
        assert callback("hint") == {"identity": "one", "psk": b"\x00\xff"}

    @pytest.mark.parametrize(
        "line", ["one", "one:", ":00ff", "one:xyz", "one:0", "one:" + "00" * 257]
    )
    def test_a_line_that_is_no_key_is_an_error_that_does_not_show_it(
        self, tmp_path: Path, line: str
    ) -> None:
        path = tmp_path / "psk"
        path.write_text(f"good:00\n{line}\n")
        with pytest.raises(OptionTextError, match="line 2 of") as caught:
            fromText(SERVER, {"pskFile": str(path)})
        assert "xyz" not in str(caught.value)

    def test_a_file_without_a_key_is_an_error(self, tmp_path: Path) -> None:
        path = tmp_path / "psk"
        path.write_text("# nothing\n")
        with pytest.raises(OptionTextError, match="holds no key"):
            fromText(SERVER, {"pskFile": str(path)})

    def test_a_table_names_them(self) -> None:
        assert {"passphraseFile", "pskFile", "ticketKeysFile"} <= set(SERVER.textNames())
        assert not {"passphraseFile", "pskFile", "ticketKeysFile"} & set(SERVER)
