"""How figures are written for people: money, counts, moments and durations.

Rule: money is integer nano-dollars until it is text; an amount is rounded for reading, half up, and its exact decimal stands
beside it (`exact`). No float touches money.
"""

import datetime
import re
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from usage.pricing import dollars

_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]"
)
"""Controls, marks of direction and what takes no room; joiners (U+200C, U+200D), which scripts and emoji need, are none."""
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
    """The same amount, every digit of it, and cents at least."""
    if nano < 0:
        return "−" + exact(-nano)
    whole, _, part = dollars(nano).partition(".")
    return f"${int(whole):,}.{part.ljust(2, '0')}"


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


def visible(value: Any) -> Any:
    """A text as it may stand on a page: what turns the direction of its neighbours round, or shows as nothing, is shown as its
    number, so that no key is named like another one or like our own words."""
    if not isinstance(value, str) or _UNSEEN.search(value) is None:
        return value
    return type(value)(_UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", value))


def breakable(name: str) -> Markup:
    """A name such as `upstream_error`, which a narrow table may break behind its underscores."""
    return escape(name).replace("_", Markup("_<wbr>"))


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
