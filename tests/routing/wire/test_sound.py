"""How long a sound lasts, by its head: what the formats say, and that no bytes make it more, less or fail than can be."""

import random
import struct

import pytest

from routing.wire.sound import BYTES_PER_S_MIN, seconds_likely, seconds_max, seconds_told


def wave(seconds: float, rate: int = 16_000) -> bytes:
    size = int(seconds * rate * 2)
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16, b"data", size)
    return head + bytes(size)


def flac(seconds: int, rate: int = 44_100) -> bytes:
    packed = (rate << 44) | (15 << 36) | (seconds * rate)
    return b"fLaC" + bytes(14) + packed.to_bytes(8, "big") + bytes(seconds * 20_000)


def opus(seconds: int) -> bytes:
    page = b"OggS\x00\x04" + struct.pack("<q", seconds * 48_000) + bytes(13)
    return b"OggS" + bytes(24) + b"OpusHead" + bytes(seconds * 3_000) + page


def mp3(seconds: int, tag: bytes = b"") -> bytes:
    return tag + b"\xff\xfb\x90\x00" + bytes(seconds * 16_000 - 4)


@pytest.mark.parametrize("seconds", [1, 3, 60])
@pytest.mark.parametrize("make", [wave, flac, opus, mp3])
def test_length_by_the_head(make: object, seconds: int) -> None:
    """Of each format that tells it, rounded up."""
    sound = make(seconds)  # type: ignore[operator]
    assert seconds <= (seconds_told(sound) or 0) <= seconds + 1
    assert seconds_likely(sound) == seconds_max(sound) == seconds_told(sound)


def test_tag_before_the_frames_is_passed_over() -> None:
    """ID3v2: its size is in seven bits a byte."""
    tag = b"ID3\x04\x00\x00" + bytes((0, 0, 8, 0)) + bytes(1_024)
    assert seconds_told(mp3(5, tag)) == 5


@pytest.mark.parametrize("sound", [b"", b"RIFF", b"RIFF....WAVE", b"OggS", b"fLaC", b"ID3", b"\xff\xfb", b"text", bytes(9_000)])
def test_what_tells_nothing_is_judged_by_its_bytes(sound: bytes) -> None:
    """At the least that a sound takes, so that nobody is charged too little by a head that lies."""
    assert seconds_told(sound) is None
    assert seconds_max(sound) == -(-len(sound) // BYTES_PER_S_MIN)
    assert seconds_likely(sound) >= 1


def test_head_that_tells_of_too_little_is_not_believed() -> None:
    """A second in ten megabytes."""
    lying = flac(1) + bytes(10_000_000)
    assert seconds_told(lying) is None


def test_bytes_of_any_kind_have_a_length() -> None:
    """Mutated heads: never an error, never below one second, never more than the fewest bytes allow unless the head says so."""
    dice = random.Random(3)
    starts = [wave(0.1), flac(1)[:2_000], opus(1)[:2_000], mp3(1)[:2_000], b"ID3" + bytes(100)]
    for _ in range(20_000):
        mutated = bytearray(dice.choice(starts))
        for _ in range(dice.randrange(1, 12)):
            mutated[dice.randrange(min(len(mutated), 64))] = dice.randrange(256)
        sound = bytes(mutated[: dice.randrange(len(mutated))])
        told = seconds_told(sound)
        assert seconds_likely(sound) >= 1
        assert seconds_max(sound) >= 0
        assert told is None or told * 400_000 >= len(sound)
