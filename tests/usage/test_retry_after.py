"""The header `retry-after`: what is written is read as at least the same wait, and what cannot be read says nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage.retry_after import retry_after_header, wait_s_of

NOW_S = 1_795_348_800.0
"""2026-11-22, 12:00 UTC."""


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("3", 3.0),
        (" 0.5 ", 0.5),
        ("0", 0.0),
        ("Sun, 22 Nov 2026 12:01:00 GMT", 60.0),
        ("2026-11-22T12:00:30Z", 30.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("Sun, 22 Nov 2026 12:00:30 -0000", 30.0),
        *((value, None) for value in ("", "-1", "soon", "1e9", "nan", "inf", "1,5", "9" * 20, "٣")),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, wait_s: float | None) -> None:
    assert wait_s_of(value, NOW_S) == wait_s


@given(st.floats(0, 1e6))
def test_retry_after_is_never_sooner_than_meant(wait_s: float) -> None:
    """Whole seconds, at least one, and less than one more than was meant."""
    told = wait_s_of(retry_after_header(wait_s), 0.0)
    assert told is not None
    assert max(wait_s, 1.0) <= told < max(wait_s, 1.0) + 1.0
