"""Runs worlds: one by its seed, or many on all cores."""

import logging
import multiprocessing
import os
import time
from collections.abc import Iterator

import msgspec

from tests.sim.ending import finish
from tests.sim.world import World


class Outcome(msgspec.Struct, frozen=True):
    """What became of one seed; `problem` is empty when every invariant held."""

    seed: int
    step: int
    problem: str = ""
    settled: int = 0


def run_world(seed: int, steps: int, world_type: type[World] = World, *, trace: list[str] | None = None) -> Outcome:
    """One world from its beginning to its end."""
    world = world_type(seed, trace=trace is not None)
    outcome = run(world, steps)
    if trace is not None and world.trace is not None:
        trace.extend(world.trace)
    return outcome


def run(world: World, steps: int) -> Outcome:
    """Take the steps, heal it, judge it."""
    log = logging.getLogger("tollway")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        for _ in range(steps):
            world.step()
        finish(world)
    except Exception as violation:
        return Outcome(world.seed, world.steps, f"{type(violation).__name__}: {violation}", world.settled)
    finally:
        log.setLevel(level)
        for process in world.processes():
            process.die()
    return Outcome(world.seed, world.steps, "", world.settled)


Task = tuple[range, int, type[World]]


def _run_slice(task: Task) -> list[Outcome]:
    seeds, steps, world_type = task
    return [run_world(seed, steps, world_type) for seed in seeds]


class Report(msgspec.Struct, frozen=True):
    seeds: int
    steps: int
    settled: int
    seconds: float
    violations: tuple[Outcome, ...]

    def __str__(self) -> str:
        head = f"{self.seeds} seeds x {self.steps} steps, {self.settled} settlements, {self.seconds:.0f} s, "
        return head + f"{len(self.violations)} violations"


def run_many(first: int, count: int, steps: int, cores: int | None = None, world_type: type[World] = World) -> Report:
    """Seeds `first` … on `cores` processes (all that there are)."""
    began_s = time.monotonic()
    size = 50
    tasks = [(range(start, min(start + size, first + count)), steps, world_type) for start in range(first, first + count, size)]
    outcomes = list(_results(tasks, cores or os.cpu_count() or 1))
    bad = tuple(outcome for outcome in outcomes if outcome.problem)
    return Report(len(outcomes), steps, sum(outcome.settled for outcome in outcomes), time.monotonic() - began_s, bad)


def _results(tasks: list[Task], cores: int) -> Iterator[Outcome]:
    if cores == 1:
        for task in tasks:
            yield from _run_slice(task)
        return
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        for outcomes in pool.imap_unordered(_run_slice, tasks):
            yield from outcomes
