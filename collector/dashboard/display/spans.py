"""The spans of time that a page shows, in the reader's zone: a day by hours, weeks by days, a year by months.

Rule: a span ends with the present hour, day or month, and begins at the edge of one, so that its periods are whole.
"""

import datetime
from zoneinfo import ZoneInfo

import msgspec

HOUR_MS = 3_600_000
DAY_MS = 86_400_000


class Span(msgspec.Struct, frozen=True):
    """Unix milliseconds, half-open; `every` is the period of `collector.analytics`."""

    name: str
    every: str
    start_ms: int
    end_ms: int


NAMES = {"day": "24 hours", "week": "7 days", "month": "30 days", "quarter": "90 days", "year": "12 months"}
RANGE_DAYS_MAX = 3_660
HOURLY_DAYS_MAX, DAILY_DAYS_MAX = 3, 100
_DAYS = {"week": 7, "month": 30, "quarter": 90}


def span_of(name: str, now_ms: int, tz: ZoneInfo) -> Span:
    """The span called `name` that ends with now; 30 days for a name that is none."""
    today = _local(now_ms, tz).date()
    if name == "day":
        end_ms = _hour_end_ms(now_ms, tz)
        return Span(name, "hour", end_ms - DAY_MS, end_ms)
    if name == "year":
        return Span(name, "month", _ms(_months_later(today, -11), tz), _ms(_months_later(today, 1), tz))
    name = name if name in _DAYS else "month"
    return Span(name, "day", _ms(today - datetime.timedelta(days=_DAYS[name] - 1), tz), _ms(_tomorrow(today), tz))


def range_of(first: str, last: str, tz: ZoneInfo) -> Span:
    """The local days from `first` through `last` (2026-11-26), by hours, days or months as they are many.

    ValueError: a sentence for the reader.
    """
    try:
        start, end = datetime.date.fromisoformat(first), datetime.date.fromisoformat(last)
    except ValueError:
        raise ValueError("name the first and the last day, like 2026-11-26") from None
    days = (end - start).days + 1
    if days < 1:
        raise ValueError("the last day is before the first")
    if days > RANGE_DAYS_MAX or not 1970 < start.year <= end.year < 9990:
        raise ValueError("at most ten years can be shown at once")
    every = "hour" if days <= HOURLY_DAYS_MAX else "day" if days <= DAILY_DAYS_MAX else "month"
    return Span("range", every, _ms(start, tz), _ms(_tomorrow(end), tz))


def days_of(span: Span, tz: ZoneInfo) -> tuple[str, str]:
    """The first and the last local day of a span."""
    return _local(span.start_ms, tz).date().isoformat(), _local(span.end_ms - 1, tz).date().isoformat()


def today_of(now_ms: int, tz: ZoneInfo) -> Span:
    """This day."""
    today = _local(now_ms, tz).date()
    return Span("today", "", _ms(today, tz), _ms(_tomorrow(today), tz))


def month_of(now_ms: int, tz: ZoneInfo) -> Span:
    """This month."""
    today = _local(now_ms, tz).date()
    return Span("this month", "", _ms(_months_later(today, 0), tz), _ms(_months_later(today, 1), tz))


def label(start_ms: int, every: str, tz: ZoneInfo) -> str:
    """Of a period, for an axis."""
    moment = _local(start_ms, tz)
    return {"hour": f"{moment:%H:%M}", "month": f"{moment:%b %y}"}.get(every, f"{moment.day} {moment:%b}")


def title(start_ms: int, every: str, tz: ZoneInfo) -> str:
    """Of a period, in full."""
    moment = _local(start_ms, tz)
    return {"hour": f"{moment:%A, %d %B, %H:%M}", "month": f"{moment:%B %Y}"}.get(every, f"{moment:%A, %d %B %Y}")


def _local(time_ms: int, tz: ZoneInfo) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(time_ms / 1000, tz)


def _hour_end_ms(now_ms: int, tz: ZoneInfo) -> int:
    """An hour ends when the clock on the wall says :00, which in a zone of :30 is at no whole hour of UTC."""
    moment = _local(now_ms, tz)
    return now_ms // 1000 * 1000 + (3_600 - moment.minute * 60 - moment.second) * 1000


def _tomorrow(date: datetime.date) -> datetime.date:
    return date + datetime.timedelta(days=1)


def _months_later(date: datetime.date, months: int) -> datetime.date:
    """The first of the month so many months later."""
    year, month = divmod(date.year * 12 + date.month - 1 + months, 12)
    return datetime.date(year, month + 1, 1)


def _ms(date: datetime.date, tz: ZoneInfo) -> int:
    return int(datetime.datetime(date.year, date.month, date.day, tzinfo=tz).timestamp()) * 1000
