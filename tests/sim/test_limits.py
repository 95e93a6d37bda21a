"""Limits over many edges: ours within its bound, whatever the network does; those that are wrong are seen to be."""

from collections.abc import Callable

import pytest

from edge.limits.quota import Quota
from tests.sim.limits import Case, GreenStrict, Outcome, World
from tests.sim.wrong_limits import Ahead, CorrectsInAnotherMinute, DividedShares, EscrowWhenEmpty, WholeLimitEach
from usage.limit import WINDOW_PERCENT

BOUND = WINDOW_PERCENT / 100


def run(case: Case, seeds: int = 2, design: type[GreenStrict] = GreenStrict) -> Outcome:
    """The mean of what was served and refused, and the worst window of all."""
    found = [World(case, seed, design).run() for seed in range(seeds)]
    return Outcome(
        sum(one.served for one in found) / seeds,
        max(one.worst for one in found),
        sum(one.refused for one in found) / seeds,
        sum(one.messages for one in found) / seeds,
    )


@pytest.mark.parametrize(("limit", "edges"), [(60, 1), (60, 3), (60, 20), (600, 20), (3, 1)])
def test_limit_offered_three_times_over_is_served_and_never_exceeded(limit: int, edges: int) -> None:
    """At three times the limit, in any 60 s at most the limit and a tenth is admitted, and over minutes nearly all of it."""
    outcome = run(Case(limit, edges, 3.0))
    assert outcome.worst <= BOUND + 1e-9
    assert outcome.served >= (0.95 if limit > 3 else 0.75)


@pytest.mark.parametrize(("limit", "edges", "refused"), [(600, 1, 0.0), (600, 20, 0.01), (6000, 20, 0.005), (60, 3, 0.05)])
def test_limit_that_is_not_reached_refuses_hardly_anybody(limit: int, edges: int, refused: float) -> None:
    """At 0.8 of the limit nobody, or hardly anybody, is refused; at 0.3, nobody, and green needs no message of its own."""
    assert run(Case(limit, edges, 0.8)).refused <= refused
    assert run(Case(limit, edges, 0.3)).refused == 0


@pytest.mark.parametrize(
    "case",
    [
        Case(600, 5, 3.0, loss=0.2),
        Case(600, 5, 3.0, rtt_s=0.4, loss=0.05),
        Case(600, 5, 3.0, is_skewed=True),
        Case(6_000, 3, 3.0, cost=lambda dice: dice.choice((1, 10, 100, 1_000))),
        Case(600, 3, 3.0, partition=(0, 60.0, 180.0), is_hard=True),
        Case(600, 3, 3.0, loss=0.1, is_hard=True),
    ],
    ids=["loss", "slow", "skewed", "costly", "hard partition", "hard loss"],
)
def test_bound_holds_whatever_the_network_does(case: Case) -> None:
    """Lost and repeated messages, slow ones, one edge with most of the load, costs of any size. What cannot be asked for is
    admitted at an edge's own share, unless the limit is hard."""
    outcome = run(case)
    soft = 0.0 if case.is_hard or not case.loss else 1.0
    assert outcome.worst <= BOUND + soft / 2
    assert outcome.served >= 0.8


def test_partitioned_edge_adds_its_share_and_no_more() -> None:
    """One of three edges cannot ask for two minutes: it goes on with a third of the limit; the bound is the limit, a tenth, and
    that third."""
    outcome = run(Case(600, 3, 3.0, partition=(1, 60.0, 180.0)))
    assert outcome.worst <= BOUND + 1 / 3 + 0.04
    assert outcome.served >= 0.95


def test_collector_that_restarts_learns_before_it_gives() -> None:
    """What it knew of a full minute is gone; what it gives until it was told again is a small part."""
    outcome = run(Case(600, 5, 3.0, restart_s=100.0))
    assert outcome.worst <= BOUND + 0.1 + 1e-9
    assert outcome.served >= 0.95


@pytest.mark.parametrize(
    ("design", "load", "fault"),
    [
        (WholeLimitEach, 3.0, lambda outcome: outcome.worst > 2.5),
        (DividedShares, 3.0, lambda outcome: outcome.served < 0.8 or outcome.worst > 1.5),
        (EscrowWhenEmpty, 3.0, lambda outcome: outcome.served < 0.8),
        (Ahead, 60.0, lambda outcome: outcome.worst > 1.3),
    ],
)
def test_naive_designs_are_caught(design: type[GreenStrict], load: float, fault: Callable[[Outcome], bool]) -> None:
    """What others do, and ours without its rule, is outside the bound, or serves far below the limit; ours is not."""
    case = Case(60, 20, load)
    assert fault(run(case, 1, design=design))
    assert run(case, 1).worst <= BOUND + 1e-9


def _seen_after_a_late_correction(make: type[Quota]) -> int:
    """1,000 tokens are debited, 100 were used, which is known half a minute later; 500 more are used when the minute is over."""
    quota = make("key:k", "tokens", 10_000, 0.0)
    slot = quota.take(1_000, 0.5)
    quota.correct(slot, -900, 30.5)
    assert quota.used(31.0) == 100
    quota.take(500, 65.0)
    return quota.used(65.5)


def test_correction_belongs_to_its_own_minute() -> None:
    """Tokens that were debited and not used come free in their minute; in a later one they would hide what was used then."""
    assert _seen_after_a_late_correction(Quota) == 500
    assert _seen_after_a_late_correction(CorrectsInAnotherMinute) < 500
