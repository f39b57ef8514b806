"""The command line: how it ends when something is wrong, and that nothing is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from txnodetls.daemon.command import Options
from txnodetls.daemon.settings import SETTINGS
from txnodetls.options import CONNECT, LISTEN, SERVER


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--cret", "x"], "--cret: unknown; did you mean --cert?"),
        (["--port", "x"], "--port: 'x' is not a whole number"),
        (["stray"], "Wrong number of arguments"),
        (["--key"], "option --key requires argument"),
        (["--config", "absent"], "--config: cannot read absent: No such file"),
    ],
)
def test_what_is_wrong_ends_the_program(arguments: list[str], line: str) -> None:
    with pytest.raises(SystemExit) as caught:
        Options().parseOptions(arguments)
    assert str(caught.value.code).startswith(f"twistd nodetls: {line}")


def test_every_option_with_a_text_form_is_a_switch() -> None:
    names = {name for table in (SERVER, CONNECT, LISTEN) for name in table.textNames()}
    own = {"allowHalfOpen", "pauseOnConnect", "highWaterMark"}
    places = {"host", "fd", "exclusive", "timeout"}
    # These are said as session-store and ticket-keys.
    shared = {"sessionStore", "ticketKeyRing"}
    assert names - set(SETTINGS) == own | places | shared


def test_switches_and_the_file_say_the_same(tmp_path: Path) -> None:
    path = tmp_path / "nodetls.toml"
    path.write_text('port = 0\nminVersion = "TLSv1.3"\n"tls-max-v1.3" = true\necho = true\n')
    file, switches = Options(), Options()
    file.parseOptions([f"--config={path}"])
    switches.parseOptions(["-p", "0", "--minVersion=TLSv1.3", "--tls-max-v1.3", "--echo=yes"])
    (one,), (other,) = file.config.listeners, switches.config.listeners
    assert one.where == other.where
    assert one.options["minVersion"] == other.options["minVersion"] == "TLSv1.3"
    assert one.options["maxVersion"] == other.options["maxVersion"] == "TLSv1.3"
