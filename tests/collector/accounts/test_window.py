"""Windows of a spending limit: UTC days, weeks from Monday, calendar months."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.accounts.window import DAY_MS, date_of, day_from_date, day_of, first_day


@given(st.datetimes(datetime.datetime(1970, 1, 5), datetime.datetime(2200, 1, 1)))
def test_window_begins_where_the_calendar_says(moment: datetime.datetime) -> None:
    """Against the calendar of the standard library."""
    time_ms = int(moment.replace(tzinfo=datetime.UTC).timestamp() * 1000)
    date = moment.date()
    assert date_of(day_of(time_ms)) == date.isoformat()
    assert date_of(first_day("daily", time_ms)) == date.isoformat()
    assert date_of(first_day("weekly", time_ms)) == (date - datetime.timedelta(date.weekday())).isoformat()
    assert date_of(first_day("monthly", time_ms)) == date.replace(day=1).isoformat()
    assert first_day("none", time_ms) == 0


def test_window_day_from_date_is_the_inverse_and_refuses_no_date() -> None:
    """`date_of` and `day_from_date` undo each other."""
    assert day_from_date(date_of(20_000)) == 20_000 == day_of(20_000 * DAY_MS)
    with pytest.raises(ValueError, match="month"):
        day_from_date("2026-13-01")
