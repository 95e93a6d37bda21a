"""Waits: every form in which providers say when to come back, and nothing that cannot be read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.failures.retry_after import (
    RETRY_AFTER_S_MAX,
    UNTIL_S_MAX,
    Headers,
    duration_s,
    reset_of,
    retry_after_s,
    stated_wait_s,
    until_s,
)

NOW = 1_764_000_000.0


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ([], None),
        ([(b"retry-after", b"3")], 3.0),
        ([(b"retry-after", b"0")], 0.0),
        ([(b"retry-after", b"0.25")], 0.25),
        ([(b"retry-after", b"-3")], None),
        ([(b"retry-after", b"nan")], None),
        ([(b"retry-after", b"1e9")], None),
        ([(b"retry-after", b"1000000000")], RETRY_AFTER_S_MAX),
        ([(b"retry-after", b"soon")], None),
        ([(b"retry-after", b"")], None),
        ([(b"retry-after", b"3"), (b"retry-after-ms", b"1500")], 1.5),
        ([(b"retry-after", b"3"), (b"retry-after-ms", b"x")], 3.0),
        ([(b"x-ms-retry-after-ms", b"700")], 0.7),
        ([(b"retry-after", b"Thu, 01 Jan 1970 00:01:40 GMT")], 90.0),
        ([(b"retry-after", b"Thu, 01 Jan 1970 00:00:01 GMT")], 0.0),
        ([(b"retry-after", b"1970-01-01T00:01:40Z")], 90.0),
        ([(b"retry-after", b"1970-01-01 00:01:40")], 90.0),
    ],
)
def test_wait_of_the_header(headers: Headers, wait_s: float | None) -> None:
    """Milliseconds before seconds before a date; what is none of them is no wish."""
    assert retry_after_s(headers, 10.0) == (wait_s if wait_s is None else pytest.approx(wait_s))


@pytest.mark.parametrize(
    "name", [b"retry-after", b"x-retry-after", b"x-ratelimit-reset-requests", b"anthropic-ratelimit-tokens-reset"]
)
@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        (b"1m30s", 90.0),
        (b"6ms", 0.006),
        (b"30s", 30.0),
        (b" 2.5 ", 2.5),
        (b"1764000030", 30.0),
        (b"1764000030000", 30.0),
        (b"1763999990", 0.0),
        (b"Mon, 24 Nov 2025 16:00:30 GMT", 30.0),
        (b"Monday, 24-Nov-25 16:00:30 GMT", 30.0),
        (b"Mon Nov 24 16:00:30 2025", 30.0),
        (b"2025-11-24T16:00:30Z", 30.0),
        (b"2025-11-24T18:00:30+02:00", 30.0),
        (b"Wed, 24 Nov 1999 16:00:30 GMT", 0.0),
        (b"Sat, 24 Nov 2125 16:00:30 GMT", RETRY_AFTER_S_MAX),
        (b"999999999", RETRY_AFTER_S_MAX),
        (b"999999999999999", RETRY_AFTER_S_MAX),
        (b"99999h", RETRY_AFTER_S_MAX),
        (b"9" * 40, None),
        (b"-3", None),
        (b"1e9", None),
        (b"inf", None),
        (b"30, 40", None),
        (b"\xff", None),
    ],
)
def test_wait_in_every_form_under_every_name(name: bytes, value: bytes, wait_s: float | None) -> None:
    """Seconds, durations, moments in Unix time, the three HTTP dates and ISO's; what is past is no wait, what is absurd is
    bounded, what cannot be read is not said."""
    found = stated_wait_s([(name, value)], {}, "", NOW)
    assert found == (wait_s if wait_s is None else pytest.approx(wait_s))


@pytest.mark.parametrize(
    ("value", "wait_s"), [(b"1500", 1.5), (b"250ms", 0.25), (b"2s", 2.0), (b"1764000030000", 30.0), (b"0", 0.0), (b"soon", None)]
)
def test_wait_in_milliseconds(value: bytes, wait_s: float | None) -> None:
    """A bare number is milliseconds; a unit that stands there is believed."""
    for name in (b"retry-after-ms", b"x-ms-retry-after-ms"):
        assert stated_wait_s([(name, value)], {}, "", NOW) == wait_s


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ([(b"x-ratelimit-reset-requests", b"12ms")], 0.012),
        ([(b"x-ratelimit-reset-requests", b"6m0s")], 360.0),
        ([(b"x-ratelimit-reset-tokens", b"1h2m3.5s")], 3723.5),
        ([(b"x-ratelimit-reset-requests", b"1s"), (b"x-ratelimit-reset-tokens", b"20s")], 1.0),
        (
            [
                (b"x-ratelimit-reset-requests", b"1s"),
                (b"x-ratelimit-reset-tokens", b"20s"),
                (b"x-ratelimit-remaining-requests", b"9"),
                (b"x-ratelimit-remaining-tokens", b"0"),
            ],
            20.0,
        ),
        ([(b"x-ratelimit-reset", b"30")], 30.0),
        ([(b"x-ratelimit-reset", b"1764000030")], 30.0),
        ([(b"x-ratelimit-reset", b"1764000030000")], 30.0),
        ([(b"x-ratelimit-reset", b"1763999999")], 0.0),
        ([(b"x-ratelimit-reset-requests-day", b"3600.5"), (b"x-ratelimit-reset-tokens-minute", b"11.2")], 11.2),
        (
            [
                (b"x-ratelimit-reset-requests-day", b"3600.5"),
                (b"x-ratelimit-remaining-requests-day", b"0"),
                (b"x-ratelimit-reset-tokens-minute", b"11.2"),
                (b"x-ratelimit-remaining-tokens-minute", b"5000"),
            ],
            3600.5,
        ),
        (
            [
                (b"anthropic-ratelimit-tokens-reset", b"2025-11-24T16:00:40Z"),
                (b"anthropic-ratelimit-tokens-remaining", b"0"),
                (b"anthropic-ratelimit-requests-reset", b"2025-11-24T16:00:05Z"),
                (b"anthropic-ratelimit-requests-remaining", b"3"),
            ],
            40.0,
        ),
        ([(b"ratelimit-reset", b"9")], 9.0),
        ([(b"ratelimit", b'"default";r=0;t=30')], 30.0),
        ([(b"ratelimit", b'"minute";r=0;t=30, "day";r=900;t=7200')], 30.0),
        ([(b"ratelimit", b'"minute";r=5;t=30, "day";r=0;t=7200')], 7200.0),
        ([(b"ratelimit", b"limit=100, remaining=0, reset=30")], None),
        ([(b"ratelimit", b"default;t=soon;r=")], None),
        ([(b"x-ratelimit-reset-requests", b"6m0s"), (b"x-ratelimit-reset-requests", b"-6m0s")], 360.0),
        ([(b"retry-after", b"soon"), (b"x-ratelimit-reset-requests", b"6m0s")], 360.0),
        ([(b"retry-after", b"-5"), (b"retry-after-ms", b"-5"), (b"x-ratelimit-reset", b"2025-11-24T16:00:09Z")], 9.0),
        ([(b"retry-after", b"0"), (b"x-ratelimit-reset-requests", b"6m0s")], 0.0),
        ([(b"x-ratelimit-reset", b"whenever")], None),
        ([(b"retry-after", b"2"), (b"x-ratelimit-reset", b"30")], 2.0),
    ],
)
def test_wait_of_the_windows(headers: Headers, wait_s: float | None) -> None:
    """Go durations, seconds, epochs and dates; the window that is used up decides."""
    found = stated_wait_s(headers, {}, "", NOW)
    assert found == (wait_s if wait_s is None else pytest.approx(wait_s))


@pytest.mark.parametrize(
    ("waits", "wait_s"),
    [
        ({"retryDelay": "34.4s"}, 34.4),
        ({"retry_after": 5}, 5.0),
        ({"retry_after_ms": 250}, 0.25),
        ({"retry_after": "7"}, 7.0),
        ({"resets_in_seconds": 90}, 90.0),
        ({"resets_at": 1_764_000_060}, 60.0),
        ({"retryDelay": "soon", "retry_after": 2}, 2.0),
        ({"retryDelay": "-1s"}, None),
        ({"retryDelay": True}, None),
        ({"retry_after": float("nan")}, None),
        ({"retry_after": -3}, None),
        ({"retry_after": 1e300}, None),
        ({"X-RateLimit-Reset": "1764000090000"}, 90.0),
    ],
)
def test_wait_of_the_body(waits: dict[str, object], wait_s: float | None) -> None:
    """Google's RetryInfo and the members of others."""
    assert stated_wait_s([], waits, "", NOW) == (wait_s if wait_s is None else pytest.approx(wait_s))


