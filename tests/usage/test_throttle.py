"""A flood of events leaves a few lines, and how many it was."""

from usage.throttle import LINES_MAX, PERIOD_S, Throttle


def test_throttle_lets_a_few_pass_and_counts_the_rest() -> None:
    """LINES_MAX in a period; the next period's first line tells how many were left out; all are counted."""
    throttle = Throttle()
    told = [throttle.note(100.0 + number / 1_000) for number in range(1_000)]
    assert told == [""] * LINES_MAX + [None] * (1_000 - LINES_MAX)
    assert throttle.note(100.0 + PERIOD_S) == f" ({1_000 - LINES_MAX} like it were not logged)"
    assert throttle.note(100.0 + PERIOD_S) == ""
    assert throttle.total == 1_002
