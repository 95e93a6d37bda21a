"""What an edge keeps of a limit, by its pools alone: each step that the simulator of `tests.sim.limits` takes at random."""

import pytest

from edge.limits.permits import IDLE_S, PermitPool
from edge.limits.quota import Quota
from usage.limit import LimitShare


def permits(limit: int = 10, ceiling: int = 5, nodes: int = 1, *, is_hard: bool = False) -> PermitPool:
    """Of which the collector gave `ceiling` at 0.0, for ten seconds."""
    pool = PermitPool("key:k", limit, 0.0, is_hard=is_hard)
    pool.apply_share(LimitShare("key:k", "concurrent", ceiling, 10.0, nodes=nodes), 0.0)
    return pool


def test_permits_that_run_are_kept_whatever_is_given() -> None:
    """A request is not stopped by a smaller share, so the collector must not give its permit to anybody else."""
    pool = permits()
    for holder in range(3):
        pool.acquire(holder, 0.0)
    pool.apply_share(LimitShare("key:k", "concurrent", 1, 10.0), 1.0)
    assert pool.permits == 3
    assert not pool.may(1.0)


def test_permits_that_are_not_needed_go_back() -> None:
    """What runs, and one for who comes next, is kept; once idle, only what runs."""
    pool = permits()
    pool.acquire("a", 0.0)
    assert pool.report(1.0).ceiling == pool.permits == 2
    pool.apply_share(LimitShare("key:k", "concurrent", 5, 100.0), 1.0)
    pool.release("a")
    assert pool.report(IDLE_S).ceiling == pool.permits == 0


def test_permits_beyond_their_time_are_only_those_that_run() -> None:
    """The collector may have given the others away."""
    pool = permits()
    pool.acquire("a", 0.0)
    assert pool.report(10.0).ceiling == pool.permits == 1


@pytest.mark.parametrize(("nodes", "is_hard", "admitted"), [(1, False, 10), (5, False, 2), (20, False, 1), (5, True, 0)])
def test_permits_without_a_collector_are_a_share(nodes: int, is_hard: bool, admitted: int) -> None:
    """Each edge takes its part of the limit, at least one; of a hard limit nothing."""
    pool = permits(ceiling=0, nodes=nodes, is_hard=is_hard)
    for holder in range(20):
        if pool.may(20.0, is_away=True):
            pool.acquire(holder, 20.0)
    assert len(pool.holders) == admitted


@pytest.mark.parametrize(("nodes", "is_hard", "most"), [(1, False, 66), (6, False, 11), (6, True, 0)])
def test_quota_without_a_collector_is_a_share(nodes: int, is_hard: bool, most: int) -> None:
    """Each edge takes its part of the limit, and a tenth for a burst; of a hard limit nothing."""
    quota = Quota("key:k", "requests", 60, 0.0, is_hard=is_hard)
    quota.apply_share(LimitShare("key:k", "requests", 0, 1.0, nodes=nodes), 0.0)
    admitted = 0
    for tenth in range(20, 620):
        if quota.may(1, tenth / 10, is_away=True):
            quota.take(1, tenth / 10, is_away=True)
            admitted += 1
    assert admitted <= most
    assert bool(admitted) is not is_hard


def test_quota_that_is_not_needed_goes_back() -> None:
    """An edge that asked for nothing keeps nothing ahead of what it spent."""
    quota = Quota("key:k", "requests", 60, 0.0)
    quota.apply_share(LimitShare("key:k", "requests", 50, 100.0), 0.0)
    quota.take(1, 0.0)
    assert quota.report(30.0).ceiling == quota.spent == 1


def test_correction_takes_no_more_than_its_second_holds() -> None:
    """What was debited is given back once, however much is said to be unused."""
    quota = Quota("key:k", "tokens", 1_000, 0.0)
    slot = quota.take(100, 0.0)
    quota.take(50, 1.0)
    quota.correct(slot, -500, 1.0)
    assert (quota.recent, quota.spent) == (50, 50)
