"""`tollway usage` in ranges, zones and groups against the facts; commands on PostgreSQL; `tollway backup` of what is damaged."""

import csv
import datetime
import io
import os
import random
import sqlite3
from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from collector.ledger.audit import verify
from collector.service import Collector
from collector.store.contract import NoBooks
from collector.store.postgres import PostgresStore
from collector.store.sqlite import SqliteStore
from tests.collector.cli.test_commands import Line
from tests.collector.facts import NOON_MS, Clock, Node, at_time, make_caller
from usage.pricing import dollars
from usage.record import UsageRecord

pytestmark = pytest.mark.anyio
DAY_MS = 86_400_000


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Line:
    monkeypatch.setenv("TOLLWAY_DATA", str(tmp_path))
    monkeypatch.delenv("TOLLWAY_DATABASE", raising=False)
    return Line(capsys)


async def fill(path: Path, count: int) -> list[UsageRecord]:
    """So many generations of `acme` over the two months before NOON_MS, across the clock changes of autumn."""
    dice = random.Random(9)
    collector = Collector(SqliteStore.open(path), Clock())
    caller, node = await make_caller(collector, credit_nano=10**12), await Node(collector).boot()
    facts = []
    for seq in range(1, count + 1):
        fact = at_time(node.fact(seq, caller, dice.randrange(1, 10**6)), NOON_MS - dice.randrange(58 * DAY_MS))
        model = f"{dice.choice('ab')}/{dice.randrange(2)}"
        facts.append(msgspec.structs.replace(fact, model=model, provider=model[0]))
    await node.link.ingest(node.batch(facts))
    await collector.shut_down()
    return facts


