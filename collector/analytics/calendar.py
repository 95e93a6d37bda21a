"""Where the hours, days, weeks, months and years of a time zone begin, in quarters of an hour since the Unix epoch.

Rule: zones are IANA names; a period is half-open and begins at its first local instant, so that a day of 23, 24 or 25 hours is
one day, an hour that a clock runs through twice is two hours, and periods follow one another without a gap.
Limits: offsets of today's zones are whole quarters. Those before 1972 that are not begin at the quarter before.
"""

import datetime
from collections.abc import Iterator
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

PERIODS = ("quarter", "hour", "day", "week", "month", "year")
QUARTER_S = 900
QUARTER_MAX = 253_402_300_800 // QUARTER_S - 96 * 800
"""Some two years before the end of the year 9999, where the calendar of Python ends."""


class UnknownZone(ValueError):
    """No zone of that name in the IANA database."""


@lru_cache(1)
def _names() -> frozenset[str]:
    return frozenset(available_timezones()) - {"localtime", "posixrules", "Factory"}


@lru_cache(64)
def zone(name: str) -> ZoneInfo:
    """The zone of an IANA name such as `Asia/Kolkata`; UnknownZone."""
    if name not in _names():
        raise UnknownZone(f"{name[:64]!r} is no IANA time zone such as 'UTC', 'Europe/Berlin' or 'Asia/Kolkata'")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnknownZone(f"the time zone {name[:64]!r} cannot be read here") from error


def local(quarter: int, tz: ZoneInfo) -> datetime.datetime:
    """The local time at which a quarter begins."""
    return datetime.datetime.fromtimestamp(quarter * QUARTER_S, tz)


def bounds(period: str, first: int, end: int, tz: ZoneInfo) -> list[int]:
    """First quarters of the periods that [first, end) touches, cut at both ends: `first`, …, `end`. Ascending, no two equal."""
    assert period in PERIODS or not period
    found = [first]
    if period == "quarter":
        found += range(first + 1, end)
    elif period == "hour":
        found += [start for start in _hours(first, end, tz) if first < start < end]
    elif period:
        for start in _starts(period, first, end, tz):
            if start > found[-1] and start < end:
                found.append(start)
    return [*found, end] if end > first else found


def floor(period: str, quarter: int, tz: ZoneInfo) -> int:
    """The first quarter of the period that `quarter` lies in."""
    if period == "quarter":
        return quarter
    if period == "hour":
        return quarter - local(quarter, tz).minute // 15
    return next(start for start in _starts(period, quarter, quarter + 1, tz))


def _hours(first: int, end: int, tz: ZoneInfo) -> Iterator[int]:
    at = first - local(first, tz).minute // 15
    while at < end:
        yield at
        at += 4
        at += -(local(at, tz).minute // 15) % 4  # where a zone shifts by half an hour, one hour is 90 minutes


def _starts(period: str, first: int, end: int, tz: ZoneInfo) -> Iterator[int]:
    day = local(first, tz).date()
    if period == "week":
        day -= datetime.timedelta(days=day.weekday())
    elif period != "day":
        day = day.replace(day=1, month=day.month if period == "month" else 1)
    while (start := _midnight(day, tz)) < end:
        yield start
        day = _next(period, day)


def _next(period: str, day: datetime.date) -> datetime.date:
    if period == "day":
        return day + datetime.timedelta(days=1)
    if period == "week":
        return day + datetime.timedelta(days=7)
    if period == "year" or day.month == 12:
        return day.replace(year=day.year + 1, month=1)
    return day.replace(month=day.month + 1)


def _midnight(day: datetime.date, tz: ZoneInfo) -> int:
    """A midnight that a clock jumped over is the instant of the jump, one that came twice the first of the two."""
    return int(datetime.datetime(day.year, day.month, day.day, tzinfo=tz).timestamp()) // QUARTER_S
