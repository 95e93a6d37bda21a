"""A coding that nobody asked for is undone within bounds, in every cut, or refused."""

import gzip
import zlib

import pytest

from routing.wire.content_coding import GZIP_MAGIC, PIECE_BYTES, DecodedTooLarge, Decoder, Undecodable, coding_of
from tests.routing.cuts import every_cut

TEXT = b'{"choices":[{"index":0}]}' * 3


def decoded(parts: list[bytes], coding: bytes, bytes_max: int = 1 << 20) -> bytes:
    decoder = Decoder(coding, bytes_max)
    out = b""
    for part in parts:
        decoder.put(part)
        while data := decoder.take():
            assert len(data) <= PIECE_BYTES
            out += data
    decoder.end()
    out += decoder.take()
    decoder.finish()
    return out


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (gzip.compress(TEXT), b"gzip"),
        (gzip.compress(TEXT), b"x-gzip"),
        (gzip.compress(TEXT), b"br"),
        (gzip.compress(TEXT), b""),
        (gzip.compress(TEXT[:9]) + gzip.compress(TEXT[9:]), b"gzip"),
        (gzip.compress(TEXT) + b"\0" * 9, b"gzip"),
        (zlib.compress(TEXT), b"deflate"),
        (zlib.compress(TEXT)[2:-4], b"deflate"),
        (TEXT, b"gzip"),
        (TEXT, b"deflate"),
        (TEXT, b"br"),
    ],
)
def test_body_is_decoded_in_every_cut(body: bytes, coding: bytes) -> None:
    """By its bytes: the label may be wrong, or missing."""
    for parts in every_cut(body):
        assert decoded(parts, coding) == TEXT


@pytest.mark.parametrize(
    ("headers", "coding"),
    [
        ([], b""),
        ([(b"content-type", b"gzip")], b""),
        ([(b"content-encoding", b"")], b""),
        ([(b"content-encoding", b"identity")], b""),
        ([(b"content-encoding", b" GZip ")], b"gzip"),
        ([(b"content-encoding", b"identity, gzip")], b"gzip"),
        ([(b"content-encoding", b"deflate"), (b"content-encoding", b"gzip")], b"deflate,gzip"),
        ([(b"content-encoding", b"identity"), (b"content-encoding", b"br")], b"br"),
    ],
)
def test_coding_of_a_head(headers: list[tuple[bytes, bytes]], coding: bytes) -> None:
    """However many lines it takes to say it; "identity" says nothing."""
    assert coding_of(headers) == coding


@pytest.mark.parametrize("body", [b"", b"{", b"\x1f", b"\x1f\x8b", b"ab", b"abc"])
@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b""])
def test_body_that_is_too_short_to_show_what_it_is(body: bytes, coding: bytes) -> None:
    """It waits for more; at its end it is plain, or cut off, or refused, and never lost in silence."""
    decoder = Decoder(coding, 1 << 20)
    decoder.put(body)
    assert decoder.take() == b""
    try:
        decoder.end()
        told = decoder.take()
        decoder.finish()
    except Undecodable:
        assert coding or body.startswith(GZIP_MAGIC)
    else:
        assert told == body


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (b"\x0b\x02\x80\x03", b"br"),
        (gzip.compress(TEXT)[:-9], b"gzip"),
        (zlib.compress(TEXT)[:-5], b"deflate"),
        (b"\x1f\x8b\x08\x00\xff\xff\xff\xff\xff\xff\xff\xff", b"gzip"),
        (b"\xff\xff\xff\xff\xff", b"deflate"),
        (b"\x0b\x02\x80\x03", b"gzip,gzip"),
    ],
)
def test_body_that_cannot_be_decoded_is_refused(body: bytes, coding: bytes) -> None:
    with pytest.raises(Undecodable):
        decoded([body], coding)


def test_body_that_grows_beyond_its_bound_is_refused() -> None:
    """A thousandfold, a piece at a time: never more than the bound and one piece in memory."""
    with pytest.raises(DecodedTooLarge):
        decoded([gzip.compress(b" " * (1 << 24))], b"gzip", 1 << 20)


def test_coding_is_read_from_the_head() -> None:
    assert coding_of([(b"content-type", b"x")]) == b""
    assert coding_of([(b"content-encoding", b"identity")]) == b""
    assert coding_of([(b"content-encoding", b" GZIP , identity")]) == b"gzip"
    assert coding_of([(b"content-encoding", b"gzip"), (b"content-encoding", b"br")]) == b"gzip,br"
