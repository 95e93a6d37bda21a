"""How figures are written for people: money, counts, moments and durations.

Rule: money is integer nano-dollars until it is text; an amount is rounded for reading, half up, and its exact decimal stands
beside it (`exact`). No float touches money.
"""

import datetime
from zoneinfo import ZoneInfo

from usage.pricing import dollars

_SCALES = ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k"))


def money(nano: int) -> str:
    """Dollars for reading: cents, and of less than ten cents as many digits as show two figures of it."""
    if nano < 0:
        return "−" + money(-nano)
    decimals = 2
    while nano and decimals < 9 and nano < 10 ** (10 - decimals):
        decimals += 1
    unit = 10 ** (9 - decimals)
    rounded = (nano + unit // 2) // unit
    whole, part = divmod(rounded, 10**decimals)
    return f"${whole:,}.{part:0{decimals}d}"


def exact(nano: int) -> str:
    """The same amount, every digit of it."""
    return f"${dollars(nano)}" if nano >= 0 else f"−${dollars(-nano)}"


def count(number: int) -> str:
    """A whole number, thousands apart."""
    return f"{number:,}"


def short(number: int) -> str:
    """A whole number in three figures: 12.3k, 4.56M."""
    for scale, letter in _SCALES:
        if number >= scale * 999_500 // 1_000_000 and number >= 1_000:
            figure = number / scale
            return (f"{figure:.3g}" if figure < 1_000 else f"{figure:.0f}") + letter
    return str(number)


def moment(time_ms: int, zone: ZoneInfo) -> str:
    """A date and a time of day, in a zone."""
    return f"{datetime.datetime.fromtimestamp(time_ms / 1000, zone):%Y-%m-%d %H:%M:%S}"


def ago(time_ms: int, now_ms: int) -> str:
    """How long ago, in one unit."""
    seconds = max(now_ms - time_ms, 0) // 1000
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {name} ago"
    return f"{seconds} s ago"


def duration(milliseconds: int) -> str:
    """A duration, in milliseconds or seconds."""
    return f"{milliseconds} ms" if milliseconds < 1_000 else f"{milliseconds / 1000:.2f} s"
