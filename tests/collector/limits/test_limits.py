"""Limits at the collector: what is shared out, and what a process that ends gives back."""

from collector.limits.board import REPORTS_MAX, LimitBoard
from collector.limits.shared import NODE_S, PERMIT_TTL_S, TTL_S
from usage.limit import LimitReport, LimitShare


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class ReportedLimits:
    """A board and its clock, past its learning."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.board = LimitBoard(self.clock, started_s=0.0)

    def rate(self, node: str, spent: int, want: int, recent: int | None = None, ceiling: int = 0, limit: int = 100) -> LimitShare:
        report = LimitReport("key:k", "requests", limit, spent, spent if recent is None else recent, want, max(ceiling, spent))
        (share,) = self.board.answer(node, 1, (report,))
        return share

    def permits(self, node: str, kept: int, want: int, limit: int = 10) -> int:
        report = LimitReport("key:k", "concurrent", limit, 0, 0, want, kept)
        (share,) = self.board.answer(node, 1, (report,))
        return share.ceiling


def test_rates_are_shared_up_to_the_limit_and_a_tenth() -> None:
    """What is ahead of one node is not given to another, and comes free when it lapses."""
    limits = ReportedLimits()
    first = limits.rate("a", 0, 80)
    assert first.ceiling == 80
    second = limits.rate("b", 0, 80)
    assert (second.ceiling, second.nodes) == (30, 2)
    limits.clock.now_s += TTL_S + 1
    assert limits.rate("b", 0, 80).ceiling == 80


def test_repeated_report_gives_nothing_twice() -> None:
    """A ceiling is absolute: the same report brings the same room."""
    limits = ReportedLimits()
    assert [limits.rate("a", 0, 110).ceiling for _ in range(3)] == [110, 110, 110]


def test_what_was_used_counts_for_a_minute_after_a_node_is_silent() -> None:
    limits = ReportedLimits()
    limits.rate("a", 100, 0)
    assert limits.rate("b", 0, 50).ceiling == 10
    limits.clock.now_s += NODE_S + 1
    assert limits.rate("b", 0, 50).ceiling == 50


def test_edges_with_different_tables_do_not_start_each_other_anew() -> None:
    """The least limit holds while they differ, and a limit that is used up stays so whoever reports next."""
    limits = ReportedLimits()
    used = limits.rate("a", 200, 50, limit=200)
    assert used.ceiling == 220
    for _ in range(20):
        assert limits.rate("b", 0, 50, limit=400).ceiling == 20 - (used.ceiling - 200)
        used = limits.rate("a", 200, 50, ceiling=used.ceiling, limit=200)
        assert used.ceiling == 220
    limits.board.drop("a", 1)
    assert limits.rate("b", 0, 50, limit=400).ceiling == 50, "the others have ended, so the new limit holds"


def test_pace_of_a_busy_limit_outlives_its_change() -> None:
    """A limit that is raised and lowered again, report by report, gives no more than its pace, each time."""
    limits = ReportedLimits()
    limits.rate("a", 80, 0)
    given = 0
    for turn in range(50):
        limit = 100 + turn % 2
        share = limits.rate("a", 80 + given, 1, recent=80, limit=limit)
        given += share.ceiling - (80 + given)
    assert given <= 12, "a tenth at once, not a tenth for each change"


def test_permits_are_never_given_twice() -> None:
    """Ten in all; only who says it keeps fewer has fewer; a silent node's are free after their life, an ended one's too."""
    limits = ReportedLimits()
    assert limits.permits("a", 0, 7) == 7
    assert limits.permits("b", 0, 7) == 3
    assert limits.permits("a", 2, 2) == 2
    assert limits.permits("b", 3, 9) == 8
    limits.board.drop("b", 1)
    assert limits.permits("a", 2, 10) == 10
    limits.clock.now_s += PERMIT_TTL_S + 1
    assert limits.permits("c", 0, 10) == 10


def test_board_that_begins_gives_little() -> None:
    """Nobody has reported yet, so nobody gets much."""
    board = LimitBoard(Clock())
    (share,) = board.answer("a", 1, (LimitReport("key:k", "requests", 100, 0, 0, 90),))
    assert share.ceiling == 10
    (permit,) = board.answer("a", 1, (LimitReport("key:k", "concurrent", 10, 0, 0, 9),))
    assert permit.ceiling == 5


def test_reports_that_cannot_be_meant_are_passed_over() -> None:
    """A node that is wrong, or lies, costs nobody else their limit, and bounded work."""
    board = LimitBoard(Clock(), started_s=0.0)
    wrong = (
        LimitReport("key:k", "requests", 0, 0, 0, 5),
        LimitReport("", "requests", 5),
        LimitReport("key:k", "requests", 5, 0, -3, 5),
        LimitReport("k" * 300, "tokens", 5),
    )
    assert board.answer("a", 1, wrong) == ()
    assert len(board.answer("a", 1, tuple(LimitReport(f"key:{n}", "requests", 5) for n in range(REPORTS_MAX + 5)))) == REPORTS_MAX
