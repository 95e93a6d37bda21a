"""Mistakes in money, bytes and lifecycle, each of which the tests have to catch: a line of the product replaced by a wrong one.

Rule: a mutation is caught when a test fails that passes without it; a test that cannot be collected, or a line that is not there
any more, is a fault of this list. Strategy: the tests that are near are named, so that all of it takes minutes; `--count N` tries
the first N.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.util import cache_from_source
from pathlib import Path

from tests.soak.mutated import lifecycle, money, reading
from tests.soak.mutated.mutation import Mutation
from tests.soak.report import Report

ROOT = Path(__file__).parents[2]
ENV = os.environ | {"TOLLWAY_TEST_HANG_S": "40"}
"""A mistake that makes a test hang is caught when the run ends for it."""
FAILED = 1
"""pytest's exit status when tests ran, and failed."""


MUTATIONS = (*money.MUTATIONS, *reading.MUTATIONS, *lifecycle.MUTATIONS)


def write(path: Path, text: str) -> None:
    """As a module that is compiled anew: what was compiled is taken for it while its size and the second of its change are the
    same."""
    path.write_text(text)
    Path(cache_from_source(str(path))).unlink(missing_ok=True)


def apply(tree: Path, mutation: Mutation) -> str:
    """Make the mistake in `tree`; the text before it."""
    path = tree / mutation.path
    text = path.read_text()
    assert text.count(mutation.right) == 1, f"{mutation.path}: {mutation.right!r} is there {text.count(mutation.right)} times"
    write(path, text.replace(mutation.right, mutation.wrong))
    return text


def failure(tree: Path, tests: Iterable[str]) -> str:
    """What pytest says last where one of the tests fails; empty where all pass."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-o", "timeout=20", *tests]
    done = subprocess.run(command, cwd=tree, env=ENV, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode in (0, FAILED), f"the tests did not run:\n{done.stdout[-2_000:]}"
    return done.stdout[-2_000:] if done.returncode == FAILED else ""


def is_caught(tree: Path, mutation: Mutation) -> bool:
    """Whether a named test fails with the mistake in."""
    text = apply(tree, mutation)
    try:
        return bool(failure(tree, mutation.tests.split()))
    finally:
        write(tree / mutation.path, text)


def soak(report: Report, seed: int, count: int) -> None:
    """The first `count` mutations, in an order of the seed's; each has to be caught."""
    chosen = list(MUTATIONS)
    random.Random(seed).shuffle(chosen)
    survived = []
    with tempfile.TemporaryDirectory(prefix="tollway-mutations-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(
            ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv*", "__pycache__", "node_modules", ".mypy_cache", "out")
        )
        named = sorted({name for mutation in chosen[:count] for name in mutation.tests.split()})
        unmutated = failure(tree, named)
        assert not unmutated, f"a test that fails without a mistake catches none:\n{unmutated}"
        for mutation in chosen[:count]:
            caught = is_caught(tree, mutation)
            report.say("caught" if caught else "SURVIVED", f"{mutation.path}: {mutation.wrong.strip()[:80]!r}")
            if not caught:
                survived.append(mutation)
    assert not survived, survived
    report.say("mutations", f"{len(chosen[:count])}, each caught")
