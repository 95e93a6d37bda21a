"""The list of mistakes is one of today's code: what each replaces is there once, and so are the tests that have to see it."""

import shutil
from pathlib import Path

import pytest

from tests.soak.mutated.mutation import Mutation
from tests.soak.mutations import MUTATIONS, ROOT, failure, is_caught


def test_mutations_replace_what_is_there_and_name_tests_that_are() -> None:
    """Code that moves takes its mistakes along, and a test that moves is found again; no mistake is there twice."""
    gone = [f"{m.path}: {m.right!r}" for m in MUTATIONS if (ROOT / m.path).read_text().count(m.right) != 1]
    lost = [name for m in MUTATIONS for name in m.tests.split() if not (ROOT / name.partition("::")[0]).exists()]
    assert (gone, lost) == ([], [])
    assert len(set(MUTATIONS)) == len(MUTATIONS) >= 84
    assert [m for m in MUTATIONS if m.wrong == m.right] == []


@pytest.mark.parametrize(("wrong", "caught"), [("0", True), ("1 + 0", False)])
def test_mistake_is_caught_by_a_test_that_fails(tmp_path: Path, wrong: str, caught: bool) -> None:
    """And one that no test notices has survived; the text is what it was in the end."""
    (tmp_path / "one.py").write_text("ONE = 1\n")
    (tmp_path / "test_one.py").write_text("from one import ONE\n\n\ndef test_one():\n    assert ONE == 1\n")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert not failure(tmp_path, ["test_one.py"])
    assert is_caught(tmp_path, Mutation("one.py", "1", wrong, "test_one.py")) is caught
    assert (tmp_path / "one.py").read_text() == "ONE = 1\n"
