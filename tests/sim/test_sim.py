"""The simulator: no world breaks an invariant, and every deliberate mistake is found.

`TOLLWAY_SIM_SEEDS` and `TOLLWAY_SIM_STEPS` change how long the first test looks; scripts/soak sets them.
"""

import os
import random

import pytest

from edge.journal import Journal
from edge.journal.recovery.recovery import Recovery, orphan_record
from edge.journal.recovery.scan import Orphan
from tests.sim.differential import DifferentialCollector, DifferentialWorld
from tests.sim.disk import Crash, SimDisk
from tests.sim.edge import ROOT, Generation
from tests.sim.invariants import Violation
from tests.sim.requests import intent_of
from tests.sim.run import run, run_many, run_world
from tests.sim.wrong import VARIANTS
from usage.pricing import cost_nano
from usage.record import Rates, Tokens

SEEDS = int(os.environ.get("TOLLWAY_SIM_SEEDS", "10000"))
STEPS = int(os.environ.get("TOLLWAY_SIM_STEPS", "400"))
TWINS = int(os.environ.get("TOLLWAY_SIM_TWINS", "25"))
WRONG_SEEDS = 2000


@pytest.mark.timeout(600)  # many worlds, on all cores: two minutes of two of them
def test_worlds_keep_every_invariant() -> None:
    """10,000 seeds of 400 steps; `python -m tests.sim --seed K --trace` shows the one that fails."""
    report = run_many(0, SEEDS, STEPS)
    print(report)
    assert not report.violations, report.violations[:3]
    assert report.seeds == SEEDS
    assert report.settled > SEEDS * STEPS // 20


@pytest.mark.parametrize("name", VARIANTS)
def test_wrong_variant_is_caught(name: str) -> None:
    """A world with one mistake in it breaks an invariant within 2,000 seeds."""
    outcomes = (run_world(seed, STEPS, VARIANTS[name]) for seed in range(WRONG_SEEDS))
    caught = next((outcome for outcome in outcomes if outcome.problem), None)
    assert caught is not None, f"{name} was never caught"
    assert caught.problem.startswith((Violation.__name__, AssertionError.__name__)), caught
    print(f"{name}: caught at seed {caught.seed}")


def test_world_of_a_seed_happens_again() -> None:
    """The same seed draws the same steps, to the last word of its trace."""
    traces: list[list[str]] = [[], []]
    for trace in traces:
        assert run_world(11, 300, trace=trace).problem == ""
    assert traces[0] == traces[1]
    assert len(traces[0]) > 5


def test_memory_and_database_are_the_same_collector() -> None:
    """What the simulator believes of the collector is what the collector does: every answer, every balance, and its own audit."""
    for seed in range(TWINS):
        world = DifferentialWorld(seed)
        assert isinstance(world.collector, DifferentialCollector)
        try:
            outcome = run(world, STEPS)
            assert outcome.problem == "", outcome
            world.collector.audit()
        finally:
            world.collector.end()


def some_generation(rates: Rates) -> Generation:
    return Generation("g1", "acme", "k1", "acme", 1000, rates, Tokens(), 10, 10, 1, epoch=1)


def test_orphan_without_a_mark_is_taken_by_the_collector() -> None:
    """Its cost must recompute from its own tokens and rates, or the collector refuses it."""
    record = orphan_record("n", 1, 1, Orphan(intent_of(some_generation(Rates(request=1_000_000)))))
    assert record.cost_nano == cost_nano(record.tokens, record.rates)


def test_folder_left_by_a_crash_is_made_durable() -> None:
    """A process dies after it made the node's folder; the next one's journal survives a power cut."""
    dice = random.Random(1)
    for calls in range(1, 6):
        disk = SimDisk(dice)
        disk.install(ROOT)
        disk.calls_left = calls
        try:
            Journal.open(ROOT, "n", 1, disk=disk)
        except Crash:
            disk.kill(None)
        disk.heal()
        journal = Journal.open(ROOT, "n", 2, disk=disk)
        journal.intent(intent_of(some_generation(Rates())))
        assert journal.sync_now()
        after = disk.image(is_power_cut=True)
        assert 2 in Recovery(ROOT, "n", disk=after).epochs(), calls
