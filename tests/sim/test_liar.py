"""Providers that lie and records that are refused: no world breaks an invariant, and every deliberate mistake is found.

`TOLLWAY_SIM_LIARS` and `TOLLWAY_SIM_STEPS` change how long the first test looks; `scripts/soak liars` is the long form.
"""

import os

import pytest

from tests.sim.differential import DifferentialCollector, DifferentialWorld
from tests.sim.invariants import Violation
from tests.sim.liar import LIARS, LyingWorld
from tests.sim.run import run, run_many, run_world

SEEDS = int(os.environ.get("TOLLWAY_SIM_LIARS", "1000"))
STEPS = int(os.environ.get("TOLLWAY_SIM_STEPS", "400"))
TWINS = 10
WRONG_SEEDS = 500


class LyingDifferentialWorld(LyingWorld, DifferentialWorld):
    """The same lies before the real collector's transactions."""


@pytest.mark.timeout(300)  # many worlds, on all cores
def test_worlds_with_liars_keep_every_invariant() -> None:
    """Nobody pays more than holds and named terms allow, no edge is locked; `python -m tests.sim --liar --seed K` shows one."""
    report = run_many(0, SEEDS, STEPS, world_type=LyingWorld)
    print(report)
    assert not report.violations, report.violations[:3]
    assert report.settled > SEEDS * STEPS // 20


@pytest.mark.parametrize("name", LIARS)
def test_wrong_variant_is_caught(name: str) -> None:
    """A world with one mistake in it breaks an invariant soon."""
    outcomes = (run_world(seed, STEPS, LIARS[name]) for seed in range(WRONG_SEEDS))
    caught = next((outcome for outcome in outcomes if outcome.problem), None)
    assert caught is not None, f"{name} was never caught"
    assert caught.problem.startswith((Violation.__name__, AssertionError.__name__)), caught


def test_collector_and_its_audit_hold_with_liars() -> None:
    """The real collector answers every lie as the one in memory does, refusals included, and `verify` finds nothing."""
    for seed in range(TWINS):
        world = LyingDifferentialWorld(seed)
        assert isinstance(world.collector, DifferentialCollector)
        try:
            outcome = run(world, STEPS)
            assert outcome.problem == "", outcome
            world.collector.audit()
        finally:
            world.collector.end()