@pytest.mark.parametrize(
    ("message", "wait_s"),
    [
        ("Rate limit reached. Please try again in 20ms. Visit https://x", 0.02),
        ("Please try again in 7m12s.", 432.0),
        ("Please retry in 34.4s.", 34.4),
        ("try again in 250 milliseconds", 0.25),
        ("try again in 2 minutes 5 seconds", 125.0),
        ("wait 20 seconds before", 20.0),
        ("Please try again later.", None),
        ("try again in 5 parsecs", None),
    ],
)
def test_wait_of_the_words(message: str, wait_s: float | None) -> None:
    """The last resort is the sentence itself."""
    assert stated_wait_s([], {}, message, NOW) == (wait_s if wait_s is None else pytest.approx(wait_s))


@pytest.mark.parametrize(
    ("message", "wait_s"),
    [
        ("You will regain access on 2025-12-01 at 00:00 UTC.", 547_200.0),
        ("you will regain access on 2025-12-01", 547_200.0),
        ("Your limit resets at 2025-11-24T17:00:00Z", 3_600.0),
        ("regain access on 2099-01-01", UNTIL_S_MAX),
        ("regain access on December 1, 2025 at 00:00 UTC", 547_200.0),
        ("You will regain access on Dec 1st 2025", 547_200.0),
        ("Out of call volume quota. Quota will be replenished in 2.10:03:55.", 2 * 86_400 + 10 * 3_600 + 3 * 60 + 55),
        ("Quota will be replenished in 00:00:09", 9.0),
        ("Quota will be replenished in 999.00:00:00", UNTIL_S_MAX),
        ("Quota will be replenished in 00:00:00", None),
        ("regain access on Nonsense 1, 2025", None),
        ("regain access on 2020-01-01", None),
        ("regain access on 2025-13-45", None),
        ("no date at all", None),
    ],
)
def test_date_that_is_named(message: str, wait_s: float | None) -> None:
    """Until when a budget is used up; at most a month, and never in the past."""
    assert until_s(message, NOW) == wait_s


