"""The list of mistakes is one of today's code: what each replaces is there once, and so are the tests that have to see it."""

from pathlib import Path

from tests.soak.mutations import MUTATIONS

ROOT = Path(__file__).parents[2]


def test_mutations_replace_what_is_there_and_name_tests_that_are() -> None:
    """Code that moves takes its mistakes along, and a test that moves is found again."""
    gone = [f"{m.path}: {m.right!r}" for m in MUTATIONS if (ROOT / m.path).read_text().count(m.right) != 1]
    lost = [name for m in MUTATIONS for name in m.tests.split() if not (ROOT / name.partition("::")[0]).exists()]
    assert (gone, lost) == ([], [])
