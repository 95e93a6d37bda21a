"""Spans of time in the reader's zone: they hold now, and begin and end with whole hours, days and months of the wall's clock."""

import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.analytics.calendar import QUARTER_S, bounds
from collector.dashboard.display.spans import DAY_MS, HOUR_MS, NAMES, days_of, label, month_of, range_of, span_of, today_of

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"]
COUNTS = {"week": 7, "month": 30, "quarter": 90, "year": 12}


def ms(text: str, zone: str = "UTC") -> int:
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@given(st.integers(ms("2020-01-01"), ms("2035-01-01")), st.sampled_from(ZONES), st.sampled_from([*NAMES, "nonsense"]))
def test_spans_hold_now_in_their_last_period(now_ms: int, zone: str, name: str) -> None:
    """They lie on the quarters that sums are kept by, and have as many periods as their name says."""
    tz = ZoneInfo(zone)
    span = span_of(name, now_ms, tz)
    assert span.start_ms % (QUARTER_S * 1000) == span.end_ms % (QUARTER_S * 1000) == 0
    periods = bounds(span.every, span.start_ms // 1000 // QUARTER_S, span.end_ms // 1000 // QUARTER_S, tz)
    assert periods[-2] * QUARTER_S * 1000 <= now_ms < span.end_ms
    assert len(periods) - 1 == COUNTS.get(span.name, len(periods) - 1)
    today, month = today_of(now_ms, tz), month_of(now_ms, tz)
    assert month.start_ms <= today.start_ms <= now_ms < today.end_ms <= month.end_ms


@pytest.mark.parametrize(("date", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_day_of_a_change_of_time_has_its_own_length(date: str, hours: int) -> None:
    today = today_of(ms(f"{date} 12:00", "Europe/Berlin"), ZoneInfo("Europe/Berlin"))
    assert today.end_ms - today.start_ms == hours * HOUR_MS


def test_hours_are_those_of_the_wall() -> None:
    """In Kathmandu, 5:45 ahead of UTC, they end at a quarter past."""
    tz = ZoneInfo("Asia/Kathmandu")
    span = span_of("day", ms("2026-11-26 10:00"), tz)
    assert (span.end_ms, span.end_ms - span.start_ms) == (ms("2026-11-26 10:15"), DAY_MS)
    assert label(span.end_ms - HOUR_MS, "hour", tz) == "15:00"


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("first", "last", "every"),
    [("2026-10-25", "2026-10-25", "hour"), ("2026-03-01", "2026-03-31", "day"), ("2020-02-29", "2026-11-26", "month")],
)
def test_range_has_the_days_that_it_names(zone: str, first: str, last: str, every: str) -> None:
    """From the first one's midnight to the last one's end, by the wall's clock, and its days are those again."""
    tz = ZoneInfo(zone)
    span = range_of(first, last, tz)
    after = datetime.date.fromisoformat(last) + datetime.timedelta(days=1)
    assert (span.start_ms, span.end_ms, span.every) == (ms(first, zone), ms(after.isoformat(), zone), every)
    assert days_of(span, tz) == (first, last)


def test_year_has_twelve_months() -> None:
    span = span_of("year", ms("2026-11-26 10:00"), ZoneInfo("America/New_York"))
    assert (span.start_ms, span.end_ms) == (ms("2025-12-01", "America/New_York"), ms("2026-12-01", "America/New_York"))
