"""What other workers left, as a process without workers sees to it."""

import sys
from pathlib import Path

import pytest

from edge.settings import Settings
from edge.workers import leftovers
from tests.patience import wait_until

FAILS_ONCE = """
import os, pathlib, sys
tries = pathlib.Path(sys.argv[1])
with tries.open("a") as file:
    file.write(os.environ["TOLLWAY_NODE"] + " " + os.environ["TOLLWAY_DATA"] + chr(10))
sys.exit(75 if len(tries.read_text().split(chr(10))) == 2 else 0)
"""


def test_what_cannot_be_shipped_at_once_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The collector may come back later than one try waits: each folder is shipped for its own node, one after the other."""
    data, tries = tmp_path / "data", tmp_path / "tries"
    for number in (0, 1):
        (data / f"w{number}" / "journal" / f"edge@{number}" / "7").mkdir(parents=True)
    monkeypatch.setattr(leftovers, "command", lambda: (sys.executable, "-c", FAILS_ONCE, str(tries)))
    monkeypatch.setattr(leftovers, "SHIP_PAUSE_S", 0.01)
    settings = Settings.read({"TOLLWAY_DATA": str(data), "TOLLWAY_COLLECTOR_URL": "http://127.0.0.1:9"})
    leftovers.ship_left_behind(settings, "edge")
    zero, one = f"edge@0 {data}/w0", f"edge@1 {data}/w1"
    wait_until(lambda: tries.exists() and tries.read_text().splitlines() == [zero, zero, one])
