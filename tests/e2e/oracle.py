"""What a right answer is, computed apart from the code under test: prices by fractions, JSON objects by their raw members.

Rule: nothing here imports from the proxy's packages.
"""

import json
import math
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

INPUT, CACHED, OUTPUT = "0.123457", "0.061729", "0.654321"
"""Dollars per million tokens of the provider `mock`: odd enough that a cost is never whole nano-dollars by accident."""

_DECODER = json.JSONDecoder()
_BLANK = re.compile(r"[ \t\n\r]*")


def cost_nano(prompt: int, completion: int, cached: int = 0) -> int:
    """Tokens times price, rounded up once to a nano-dollar."""
    dollars = Fraction(INPUT) * (prompt - cached) + Fraction(CACHED) * cached + Fraction(OUTPUT) * completion
    return math.ceil(dollars / 1_000_000 * 1_000_000_000)


def nano(dollars: Any) -> int:
    """Nano-dollars of an amount as JSON holds it; decode with `parse_float=Decimal` where the last digit matters."""
    scaled = Decimal(str(dollars)) * 1_000_000_000
    assert scaled == scaled.to_integral_value(), f"{dollars} is no whole number of nano-dollars"
    return int(scaled)


def exact(raw: bytes) -> Any:
    """JSON with its decimals exact."""
    return json.loads(raw, parse_float=Decimal)


def spans(raw: bytes) -> dict[str, tuple[int, int]]:
    """Where the raw value of each top-level member of a JSON object stands, in bytes. The text must be ASCII or UTF-8."""
    text = raw.decode("latin-1")
    found: dict[str, tuple[int, int]] = {}
    at = _skip(text, 0)
    assert text[at] == "{"
    at = _skip(text, at + 1)
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        assert text[at] == ":"
        start = _skip(text, at + 1)
        _, at = _DECODER.raw_decode(text, start)
        found[name] = (start, at)
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def _skip(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    assert match is not None
    return match.end()


def member(raw: bytes, name: str) -> bytes:
    """The raw value of a top-level member; empty when there is none."""
    start, stop = spans(raw).get(name, (0, 0))
    return raw[start:stop]


def substituted(raw: bytes, values: dict[str, bytes], *, append: bool = False) -> bytes:
    """The object with these raw values in place of its own; a member that is not there is appended last, or left out."""
    places = spans(raw)
    for name in sorted((name for name in values if name in places), key=lambda name: -places[name][0]):
        start, stop = places[name]
        raw = raw[:start] + values[name] + raw[stop:]
    if append:
        end = raw.rindex(b"}")
        while raw[end - 1 : end].isspace():
            end -= 1
        for name, value in values.items():
            if name not in places:
                added = b'"%s":%s' % (name.encode(), value)
                raw = raw[:end] + b"," + added + raw[end:]
                end += len(added) + 1
    return raw


def events(body: bytes) -> list[bytes]:
    """The payloads of a stream's `data:` lines, `[DONE]` included."""
    lines = body.replace(b"\r\n", b"\n").split(b"\n")
    return [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
