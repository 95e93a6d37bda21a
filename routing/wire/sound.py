"""How long a sound lasts, as far as its head tells: for who is billed by the second and is told nothing by the provider.

Source: RIFF/WAVE, MPEG audio frames, Ogg (RFC 3533, RFC 7845), FLAC (RFC 9639), ISO base media (`mvhd`).
Limits: what is not recognised is judged by its bytes: at BYTES_PER_S_LIKELY, and never less than BYTES_PER_S_MIN.
"""

import re
from typing import Final

BYTES_PER_S_MIN: Final = 750
"""Opus at 6 kbit/s: there is hardly a sound that takes less."""
BYTES_PER_S_LIKELY: Final = 4_000
HEAD_BYTES: Final = 65_536
_MP3_RATES: Final = {
    # MPEG version bits → kbit/s by index, of layer III
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
    0: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
_MP3_FRAME: Final = re.compile(rb"\xff[\xe0-\xff][\x10-\xef]", re.DOTALL)


def seconds_max(data: bytes | memoryview) -> int:
    """No sound in so many bytes is longer, as far as it is known."""
    found = seconds_told(data)
    return -(-len(data) // BYTES_PER_S_MIN) if found is None else found


def seconds_likely(data: bytes | memoryview) -> int:
    """How long it most likely lasts, at least 1."""
    found = seconds_told(data)
    return max(-(-len(data) // BYTES_PER_S_LIKELY) if found is None else found, 1)


def seconds_told(data: bytes | memoryview) -> int | None:
    """What the head says, rounded up; None when it says nothing that can be read, or less than can be."""
    head, size = bytes(data[:HEAD_BYTES]), len(data)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        found = _wave(head, size)
    elif head[:4] == b"OggS":
        found = _ogg(bytes(data[-HEAD_BYTES:]), head)
    elif head[:4] == b"fLaC":
        found = _flac(head)
    elif head[:3] == b"ID3" or _MP3_FRAME.match(head):
        found = _mp3(head, size)
    else:
        return None
    # A head that tells of less than a fortieth of what such bytes may hold is not believed.
    return found if found is not None and found * 400_000 >= size else None


def _wave(head: bytes, size: int) -> int | None:
    at = head.find(b"fmt ")
    if at < 0 or len(head) < at + 20:
        return None
    rate = int.from_bytes(head[at + 16 : at + 20], "little")
    return -(-size // rate) if rate >= BYTES_PER_S_MIN else None


def _ogg(tail: bytes, head: bytes) -> int | None:
    at = tail.rfind(b"OggS")
    if at < 0 or len(tail) < at + 14:
        return None
    granules = int.from_bytes(tail[at + 6 : at + 14], "little")
    vorbis = head.find(b"\x01vorbis")
    rate = int.from_bytes(head[vorbis + 12 : vorbis + 16], "little") if vorbis >= 0 else 48_000
    return -(-granules // rate) if rate and granules < 1 << 48 else None


def _flac(head: bytes) -> int | None:
    if len(head) < 26:
        return None
    packed = int.from_bytes(head[18:26], "big")
    rate, samples = packed >> 44, packed & ((1 << 36) - 1)
    return -(-samples // rate) if rate and samples else None


def _mp3(head: bytes, size: int) -> int | None:
    start = 0
    if head[:3] == b"ID3" and len(head) > 10:
        start = 10 + sum((head[6 + at] & 0x7F) << (21 - 7 * at) for at in range(4))
    found = _MP3_FRAME.search(head, start)
    if found is None:
        return None
    at = found.start()
    version, rate = (head[at + 1] >> 3) & 3, head[at + 2] >> 4
    kbits = _MP3_RATES.get(version, ())[rate : rate + 1]
    return -(-(size - start) * 8 // (kbits[0] * 1_000)) if kbits and kbits[0] else None
