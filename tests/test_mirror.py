"""The tests stand in the rooms of what they test: whoever changes a file finds its tests under the same path in tests/.

Rule: a folder of tests/ that is called as a package of the house has folders only where that package has rooms, and a test file
beside those rooms only for what is a file beside the rooms there, or is said below to be about the package as a whole.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("collector", "edge", "routing", "usage")
WHOLE = frozenset(
    {
        "tests/collector/test_concurrency.py",
        "tests/collector/test_main.py",
        "tests/collector/test_wrong_variants.py",
    }
)
"""Tests of a package as a whole: several collectors at once, one as a process, wrong ones."""
DATA = frozenset({"golden", "wrong", "__pycache__"})
"""Folders of files that tests read."""


def misplaced(tests: Iterable[Path], exists: Callable[[Path], bool]) -> list[str]:
    """Of the test files, relative to the root, those that have nothing of theirs in the house."""
    found = []
    for test in tests:
        house = Path(*test.parts[1:])
        room, is_beside_rooms = house.parent, len(house.parts) == 2
        if not exists(room):
            found.append(f"{test}: there is no room {room}")
        elif is_beside_rooms and str(test) not in WHOLE and not exists(room / house.name.removeprefix("test_")):
            found.append(f"{test}: {room} has no file {house.name.removeprefix('test_')}; does it belong to one of its rooms?")
    return found


def test_tests_stand_in_the_rooms_of_what_they_test() -> None:
    tests = [
        path.relative_to(ROOT)
        for package in PACKAGES
        for path in (ROOT / "tests" / package).rglob("test_*.py")
        if not DATA & set(path.parts)
    ]
    assert len(tests) > 100
    assert misplaced(tests, lambda path: (ROOT / path).exists()) == []
    assert [name for name in WHOLE if not (ROOT / name).exists()] == []


def test_misplaced_test_is_seen() -> None:
    """One for a room that is not there, and one beside the rooms that belongs into one."""
    house = {Path("edge/relay"), Path("edge"), Path("edge/node.py")}
    wrong = [Path("tests/edge/test_relay.py"), Path("tests/edge/lane/test_relay.py")]
    right = [Path("tests/edge/relay/test_anything.py"), Path("tests/edge/test_node.py")]
    assert len(misplaced(wrong, house.__contains__)) == 2
    assert misplaced(right, house.__contains__) == []
