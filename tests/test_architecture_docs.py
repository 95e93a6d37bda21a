"""docs/architecture.md names each room, and each file beside the rooms; what it and the glossary name is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()
PACKAGES = ("collector", "edge", "routing", "usage")
NAMED = re.compile(r"`([A-Za-z_./]+(?:\.py|\.md|/))`")
INVENTED = {"routing/translate/chat_on_X/"}
"""Places of what is still to be written."""


def names(text: str) -> set[str]:
    """What stands in backticks and is a path, or the end of one."""
    return set(NAMED.findall(text))


def rooms() -> set[str]:
    """`edge/relay/`, `edge/node.py`, …"""
    found = set()
    for package in PACKAGES:
        for path in (ROOT / package).iterdir():
            if path.is_dir() and (path / "__init__.py").exists():
                found.add(f"{package}/{path.name}/")
            elif path.suffix == ".py" and not path.name.startswith("__"):
                found.add(f"{package}/{path.name}")
    return found


def test_every_room_is_named() -> None:
    """Whoever comes new finds what each of them is for."""
    named = names(PAGE)
    missing = {room for room in rooms() if not any(room == name or room.endswith("/" + name) for name in named)}
    assert missing == set()


def test_every_name_leads_somewhere() -> None:
    """A path, or the end of exactly those that are meant by it."""
    tree = [path.relative_to(ROOT).as_posix() for package in (*PACKAGES, "tests", "docs") for path in (ROOT / package).rglob("*")]
    ends = tuple("/" + name.rstrip("/") for name in tree)
    lost = {
        name
        for name in names(PAGE + GLOSSARY) - INVENTED
        if not (ROOT / name).exists() and not any(end.endswith("/" + name.rstrip("/")) for end in ends)
    }
    assert lost == set()


def test_room_that_is_not_named_is_seen() -> None:
    assert names("see `edge/relay/` and `node.py`, not `told`") == {"edge/relay/", "node.py"}
