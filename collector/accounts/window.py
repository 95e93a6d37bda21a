"""Spending windows of a limited key: UTC days, weeks from Monday, calendar months.

Rule: days are counted from the Unix epoch; a window is named by its first day. No clock: the time is an argument.
"""

import datetime

DAY_MS = 86_400_000
RESETS = ("none", "daily", "weekly", "monthly")
_EPOCH = datetime.date(1970, 1, 1)


def day_of(time_ms: int) -> int:
    """The UTC day of a Unix time in milliseconds."""
    return time_ms // DAY_MS


def date_of(day: int) -> str:
    """`YYYY-MM-DD` of a day."""
    return (_EPOCH + datetime.timedelta(days=day)).isoformat()


def day_from_date(text: str) -> int:
    """The day of `YYYY-MM-DD`; ValueError when it is no such date."""
    return (datetime.date.fromisoformat(text) - _EPOCH).days


def first_day(reset: str, time_ms: int) -> int:
    """The first day of the window that `time_ms` lies in; 0 for a limit that never resets."""
    day = day_of(time_ms)
    if reset == "daily":
        return day
    if reset == "weekly":
        return day - (day + 3) % 7
    if reset == "monthly":
        return day - (_EPOCH + datetime.timedelta(days=day)).day + 1
    return 0