@pytest.mark.parametrize("tz", ["UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])
async def test_usage_is_what_the_facts_count_up_to(line: Line, tmp_path: Path, tz: str) -> None:
    """Of days within a range, by each group, in each zone; the last day is within, a time at the end is not."""
    facts, zone = await fill(tmp_path / "collector.db", 400), ZoneInfo(tz)

    def local(fact: UsageRecord) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(fact.started_ms / 1000, zone)

    first, last = "2026-10-20", "2026-11-08"
    within = [fact for fact in facts if first <= local(fact).date().isoformat() <= last]
    rows = line.json("usage", "acme", "--from", first, "--until", last, "--tz", tz)
    expected: Counter[tuple[str, str]] = Counter()
    for fact in within:
        expected[local(fact).date().isoformat(), fact.model] += fact.cost_nano
    assert {(row["date"], row["model"]): row["cost"] for row in rows} == {key: dollars(nano) for key, nano in expected.items()}
    assert [row["date"] for row in rows] == sorted((row["date"] for row in rows), reverse=True)
    (whole,) = line.json("usage", "acme", "--from", first, "--until", last, "--tz", tz, "--every", "all", "--by", "none")
    assert (whole["requests"], whole["cost"]) == (len(within), dollars(sum(fact.cost_nano for fact in within)))
    months = line.json("usage", "acme", "--tz", tz, "--every", "month", "--by", "provider")
    assert sum(row["requests"] for row in months) == len(facts)
    each = line.json("usage", "acme", "--each", "--from", first, "--until", last, "--tz", tz)
    assert {row["id"] for row in each} == {fact.gen_id for fact in within}
    until = line.json("usage", "acme", "--from", first, "--until", f"{last}T00:00", "--tz", tz, "--every", "all", "--by", "none")
    assert until[0]["requests"] == sum(local(fact).date().isoformat() < last for fact in within)
    text = line("usage", "acme", "--csv", "--from", first, "--until", last, "--tz", tz)[1]
    assert len(list(csv.DictReader(io.StringIO(text)))) == len(rows)


async def test_usage_that_cannot_be_meant_is_refused(line: Line, tmp_path: Path) -> None:
    await fill(tmp_path / "collector.db", 3)
    for wrong in (("--tz", "Mars"), ("--by", "colour"), ("--by", "model,model"), ("--every", "fortnight")):
        with pytest.raises(SystemExit):
            line("usage", "acme", *wrong)
    ranges: tuple[tuple[str, ...], ...] = (
        ("--from", "soon"),
        ("--until", "2026-13-01"),
        ("--from", "2026-11-02", "--until", "2026-11-01"),
    )
    for words in ranges:
        status, _, err = line("usage", "acme", *words)
        assert (status, len([one for one in err.splitlines() if "tollway:" in one])) == (2, 1), words
    assert line("usage", "acme", "--from", "2030-01-01", "--json")[1] == "[]\n"
    assert line("usage", "acme", "--until", "9999-12-31", "--json")[0] == 0  # no calendar has the day behind it


@pytest.mark.parametrize("words", [(), ("--every", "all"), ("--by", "none"), ("--by", "key", "--every", "month"), ("--each",)])
async def test_usage_as_csv_has_its_header_where_nothing_was_used(line: Line, tmp_path: Path, words: tuple[str, ...]) -> None:
    """The same one as where something was: a program that reads the file finds its columns."""
    await fill(tmp_path / "collector.db", 3)
    header, *rows = line("usage", "acme", "--csv", *words)[1].splitlines()
    assert rows
    assert header == ",".join(line.json("usage", "acme", *words)[0])
    assert line("usage", "acme", "--csv", "--from", "2030-01-01", *words)[1] == header + "\n"
    assert line("credits", "add", "new", "1", "--create")[0] == 0
    assert line("usage", "new", "--csv", *words)[1] == header + "\n"


async def test_cells_of_usage_are_no_formulas(line: Line, tmp_path: Path) -> None:
    collector = Collector(SqliteStore.open(tmp_path / "collector.db"), Clock())
    caller, node = await make_caller(collector), await Node(collector).boot()
    await node.link.ingest(node.batch([msgspec.structs.replace(node.fact(1, caller), model="=HYPERLINK(1)", provider="@x")]))
    await collector.shut_down()
    assert "'=HYPERLINK(1),'@x" in line("usage", "acme", "--csv")[1]


def test_commands_on_postgres(postgres_url: str, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty database is no store for what only asks; what makes something makes the tables, and says where."""
    monkeypatch.setenv("TOLLWAY_DATABASE", postgres_url)
    asking: tuple[tuple[str, ...], ...] = (("keys", "list"), ("credits", "add", "acme", "5", "--create"), ("verify",))
    for words in asking:
        status, _, err = line(*words)
        assert (status, "there are no books at PostgreSQL" in err) == (1, True)
    with pytest.raises(NoBooks):
        PostgresStore.open(postgres_url, makes=False)
    status, _, err = line("keys", "create", "--account", "acme", "--credit", "5")
    assert (status, "books were made: PostgreSQL" in err) == (0, True)
    made = line.json("keys", "create", "--account", "acme", "--limit", "1", "--json")
    working: tuple[tuple[str, ...], ...] = (
        ("credits", "add", "acme", "1", "--ref", "r"),
        ("credits", "take", "acme", "1", "--ref", "t"),
        ("credits", "history", "acme"),
        ("keys", "show", made["id"]),
        ("keys", "update", made["id"], "--models", "echo/*"),
        ("keys", "rotate", made["id"]),
        ("nodes", "create", "--group", "edge"),
        ("nodes", "groups"),
        ("nodes", "create", "fra-1"),
        ("nodes", "list"),
        ("nodes", "revoke", "fra-1"),
        ("usage", "acme"),
        ("operators", "create", "me"),
        ("audit",),
        ("verify",),
        ("init",),
        ("prune", "--keep-days", "30", "--yes"),
    )
    for words in working:
        status, _, err = line(*words)
        assert status == 0, (words, err)
    for words in (("credits", "add", "amce", "1"), ("nodes", "forfeit", "fra1"), ("keys", "show", "nope")):
        assert line(*words)[0] == 1


def harm(path: Path, where: str) -> None:
    """A page that the disk has eaten, a record that was changed, an amount that was changed."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if where == "record":
            connection.execute("UPDATE records SET payload = REPLACE(payload, 'echo/small', 'echo/smalk') WHERE seq = 7")
        if where == "amount":
            connection.execute("UPDATE accounts SET available_nano = available_nano + 1")
    connection.close()
    if where == "page":
        with path.open("r+b") as file:
            for page in range(20, 40):
                file.seek(page * 4096)
                file.write(b"\xff" * 60)


@pytest.mark.parametrize("where", ["", "page", "record", "amount"])
async def test_backup_is_one_only_when_it_holds(line: Line, tmp_path: Path, where: str) -> None:
    """A copy of damaged books is no backup: it is told, and removed; a sound one opens and verifies."""
    collector = Collector(SqliteStore.open(tmp_path / "collector.db"), Clock())
    caller, node = await make_caller(collector, credit_nano=10**12), await Node(collector).boot()
    await node.link.ingest(node.batch([node.fact(seq, caller) for seq in range(1, 400)]))
    await collector.shut_down()
    harm(tmp_path / "collector.db", where)
    copy = tmp_path / "copy.db"
    status, out, err = line("backup", str(copy))
    if where:
        assert (status, out, copy.exists()) == (1, "", False)
        assert any(word in err for word in ("no backup", "malformed", "damaged")), err
    else:
        assert (status, "and checked the copy" in out) == (0, True)
        assert [name for name in os.listdir(tmp_path) if name.startswith("copy")] == ["copy.db"]
        restored = SqliteStore.open(copy)
        assert all(check.is_kept for check in restored.read(verify))
        restored.close()
