"""The simulator with providers that lie and records that are refused, at length: `scripts/soak liars`."""

from tests.sim.liar import LyingWorld
from tests.sim.run import run_many
from tests.soak.report import Report

STEPS = 400


def soak(report: Report, seed: int, count: int) -> None:
    """`count` worlds from `seed` on."""
    found = run_many(seed, count, STEPS, world_type=LyingWorld)
    report.say("worlds", found)
    for outcome in found.violations[:20]:
        report.say(f"seed {outcome.seed} at step {outcome.step}", outcome.problem)
    assert not found.violations
