"""What was written, and where it stood."""

from __future__ import annotations

import pytest

from txnodetls.daemon.files import Files
from txnodetls.daemon.written import ConfigError, Level, readFile

TEXT = """\
minVersion = "TLSv1.3"   # a comment
"quoted" = 1
text = '''
port = 5
[[listener]]
'''

[[listener]]
port = 1

  [[listener.route]]
  proxy = "a"
  [[listener.route]]
  proxy = "b"

[[ listener ]]
port = 2
  [[listener.route]]
  proxy = "c"
"""


def read(text: str) -> Level:
    return readFile("f", Files({"f": text.encode()}))


def test_every_key_is_known_with_its_line() -> None:
    top = read(TEXT)
    assert top.places == {
        "minVersion": "f:1: minVersion",
        "quoted": "f:2: quoted",
        "text": "f:3: text",
    }
    assert [level.places for level in top.inner] == [{"port": "f:9: port"}, {"port": "f:17: port"}]
    first, second = top.inner
    assert [route.places["proxy"] for route in first.inner] == ["f:12: proxy", "f:14: proxy"]
    assert [route.places["proxy"] for route in second.inner] == ["f:19: proxy"]
    assert str(second.error("absent", "is missing")) == "f:16: absent: is missing"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = ", "f:1: Invalid value"),
        ("a = 1\nb = 1\na = 2", "f:3: Cannot overwrite a value"),
        ("[other]", "f: other: there is no such table"),
        ("listener = 5", r"f: listener: write it as \[\[listener\]\]"),
        ("[[listener]]\nroute = 5", r"f:1: route: write it as \[\[listener.route\]\]"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"^{said}"):
        read(text)


def test_a_level_stands_over_another() -> None:
    inner = Level({"a": 1}, {"a": "inner: a"})
    outer = Level({"a": 2, "b": 3}, {"a": "outer: a", "b": "outer: b"})
    both = inner.over(outer)
    assert both.values == {"a": 1, "b": 3}
    assert both.places == {"a": "inner: a", "b": "outer: b"}
