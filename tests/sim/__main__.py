"""`python -m tests.sim --seeds N --steps M [--first K]`, or `--seed K --trace` to see one world happen."""

import argparse
import sys

from tests.sim.run import run_many, run_world


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cores", type=int, default=None)
    parser.add_argument("--seed", type=int, default=None, help="run this one only")
    parser.add_argument("--trace", action="store_true", help="with --seed: print what happened")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        trace: list[str] | None = [] if arguments.trace else None
        outcome = run_world(arguments.seed, arguments.steps, trace=trace)
        print("\n".join(trace or ()))
        print(outcome)
        return bool(outcome.problem)
    report = run_many(arguments.first, arguments.seeds, arguments.steps, arguments.cores)
    print(report)
    for outcome in report.violations[:20]:
        print(f"  seed {outcome.seed} at step {outcome.step}: {outcome.problem}")
    return bool(report.violations)


if __name__ == "__main__":
    sys.exit(main())
