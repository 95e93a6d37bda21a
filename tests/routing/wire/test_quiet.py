"""What a provider may send without saying more of its answer: bounded by its amount, and far above what is honest."""

import gzip
from collections.abc import Callable

import pytest

from routing.metering.meter import Meter
from routing.rewrite.chat.stream import StreamRewrite
from routing.rewrite.identity import Identity
from routing.table.tariff import Tariff
from routing.wire.content_coding import Decoder, Undecodable
from routing.wire.quiet import (
    PIECE_BYTES_MIN,
    PIECES_MAX,
    QUIET_BYTES_MAX,
    QUIET_LINES_MAX,
    SLICE_BYTES,
    is_too_fine,
)
from routing.wire.sse import TooLong
from usage.flavor import Flavor
from usage.record import Rates

HI = b'data: {"id":"u","model":"m","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
EMPTY = HI.replace(b'{"content":"Hi"}', b"{}")
END = HI.replace(b'"finish_reason":null', b'"finish_reason":"stop"') + b"data: [DONE]\n\n"
FLOODS = {
    "comments": b": keep-alive\n\n",
    "colons": b":\n",
    "blank lines": b"\n",
    "blank lines, CRLF": b"\r\n",
    "carriage returns": b"\r",
    "long comments": b": " + b"x" * 5_000 + b"\n",
    "one comment": b":",
    "data with nothing": b"data:\n\n",
    "event names": b"event: ping\n\n",
    "ids": b"id: 7\n",
    "empty objects": b"data: {}\n\n",
    "events without a text": EMPTY,
    "events without choices": b'data: {"id":"u","choices":[]}\n\n',
    "empty texts": HI.replace(b"Hi", b""),
}


def rewriter(flavor: Flavor = Flavor.OPENAI) -> StreamRewrite:
    identity = Identity("gen-1", "a/b", flavor, "p")
    return StreamRewrite(identity, Meter(Tariff(Rates()), 10), include_usage=False, created=7, line_bytes_max=1 << 24)


def flood(rewrite: StreamRewrite, piece: bytes, read_bytes: int, bytes_max: int) -> int:
    """How many bytes of it are taken before it is enough."""
    taken = 0
    read = piece * max(read_bytes // len(piece), 1)
    while taken < bytes_max:
        taken += len(read)
        try:
            rewrite.feed(read)
        except TooLong:
            return taken
    raise AssertionError(f"{taken} bytes were taken")


@pytest.mark.parametrize("flavor", Flavor)
@pytest.mark.parametrize("read_bytes", [1_000, 65_536, 262_144])
@pytest.mark.parametrize("begins", [False, True])
@pytest.mark.parametrize("kind", FLOODS)
def test_flood_of_nothing_ends(kind: str, begins: bool, read_bytes: int, flavor: Flavor) -> None:
    """Whatever it is made of, before the answer and within it, however it is cut; what was said before stays said."""
    rewrite = rewriter(flavor)
    if begins:
        assert b"Hi" in rewrite.feed(HI)
    bytes_max = max(QUIET_BYTES_MAX, QUIET_LINES_MAX * len(FLOODS[kind])) + 2 * read_bytes
    flood(rewrite, FLOODS[kind], read_bytes, bytes_max)
    assert rewrite.meter.deltas == begins


def test_flood_that_comes_at_once_costs_a_slice() -> None:
    """It is seen before all that came with it was worked on."""
    rewrite = rewriter()
    with pytest.raises(TooLong):
        rewrite.feed(b"data: {}\n\n" * 1_000_000)
    assert rewrite._quiet_lines <= 2 * SLICE_BYTES // len(b"data: {}\n\n")


def test_text_before_a_flood_in_the_same_read_is_passed() -> None:
    """What the provider said is not lost with what came behind it."""
    rewrite = rewriter()
    padding = EMPTY * (SLICE_BYTES // len(EMPTY))
    with pytest.raises(TooLong):
        rewrite.feed(HI + padding + b"\n" * 300_000)
    assert b"Hi" in rewrite.close()


@pytest.mark.parametrize("piece", [b": keep-alive\n\n", b"\n", EMPTY, b"event: ping\ndata: {}\n\n"])
def test_honest_quiet_passes(piece: bytes) -> None:
    """An hour of signs of life, ten a second, and a text now and then: every byte that is the caller's arrives."""
    rewrite = rewriter()
    sent = rewrite.feed(HI)
    for second in range(3_600):
        for _ in range(10):
            sent += rewrite.feed(piece)
        if second % 600 == 599:
            sent += rewrite.feed(HI)
    sent += rewrite.feed(END) + rewrite.finish()
    assert sent.count(b'"Hi"') == 8
    assert rewrite.is_complete


@pytest.mark.parametrize("size", [SLICE_BYTES, SLICE_BYTES + 1, 3 * SLICE_BYTES, 10 * SLICE_BYTES])
def test_much_at_once_is_what_it_is_in_pieces(size: int) -> None:
    """A backlog of honest events is passed to the same bytes, whatever way it was cut."""
    data = (HI * (size // len(HI) + 1)) + END
    whole, pieces = rewriter(), rewriter()
    sent = whole.feed(data) + whole.finish()
    assert sent == b"".join(pieces.feed(data[at : at + 700]) for at in range(0, len(data), 700)) + pieces.finish()
    assert whole.meter.deltas == pieces.meter.deltas == size // len(HI) + 2


def test_one_long_event_is_no_flood() -> None:
    """A picture is one line of megabytes without a text."""
    rewrite = rewriter()
    event = HI.replace(b'"content":"Hi"', b'"images":["' + b"x" * (8 << 20) + b'"]')
    assert len(rewrite.feed(HI) + rewrite.feed(event)) > 8 << 20


@pytest.mark.parametrize(
    ("pieces", "size", "is_fine"),
    [
        (PIECES_MAX, 0, False),
        (PIECES_MAX + 1, PIECES_MAX + 1, False),
        (PIECES_MAX * 2, PIECES_MAX * 2, True),
        (1_000_000, 1_000_000, True),
        (1_000_000, 1_000_000 * PIECE_BYTES_MIN, False),
    ],
)
def test_body_in_crumbs_is_too_fine(pieces: int, size: int, is_fine: bool) -> None:
    """Many pieces are allowed to those that have something in them."""
    assert is_too_fine(pieces, size) == is_fine


@pytest.mark.parametrize("make", [lambda: gzip.compress(b""), lambda: gzip.compress(b"x")])
def test_gzip_of_many_members_is_refused(make: Callable[[], bytes]) -> None:
    """Each costs the making of a decompressor, and says next to nothing."""
    decoder = Decoder(b"gzip", 1 << 30)
    decoder.put(make() * 100_000)
    with pytest.raises(Undecodable, match="members"):
        any(not decoder.take() for _ in range(100_000))


def test_gzip_in_blocks_is_read() -> None:
    """As bgzip writes it: members of 64 KiB, and an empty one at the end."""
    block = bytes(65_280)
    decoder = Decoder(b"gzip", 1 << 30)
    decoder.put(gzip.compress(block) * 500 + gzip.compress(b""))
    size = 0
    while data := decoder.take():
        size += len(data)
    assert size == 500 * len(block)
