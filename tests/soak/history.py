"""A year of one account drawn from its sums: a million generations on SQLite, ten million on PostgreSQL.

Strategy: the tables of sums are filled as `rollups` would, at the worst spread there is: every quarter of the year has all of six
models and three keys in it, as far as the generations reach. Each drawing is timed from an idle connection; the middle one of
five counts.
Limits: raw records are not written, because no drawing reads them.
"""

import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from collector.analytics.engine import run
from collector.analytics.query import Query, Result
from collector.ingest.rollups import QUARTER_MS, Group, by_day
from collector.store.contract import MEASURES, Store, Tx
from tests.soak.ledger import open_postgres, open_sqlite
from tests.soak.report import Report

END_MS = 1_795_348_800_000
YEAR_QUARTERS = 365 * 96
LIMIT_MS = 300
KEYS = [f"key{number:03d}" for number in range(3)]
MODELS = [(f"provider-{number % 3}/model-{number}", f"provider-{number % 3}") for number in range(6)]
EACH = (1, 0, 900, 100, 0, 150, 20, 225_000, 800, 90)
"""The measures of one generation."""
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York")


def _weeks(dice: random.Random, generations: int) -> Iterator[dict[Group, tuple[int, ...]]]:
    """The year's sums, a week at a time."""
    first = END_MS // QUARTER_MS - YEAR_QUARTERS
    per_quarter = generations / YEAR_QUARTERS
    for week in range(first, first + YEAR_QUARTERS, 96 * 7):
        rows: dict[Group, tuple[int, ...]] = {}
        for quarter in range(week, min(week + 96 * 7, first + YEAR_QUARTERS)):
            count = int(per_quarter) + (dice.random() < per_quarter % 1)
            kinds = [(key, *model) for key in KEYS for model in MODELS]
            for at, (key, model, provider) in enumerate(dice.sample(kinds, len(kinds))):
                share = count // len(kinds) + (at < count % len(kinds))
                if share:
                    rows["acme", quarter, key, model, provider] = tuple(share * each for each in EACH)
        yield rows


def _fill(store: Store, dice: random.Random, generations: int) -> None:
    for rows in _weeks(dice, generations):

        def work(tx: Tx, rows: dict[Group, tuple[int, ...]] = rows) -> None:
            for table, sums in (("usage_quarters", rows), ("usage_days", by_day(rows))):
                tx.add_sums(table, [(*group, *sums[group]) for group in sorted(sums)])

        store.write(work)


def _timed(draw: Callable[[], Result]) -> tuple[float, Result]:
    times = []
    for _ in range(5):
        started_s = time.perf_counter()
        table = draw()
        times.append(time.perf_counter() - started_s)
    return statistics.median(times) * 1000, table


def soak(report: Report, seed: int, count: int) -> None:
    """`count` generations on PostgreSQL, a tenth of them on SQLite."""
    for name, opened, generations in (("sqlite", open_sqlite, count // 10), ("postgres", open_postgres, count)):
        folder = Path(tempfile.mkdtemp(prefix="tollway-soak-"))
        try:
            with opened(folder) as store:
                _fill(store, random.Random(seed), generations)
                slowest, totals = 0.0, set()
                for tz in ZONES:
                    for every, by in (("day", ()), ("day", ("model",)), ("month", ("model", "key")), ("", ("key",))):
                        query = Query("acme", END_MS - YEAR_QUARTERS * QUARTER_MS, END_MS, tz, every, by)
                        took_ms, table = _timed(lambda query=query: store.read(lambda tx: run(tx, query, END_MS)))  # type: ignore[misc]
                        slowest = max(slowest, took_ms)
                        totals.add(table.total)
                        report.say(
                            f"{name}: a year by {every or 'nothing'} and {'+'.join(by) or 'nothing'}, {tz}", f"{took_ms:.0f} ms"
                        )
                rows = store.read(lambda tx: tx.row("SELECT COUNT(*) FROM usage_quarters"))
                report.say(f"{name}: generations, rows of sums, slowest drawing", (generations, rows, f"{slowest:.0f} ms"))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        assert len(totals) == 1
        assert len(MEASURES) == len(next(iter(totals)).__struct_fields__)
        assert slowest < LIMIT_MS, f"{name}: {slowest:.0f} ms"
