"""Text is encoded and decoded as Node's Buffer and StringDecoder do it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txnodetls.errors import NodeTypeError
from txnodetls.streams.encodings import decoderFor, encodeText, encodingName


@pytest.mark.parametrize(
    ("text", "encoding", "expected"),
    [
        ("aé€😀", "utf8", "61c3a9e282acf09f9880"),
        ("\ud83d", "utf8", "efbfbd"),
        ("\ud83d\ude00", "UTF-8", "f09f9880"),
        ("a😀", "utf16le", "61003dd800de"),
        ("\ud83d", "ucs2", "3dd8"),
        ("é\u1234", "latin1", "e934"),
        ("é\u1234", "binary", "e934"),
        ("é\u1234", "ascii", "e934"),
        ("😀", "latin1", "3d00"),
        ("6162", "hex", "6162"),
        ("61 62", "hex", "61"),
        ("616", "hex", "61"),
        ("zz61", "hex", ""),
        ("YQ==", "base64", "61"),
        ("YQ==YQ==", "base64", "61"),
        ("YW=JjZA", "base64", "61"),
        ("Y Q\n=", "base64", "61"),
        ("a", "base64", ""),
        ("YWJjZ", "base64", "616263"),
        ("YWJj-_8", "base64", "616263fbff"),
        ("YWJj+/8", "base64url", "616263fbff"),
    ],
)
def test_encodeText(text: str, encoding: str, expected: str) -> None:
    assert encodeText(text, encoding).hex() == expected


@pytest.mark.parametrize(
    ("encoding", "chunks", "expected"),
    [
        ("utf8", ["e282", "ac"], "€"),
        ("utf8", ["f09f98"], "\ufffd"),
        ("utf8", ["e2", "28a1"], "\ufffd(\ufffd"),
        ("utf8", ["f0", "9f", "41"], "\ufffdA"),
        ("utf16le", ["3dd8", "00de"], "😀"),
        ("utf16le", ["3dd8"], "\ud83d"),
        ("utf16le", ["3dd800"], "\ud83d"),
        ("utf16le", ["61", "0062", "00"], "ab"),
        ("utf16le", ["61"], ""),
        ("base64", ["61", "6263", "64"], "YWJjZA=="),
        ("base64url", ["fbff", "64", "65"], "-_9kZQ"),
        ("hex", ["0a", "ff"], "0aff"),
        ("ascii", ["e161"], "aa"),
        ("latin1", ["e1", "61"], "áa"),
    ],
)
def test_aDecoderPutsPiecesTogether(encoding: str, chunks: list[str], expected: str) -> None:
    decoder = decoderFor(encoding)
    text = "".join(decoder.decode(bytes.fromhex(chunk)) for chunk in chunks)
    assert text + decoder.end() == expected


ALL = ["utf8", "utf16le", "latin1", "ascii", "hex", "base64", "base64url"]


@given(st.sampled_from(ALL), st.lists(st.binary(max_size=7)))
def test_whereChunksAreCutMakesNoDifference(encoding: str, chunks: list[bytes]) -> None:
    inPieces, atOnce = decoderFor(encoding), decoderFor(encoding)
    text = "".join(inPieces.decode(chunk) for chunk in chunks) + inPieces.end()
    assert text == atOnce.decode(b"".join(chunks)) + atOnce.end()


@given(st.sampled_from(["utf8", "utf16le"]), st.text())
def test_textComesBack(encoding: str, text: str) -> None:
    decoder = decoderFor(encoding)
    assert decoder.decode(encodeText(text, encoding)) + decoder.end() == text


@given(st.sampled_from(["latin1", "hex", "base64", "base64url"]), st.binary())
def test_bytesComeBack(encoding: str, data: bytes) -> None:
    decoder = decoderFor(encoding)
    assert encodeText(decoder.decode(data) + decoder.end(), encoding) == data


@given(st.sampled_from(ALL), st.text(st.characters()))
def test_noTextFails(encoding: str, text: str) -> None:
    assert isinstance(encodeText(text, encoding), bytes)


@pytest.mark.parametrize(
    ("given_", "normal"),
    [
        ("UTF-8", "utf8"),
        ("Binary", "latin1"),
        ("ucs-2", "utf16le"),
        ("UTF16LE", "utf16le"),
        ("utf-16le", "utf16le"),
        ("BASE64url", "base64url"),
    ],
)
def test_namesInAnyCase(given_: str, normal: str) -> None:
    assert encodingName(given_) == normal
    assert decoderFor(given_).encoding == normal


@pytest.mark.parametrize("encoding", ["buffer", "utf7", "", 5])
def test_anUnknownEncoding(encoding: object) -> None:
    with pytest.raises(NodeTypeError) as raised:
        encodingName(encoding)
    assert raised.value.code == "ERR_UNKNOWN_ENCODING"
    assert raised.value.message == f"Unknown encoding: {encoding}"


def test_noEncodingIsUtf8() -> None:
    assert decoderFor(None).encoding == "utf8"