@given(st.text(max_size=60), st.binary(max_size=60))
def test_wait_is_always_bounded(text: str, value: bytes) -> None:
    """Whatever stands there: nothing, or a time within bounds."""
    names = (b"retry-after", b"retry-after-ms", b"x-ratelimit-reset", b"x-ratelimit-reset-tokens", b"anthropic-ratelimit-x-reset")
    for name in names:
        wait_s = stated_wait_s([(name, value)], {"retryDelay": text}, text, NOW)
        assert wait_s is None or 0.0 <= wait_s <= RETRY_AFTER_S_MAX
    duration_s(text)
    until_s(text, NOW)


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        (b"", None),
        (b"soon", None),
        (b"12", 12.0),
        (b" 1.5 ", 1.5),
        (b"6m0s", 360.0),
        (b"20ms", 0.02),
        (b"1764000060", 60.0),
        (b"1764000060000", 60.0),
        (b"1763999999", 0.0),
        (b"2025-11-24T16:01:00Z", 60.0),
        (b"\xff", None),
    ],
)
def test_end_of_a_window_as_a_header_says_it(value: bytes, wait_s: float | None) -> None:
    """Seconds, a duration, Unix time or a date; what has gone by is now, and what cannot be read is not said."""
    found = reset_of(value, 1_764_000_000.0)
    assert found == (None if wait_s is None else pytest.approx(wait_s))
