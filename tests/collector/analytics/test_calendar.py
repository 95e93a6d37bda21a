"""Periods of a zone: midnights that are jumped over or come twice, half-hour shifts, days that a country never had."""

import datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.analytics.calendar import PERIODS, QUARTER_S, UnknownZone, bounds, floor, local, zone

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia",
    "Pacific/Chatham", "America/St_Johns", "Africa/Casablanca", "Asia/Beirut", "America/Sao_Paulo", "Pacific/Kiritimati",
    "Antarctica/Troll", "Atlantic/Azores",
)  # fmt: skip


def quarter(text: str, name: str = "UTC") -> int:
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=zone(name)).timestamp()) // QUARTER_S


@pytest.mark.parametrize(
    ("name", "day", "quarters"),
    [
        ("Europe/Berlin", "2026-03-29", 92),
        ("Europe/Berlin", "2026-10-25", 100),
        ("America/New_York", "2026-11-01", 100),
        ("Australia/Lord_Howe", "2026-04-05", 98),
        ("Asia/Beirut", "2026-03-29", 92),  # begins at 01:00
        ("America/Sao_Paulo", "2018-02-18", 96),
        ("America/Sao_Paulo", "2018-02-17", 100),  # ends at the second 23:59
        ("Pacific/Apia", "2011-12-29", 96),  # the 30th never was
        ("Asia/Kathmandu", "2026-01-01", 96),
    ],
)
def test_day_is_as_long_as_its_clock(name: str, day: str, quarters: int) -> None:
    tz = zone(name)
    start = floor("day", quarter(f"{day}T12:00", name), tz)
    found = bounds("day", start, start + 300, tz)
    assert found[1] - found[0] == quarters
    assert local(start, tz).date().isoformat() == day


def test_hour_that_comes_twice_is_two_hours() -> None:
    """Berlin's 2 o'clock on 25 October; Lord Howe's clock goes back by half an hour."""
    tz = zone("Europe/Berlin")
    found = bounds("hour", quarter("2026-10-25T00:00", "Europe/Berlin"), quarter("2026-10-25T05:00", "Europe/Berlin"), tz)
    assert [local(at, tz).hour for at in found[:-1]] == [0, 1, 2, 2, 3, 4]
    tz, name = zone("Australia/Lord_Howe"), "Australia/Lord_Howe"
    found = bounds("hour", quarter("2026-04-05T00:00", name), quarter("2026-04-05T04:00", name), tz)
    assert [stop - start for start, stop in pairwise(found)] == [4, 6, 4, 4]


QUARTERS = st.integers(quarter("1990-01-01"), quarter("2040-01-01"))


@given(st.sampled_from(ZONES), st.sampled_from(PERIODS), QUARTERS, st.integers(1, 3_000))
def test_periods_follow_one_another(name: str, period: str, first: int, length: int) -> None:
    """They cover the range exactly, and each begins where the calendar of the zone says that something new begins."""
    tz, end = zone(name), first + length
    found = bounds(period, first, end, tz)
    assert (found[0], found[-1]) == (first, end)
    assert all(start < stop for start, stop in pairwise(found))
    assert floor(period, first, tz) <= first
    for start in found[1:-1]:
        before, at = local(start - 1, tz), local(start, tz)
        if period == "day":
            assert before.date() < at.date()
        if period in ("month", "year"):
            assert (before.year, before.month) < (at.year, at.month)
        if period == "week":
            assert at.weekday() == 0 or before.weekday() > at.weekday()


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "utc\0", "Europe", "localtime", "x" * 10_000])
def test_zone_that_is_none(name: str) -> None:
    with pytest.raises(UnknownZone):
        zone(name)
