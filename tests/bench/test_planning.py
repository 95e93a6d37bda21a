"""The table that planning is measured over, in small."""

import pytest

from bench import planning
from routing.table.config import parse


def test_rows_are_of_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row is measured, each of its calls a plan; the report has them all."""
    for name, value in (("MODELS", 6), ("PROVIDERS", 9), ("CALLS", 40), ("ROUNDS", 2)):
        monkeypatch.setattr(planning, name, value)
    config = parse(planning.table())
    assert (len(config.routes), sum(name.startswith("p") for name in config.providers)) == (6, 9)
    rows = planning.measure()
    text = planning.report(rows)
    assert len(rows) == 5
    assert all(row.what in text and 0 < row.least_us <= row.median_us for row in rows)
