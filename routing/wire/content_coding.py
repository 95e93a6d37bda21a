"""Undoes a content coding that a provider, or what stands in front of it, used though we asked for none.

Strategy: the bytes decide, not the label: gzip shows itself, labelled or not, and what is labelled so and is plain stays plain.
Rule: what comes out is bounded, at once (PIECE_BYTES) and in all (`bytes_max`): a few kilobytes may stand for gigabytes.
Limits: gzip and deflate (zlib's form and the bare one), one coding; Brotli, zstd and the like are refused.
"""

import re
import zlib
from collections.abc import Sequence

PIECE_BYTES = 65_536
MEMBERS_MAX = 2_048
"""Of gzip in one body: in blocks of 64 KiB, as bgzip writes them, that is 128 MiB."""
GZIP_MAGIC = b"\x1f\x8b"
_PLAIN = re.compile(rb"[\t\n\r\x20-\x7e]{4,32}")
_CODINGS = {b"gzip", b"x-gzip", b"deflate"}


class Undecodable(Exception):
    """The body is in no coding that is undone here, or is broken."""


class DecodedTooLarge(Exception):
    """More comes out than is accepted."""


def coding_of(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The content coding that a response's head names, in lower case; empty when it names none."""
    value = b",".join(value for name, value in headers if name == b"content-encoding")
    named = [coding.strip().lower() for coding in value.split(b",")]
    return b",".join(coding for coding in named if coding not in (b"", b"identity"))


class Decoder:
    """Of one body. `put` what came, then `take` until it gives nothing."""

    def __init__(self, coding: bytes, bytes_max: int) -> None:
        self._coding = coding
        self._bytes_left = bytes_max
        self._waiting = b""
        self._is_decided = False
        self._inflate: zlib._Decompress | None = None
        self._members = 0

    def put(self, data: bytes) -> None:
        """More of the coded body."""
        self._waiting += data

    def take(self) -> bytes:
        """At most PIECE_BYTES of what it says; empty when more has to be put first. Undecodable, DecodedTooLarge."""
        if not self._is_decided and not self._decide(is_end=False):
            return b""
        if self._inflate is None:
            data, self._waiting = self._waiting[:PIECE_BYTES], self._waiting[PIECE_BYTES:]
        else:
            data = self._decode()
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            raise DecodedTooLarge
        return data

    def finish(self) -> None:
        """The body has ended, and all was taken. Undecodable: it was cut off."""
        if self._inflate is not None and not self._inflate.eof:
            raise Undecodable(f"the {self._coding.decode('latin-1') or 'gzip'} body is cut off")

    def end(self) -> None:
        """No more will be put: what is too short to show what it is, is plain."""
        if not self._is_decided:
            self._decide(is_end=True)

    def _decode(self) -> bytes:
        while self._waiting:
            assert self._inflate is not None
            if self._inflate.eof:
                if self._waiting == GZIP_MAGIC[:1]:
                    return b""
                if not self._waiting.startswith(GZIP_MAGIC):
                    self._waiting = b""  # zeros or junk behind the end, as gzip itself takes it
                    return b""
                self._members += 1
                if self._members > MEMBERS_MAX:
                    raise Undecodable(f"a gzip body of more than {MEMBERS_MAX} members")
                self._inflate = zlib.decompressobj(31)
            try:
                data = self._inflate.decompress(self._waiting, PIECE_BYTES)
            except zlib.error as error:
                raise Undecodable(str(error)) from None
            self._waiting = self._inflate.unconsumed_tail or self._inflate.unused_data
            if data:
                return data
        return b""

    def _decide(self, *, is_end: bool) -> bool:
        """What it is, by its first bytes."""
        head = self._waiting
        if len(head) < 4 and not is_end:
            return False
        self._is_decided = True
        if head.startswith(GZIP_MAGIC):
            self._inflate = zlib.decompressobj(31)
        elif self._coding and not _PLAIN.match(head) and head:
            if self._coding not in _CODINGS:
                raise Undecodable(f"content-encoding {self._coding[:40].decode('latin-1')} was not asked for")
            has_head = head[0] & 15 == 8 and len(head) > 1 and (head[0] << 8 | head[1]) % 31 == 0
            self._inflate = zlib.decompressobj(15 if has_head else -15)
        return True
