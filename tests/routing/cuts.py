"""One text fed in pieces: whole, byte by byte, and cut in two at every position."""

from collections.abc import Callable, Iterator


def pieces(text: bytes, size: int) -> list[bytes]:
    """`text` in pieces of `size` bytes."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def every_cut(text: bytes) -> Iterator[list[bytes]]:
    """Whole, byte by byte, then in two pieces at every inner position."""
    yield [text]
    yield pieces(text, 1)
    for at in range(1, len(text)):
        yield [text[:at], text[at:]]


def fed(feed: Callable[[bytes], bytes], parts: list[bytes]) -> bytes:
    """What comes out when the parts go in one after another."""
    return b"".join([feed(part) for part in parts])
