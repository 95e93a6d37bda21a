"""When to come back, in every form in which a provider says it: headers, members of the error body, the last words of a message.

Strategy: what is said on purpose comes first (`retry-after-ms`, `retry-after`, Google's RetryInfo), then the end of a rate
window that is used up (`x-ratelimit-reset-*` beside `x-ratelimit-remaining-*`), then the words of the message.
Rule: every wait is bounded, and what cannot be read is not said: a typing error of a provider closes nothing.
Sources: RFC 9110 10.2.3; draft-ietf-httpapi-ratelimit-headers; OpenAI, Azure, Anthropic, Groq, Cerebras, OpenRouter on rate
limits; google.rpc.RetryInfo.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from usage.retry_after import wait_s_of

Headers = list[tuple[bytes, bytes]]

RETRY_AFTER_S_MAX: Final = 86_400.0
UNTIL_S_MAX: Final = 31 * 86_400.0
"""A date by which a budget is renewed is at most a month away."""

_ON_PURPOSE: Final = ((b"retry-after-ms", 0.001), (b"x-ms-retry-after-ms", 0.001), (b"retry-after", 1.0), (b"x-retry-after", 1.0))
_RESET: Final = re.compile(rb"(x-ratelimit-|anthropic-ratelimit-|ratelimit-)(?:reset(?:-(.+))?|(.+)-reset)\Z")
_CLOCK: Final = re.compile(r"\breplenished in (?:(\d{1,3})\.)?(\d{1,2}):(\d{2}):(\d{2})\b", re.IGNORECASE)
"""Azure's API Management: days, hours, minutes, seconds."""
_NUMBER: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,12})?\Z")
_PARTS: Final = re.compile(
    r"([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*(ms|us|µs|ns|milliseconds?|h|hours?|m|min|minutes?|s|sec|seconds?|d|days?)(?![a-z])", re.I
)
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "mi": 60.0, "m": 60.0, "s": 1.0, "h": 3600.0, "d": 86_400.0}
_IN_WORDS: Final = re.compile(
    r"(?:try again|retry|wait|retry after|available|reset)\s+(?:in|after|for)?\s*:?\s*((?:[0-9.]+\s*[a-zµ]+\s*){1,4})",
    re.IGNORECASE,
)
_MONTHS: Final = "janfebmaraprmayjunjulaugsepoctnovdec"
_UNTIL: Final = re.compile(
    r"(?:regain access|resets?|renewed?|available again|until|try again)\s+(?:on|at|by)?\s*"
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}|[A-Z][a-z]{2,8}\.? [0-9]{1,2}(?:st|nd|rd|th)?,? [0-9]{4})"
    r"(?:[T ]|\s+at\s+)?([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?",
    re.IGNORECASE,
)


def stated_wait_s(headers: Headers, waits: Mapping[str, object], message: str, now_unix_s: float) -> float | None:
    """Seconds that the provider asks us to wait; None if it does not.

    `waits` are the members of its error body that speak of waiting (`retryDelay`, `retry_after`, …), by name.
    """
    wait_s = retry_after_s(headers, now_unix_s)
    if wait_s is None:
        wait_s = _of_body(waits, now_unix_s)
    if wait_s is None:
        wait_s = _of_windows(headers, now_unix_s)
    if wait_s is None and (said := _IN_WORDS.search(message)):
        wait_s = duration_s(said[1])
    return None if wait_s is None else min(wait_s, RETRY_AFTER_S_MAX)


def retry_after_s(headers: Headers, now_unix_s: float) -> float | None:
    """What `retry-after-ms`, else `retry-after` asks for; None if there is none that can be read. Some write a duration there
    ("1m30s"), or the moment in Unix time: read as seconds it would close a target for as long as we believe anybody."""
    values = dict(headers)
    for name, scale in _ON_PURPOSE:
        if (value := values.get(name)) is not None:
            text = value.decode("latin-1").strip()
            wait_s = _reset(text, now_unix_s) if scale == 1.0 else _of_milliseconds(text, now_unix_s)
            if wait_s is not None:
                return min(wait_s, RETRY_AFTER_S_MAX)
    return None


