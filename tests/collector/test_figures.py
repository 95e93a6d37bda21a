"""What a collector tells Prometheus: each figure with HELP and TYPE, read by readers that are not ours, and documented."""

import shutil
import subprocess
from pathlib import Path

import pytest

from collector.figures import FIGURES, exposition, written
from collector.service import Collector
from collector.store.sqlite import SqliteStore
from tests.collector.facts import Clock
from tests.figures_docs import lacking, told_by_nobody

pytestmark = pytest.mark.anyio
EVERY = {name: [('{sink="s"}', 12_345_678_901)] for name in FIGURES}


async def test_figures_of_a_collector_are_told(tmp_path: Path) -> None:
    """What is told has its explanation; what sinks say is told where there are sinks."""
    collector = Collector(SqliteStore.open(tmp_path / "collector.db"), Clock())
    text = await exposition(collector)
    await collector.shut_down()
    told = {line.split(" ")[2].removeprefix("tollway_collector_") for line in text.splitlines() if line.startswith("# HELP")}
    assert {name for name in FIGURES if not name.startswith("sink_")} == told
    assert "tollway_collector_records_total 0\n" in text


def test_counters_end_as_counters_do() -> None:
    """`_total`, and nothing else has it."""
    assert {name for name, (kind, _) in FIGURES.items() if kind == "counter"} == {n for n in FIGURES if n.endswith("_total")}


def test_figures_are_what_readers_take() -> None:
    """prometheus_client reads each, with all its digits; Prometheus' own linter finds no error."""
    parser = pytest.importorskip("prometheus_client.parser")
    families = list(parser.text_string_to_metric_families(written(EVERY)))
    assert len(families) == len(FIGURES)
    assert all(family.documentation and family.samples[0].value == 12_345_678_901 for family in families)
    promtool = shutil.which("promtool")
    if promtool is not None:
        command = [promtool, "check", "metrics"]
        done = subprocess.run(command, input=written(EVERY), capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode in (0, 3), done.stderr
        assert "error" not in done.stderr.lower(), done.stderr


def test_docs_have_every_figure_of_a_collector() -> None:
    """docs/operations.md names each with its kind and meaning, and none that is not there."""
    assert lacking(written(EVERY)) == []
    of_edges = ["tollway_collector_silent_seconds"]
    assert told_by_nobody(written(EVERY), "tollway_collector_") == of_edges
