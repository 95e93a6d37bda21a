"""`python -m tests.sim --seeds N --steps M [--first K]`, or `--seed K --trace` to see one world happen."""

import argparse
import sys

from tests.sim.liar import LyingWorld
from tests.sim.run import run_many, run_world
from tests.sim.world import World


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cores", type=int, default=None)
    parser.add_argument("--seed", type=int, default=None, help="run this one only")
    parser.add_argument("--liar", action="store_true", help="providers lie about their usage, records are refused")
    parser.add_argument("--trace", action="store_true", help="with --seed: print what happened")
    arguments = parser.parse_args()
    world_type = LyingWorld if arguments.liar else World
    if arguments.seed is not None:
        trace: list[str] | None = [] if arguments.trace else None
        outcome = run_world(arguments.seed, arguments.steps, world_type, trace=trace)
        print("\n".join(trace or ()))
        print(outcome)
        return bool(outcome.problem)
    report = run_many(arguments.first, arguments.seeds, arguments.steps, arguments.cores, world_type)
    print(report)
    for outcome in report.violations[:20]:
        print(f"  seed {outcome.seed} at step {outcome.step}: {outcome.problem}")
    return bool(report.violations)


if __name__ == "__main__":
    sys.exit(main())