def until_s(message: str, now_unix_s: float) -> float | None:
    """Seconds until the date that a message names as the end of an exhaustion ("regain access on 2026-12-01 at 00:00 UTC")."""
    if clock := _CLOCK.search(message):
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return min(days * 86_400.0 + hours * 3_600 + minutes * 60 + seconds, UNTIL_S_MAX) or None
    said = _UNTIL.search(message)
    if said is None:
        return None
    try:
        day = said[1] if said[1][0].isdigit() else _in_figures(said[1])
        moment = datetime.fromisoformat(f"{day}T{said[2] or '00:00'}").replace(tzinfo=UTC)
    except ValueError:
        return None
    wait_s = moment.timestamp() - now_unix_s
    return min(wait_s, UNTIL_S_MAX) if wait_s > 0 else None


def _in_figures(date: str) -> str:
    """ "December 1st, 2026" as "2026-12-01". ValueError when it is no date."""
    month, day, year = date.replace(",", "").split()
    number = _MONTHS.index(month[:3].lower()) // 3 + 1
    return f"{year}-{number:02}-{int(day.rstrip('stndrh')):02}"


def duration_s(text: str) -> float | None:
    """Seconds of "34.4s", "6m0s", "1h2m", "20ms", "7 minutes"; None when it is no duration."""
    parts = list(_PARTS.finditer(text.strip()))
    if not parts or parts[0].start():
        return None
    return sum(float(part[1]) * (_UNITS.get(part[2].lower()) or _unit(part[2].lower())) for part in parts)


def _unit(name: str) -> float:
    if name.startswith("milli"):
        return 1e-3
    return _UNITS[name[:2]] if name.startswith("mi") else _UNITS[name[0]]


def _number(text: str, scale: float = 1.0) -> float | None:
    return float(text) * scale if _NUMBER.match(text) else None


def _of_body(waits: Mapping[str, object], now_unix_s: float) -> float | None:
    for name, value in waits.items():
        text = str(value).strip()
        number = _number(text, 0.001 if name.lower().endswith(("ms", "millis")) else 1.0)
        wait_s = _moment(number, now_unix_s) if number is not None else duration_s(text)
        if wait_s is not None:
            return wait_s
    return None


def _of_windows(headers: Headers, now_unix_s: float) -> float | None:
    """Until the last of the used-up windows is renewed; where none is said to be used up, the first that is renewed."""
    values = dict(headers)
    used_up: list[float] = []
    others: list[float] = []
    for name, value in headers:
        if name == b"ratelimit":
            for left, limit_s in _structured(value, now_unix_s):
                (used_up if left == 0 else others).append(limit_s)
            continue
        if not _RESET.match(name):
            continue
        wait_s = _reset(value.decode("latin-1").strip(), now_unix_s)
        if wait_s is None:
            continue
        remaining = name.replace(b"-reset", b"-remaining")
        left = _number(values.get(remaining, b"").decode("latin-1").strip())
        (used_up if left == 0 else others).append(wait_s)
    return max(used_up) if used_up else min(others, default=None)


def _structured(value: bytes, now_unix_s: float) -> Iterator[tuple[float | None, float]]:
    """(what is left, seconds until more) of each limit in the IETF's header: `"default";r=0;t=30, "daily";r=9;t=3600`."""
    for limit in value.decode("latin-1").split(","):
        parameters = dict(each.strip().partition("=")[::2] for each in limit.split(";")[1:])
        wait_s = _number(parameters.get("t", ""))
        if wait_s is not None:
            yield _number(parameters.get("r", "")), _moment(wait_s, now_unix_s)


def reset_of(value: bytes, now_unix_s: float) -> float | None:
    """Seconds until the end of a window, as the value of a `…-reset-…` header says it; None when it cannot be read."""
    return _reset(value.decode("latin-1").strip(), now_unix_s) if value else None


def _of_milliseconds(text: str, now_unix_s: float) -> float | None:
    number = _number(text)
    if number is None:
        return duration_s(text)
    return _moment(number, now_unix_s) if number >= 1e11 else number / 1000.0


def _reset(text: str, now_unix_s: float) -> float | None:
    """A window's end: seconds, a Go duration, an epoch in seconds or milliseconds, a date."""
    number = _number(text)
    if number is not None:
        return _moment(number, now_unix_s)
    wait_s = duration_s(text)
    return wait_s if wait_s is not None else wait_s_of(text, now_unix_s)


def _moment(number: float, now_unix_s: float) -> float:
    """Numbers beyond any wait are moments: Unix time in seconds or milliseconds."""
    if number < 1e9:
        return number
    return max((number / 1000.0 if number >= 1e11 else number) - now_unix_s, 0.0)
