"""The account commands: what they print, what they refuse, and that they work beside a running collector."""

import argparse
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from collector.accounts.keys import change_key, find_key_by_id
from collector.cli.commands import commands
from collector.ledger.audit import verify
from collector.service import Collector
from collector.store.sqlite import SqliteStore
from tests.collector.facts import Clock, Node, make_caller
from usage.key import is_well_formed, mint


class Line:
    """The command line."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        parser = argparse.ArgumentParser("tollway")
        commands(parser.add_subparsers(required=True))
        arguments = parser.parse_args(words)
        status = arguments.run(arguments)
        printed = self.capsys.readouterr()
        return status, printed.out, printed.err

    def json(self, *words: str) -> Any:
        """What a command that works says to a program."""
        return json.loads(self(*words, "--json")[1])


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Line:
    monkeypatch.setenv("TOLLWAY_DATA", str(tmp_path))
    monkeypatch.delenv("TOLLWAY_DATABASE", raising=False)
    made = Line(capsys)
    assert made("init")[0] == 0
    return made


def test_keys_are_made_listed_and_revoked(line: Line) -> None:
    """The key is printed once, on a line of its own, and never again."""
    status, out, _ = line("keys", "create", "--account", "acme", "--credit", "5.00", "--models", "openai/*,echo/small")
    key = next(text for text in out.splitlines() if text.startswith("key: "))[5:]
    assert status == 0
    assert is_well_formed(key.encode())
    made = line.json("keys", "create", "--account", "acme", "--limit", "1.00", "--limit-reset", "daily", "--name", "ci")
    assert is_well_formed(made["key"].encode())
    assert (made["limit"], made["limit_reset"]) == ("1", "daily")
    listed = line.json("keys", "list")
    assert {row["models"] for row in listed} == {"openai/*,echo/small", ""}
    assert key not in json.dumps(listed)
    assert line("keys", "revoke", made["id"])[0] == 0
    assert [row["disabled"] for row in line.json("keys", "list") if row["id"] == made["id"]] == [True]
    assert "acme" in line("keys", "list")[1]
    status, out, err = line("keys", "list", "--account", "nobody")
    assert (status, out, "there is no account 'nobody'" in err) == (1, "", True)


def test_credits_are_added_taken_and_shown(line: Line) -> None:
    line("keys", "create", "--account", "acme")
    assert line("credits", "add", "acme", "10.00", "--ref", "invoice 7")[1] == "acme: 10 dollars available, 0 leased to nodes\n"
    assert line("credits", "take", "acme", "0.000000001")[1].startswith("acme: 9.999999999 dollars")
    shown = line.json("credits", "show", "acme")
    assert (shown["balance"], shown["total_credits"]) == ("9.999999999", "9.999999999")
    assert "balance: 9.999999999" in line("credits", "show", "acme")[1]
    assert [(row["account"], row["balance"]) for row in line.json("credits", "list")] == [("acme", "9.999999999")]
    status, out, _ = line("verify")
    assert status == 0
    assert "FAIL" not in out


def test_verify_leaves_figures_for_prometheus(line: Line, tmp_path: Path) -> None:
    """Faults and when it was, in one piece; a folder that is not there is said plainly, and nothing half is left."""
    line("credits", "add", "acme", "10.00", "--create")
    path = tmp_path / "tollway.prom"
    assert line("verify", "--textfile", str(path))[0] == 0
    told = dict(row.split() for row in path.read_text().splitlines() if not row.startswith("#"))
    assert told["tollway_verify_faults"] == "0"
    assert int(told["tollway_verify_timestamp_seconds"]) > 0
    assert [each.name for each in tmp_path.glob("tollway.prom*")] == ["tollway.prom"]
    with closing(sqlite3.connect(next(tmp_path.rglob("collector.db")))) as books, books:
        books.execute("UPDATE accounts SET available_nano = available_nano + 1")
    assert line("verify", "--textfile", str(path))[0] == 1
    assert "\ntollway_verify_faults 0\n" not in path.read_text()
    status, _, err = line("verify", "--textfile", str(tmp_path / "none" / "x"))
    assert (status, "cannot be written" in err) == (1, True)


def test_reference_is_booked_once(line: Line) -> None:
    """A command that is run again pays once and says so; the same reference for another amount or account is refused."""
    line("credits", "add", "acme", "10.00", "--ref", "invoice 7", "--create")
    status, out, _ = line("credits", "add", "acme", "10.00", "--ref", "invoice 7")
    assert (status, "was booked before" in out, "acme: 10 dollars available" in out) == (0, True, True)
    for words in (("acme", "11.00"), ("other", "10.00")):
        assert line("credits", "add", *words, "--ref", "invoice 7")[0] == 1
    assert line.json("credits", "show", "acme")["total_credits"] == "10"
    assert line("credits", "show", "other")[0] == 1
    for _ in range(2):
        status, out, _ = line("credits", "take", "acme", "4.00", "--ref", "credit note 7")
    assert (status, "nothing was taken" in out, "acme: 6 dollars available" in out) == (0, True, True)
    history = line.json("credits", "history", "acme")
    assert [(row["kind"], row["amount"], row["ref"]) for row in history] == [
        ("correction", "-4", "credit note 7"),
        ("top_up", "10", "invoice 7"),
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("credits", "show", "nobody"), "there is no account 'nobody'"),
        (("credits", "take", "nobody", "1"), "there is no account 'nobody'"),
        (("credits", "add", "a/b", "1"), "no slash"),
        (("credits", "add", "acme", "0", "--create"), "must be more than 0"),
        (("credits", "add", "acme", "999999999", "--create"), None),
        (("credits", "add", "acme", "1"), "there is no account 'acme'; --create makes it"),
        (("keys", "revoke", "zzzzzz"), "there is no key with the id 'zzzzzz'"),
        (("usage", "nobody"), "there is no account"),
        (("nodes", "forfeit", "nobody"), "there is no node"),
        (("nodes", "revoke", "nobody"), "there is no node"),
        (("nodes", "create", "a b"), "is no node name"),
    ],
)
def test_commands_say_what_is_wrong_in_one_sentence(line: Line, words: tuple[str, ...], sentence: str | None) -> None:
    status, _, err = line(*words)
    if sentence is None:
        assert status == 0
    else:
        assert status == 1
        assert sentence in err
        assert len(err.splitlines()) == 1
        assert "books: SQLite /" in err


@pytest.mark.parametrize(
    "words",
    [
        ("--models", ""), ("--models", " "), ("--models", "a,,b"), ("--models", "*"), ("--models", "a*b"), ("--models", "a b"),
        ("--expires", "soon"), ("--expires", "2020-01-31"), ("--expires", "0d"), ("--expires", "30"), ("--limit", "1e3"),
    ],
)  # fmt: skip
def test_terms_that_cannot_be_meant_are_refused(line: Line, words: tuple[str, str]) -> None:
    """No models are not all models, and what has passed is no expiry; nothing is made."""
    with pytest.raises(SystemExit):
        line("keys", "create", "--account", "acme", *words)
    line.capsys.readouterr()
    assert line("keys", "list")[1] == "none\n"


def test_books_are_not_made_by_what_only_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the wrong folder or at an edge nothing is made and nothing worked; what makes something says what it made, and where."""
    monkeypatch.setenv("TOLLWAY_DATA", str(tmp_path / "typo"))
    monkeypatch.delenv("TOLLWAY_DATABASE", raising=False)
    line = Line(capsys)
    for words in (
        ("credits", "add", "acme", "5", "--create"),
        ("keys", "list"),
        ("verify",),
        ("usage", "acme"),
        ("nodes", "list"),
    ):
        status, out, err = line(*words)
        assert (status, out, len(err.splitlines())) == (1, "", 1)
        assert f"there are no books at SQLite {tmp_path}/typo/collector.db" in err
    monkeypatch.setenv("TOLLWAY_COLLECTOR_URL", "https://collector.example")
    assert "an edge of https://collector.example" in line("credits", "add", "acme", "5")[2]
    assert not (tmp_path / "typo").exists()
    monkeypatch.delenv("TOLLWAY_COLLECTOR_URL")
    status, out, err = line("keys", "create", "--account", "acme", "--credit", "5", "--json")
    made = json.loads(out)
    assert (status, made["account"], made["account_created"], is_well_formed(made["key"].encode())) == (0, "acme", True, True)
    assert err.splitlines() == [
        f"books were made: SQLite {tmp_path}/typo/collector.db",
        f"books: SQLite {tmp_path}/typo/collector.db",
    ]
    assert line.json("keys", "create", "--account", "acme")["account_created"] is False


def test_typing_errors_are_told_with_the_nearest_names(line: Line) -> None:
    line("keys", "create", "--account", "acme-gmbh", "--credit", "5")
    for words in (
        ("credits", "add", "acme-gmhb", "1"),
        ("credits", "show", "acmegmbh"),
        ("usage", "acme-gmb"),
        ("login", "acme_gmbh"),
    ):
        status, _, err = line(*words)
        assert (status, "did you mean acme-gmbh?" in err) == (1, True), words
    line("nodes", "create", "fra-1")
    for action in ("accept-gap", "forfeit", "revoke"):
        status, _, err = line("nodes", action, "fra1")
        assert (status, "did you mean fra-1?" in err) == (1, True), action
    assert [row["node"] for row in line.json("nodes", "list")] == ["fra-1"]
    status, out, err = line("keys", "create", "--account", "acme_gmhb")
    assert (status, "account: acme_gmhb (new)" in out, "is new; did you mean acme-gmbh?" in err) == (0, True, True)


def test_key_is_never_said_again(line: Line) -> None:
    """Revoked, shown or changed by its whole text, which nothing repeats, whether it is there or not."""
    key = line.json("keys", "create", "--account", "acme")["key"]
    other, _ = mint(bytes(range(32)))
    for words in (("show", key), ("update", key, "--name", "new"), ("revoke", key), ("revoke", other), ("revoke", key[:-1])):
        status, out, err = line("keys", *words)
        assert status == (1 if words[1] != key else 0), (words[0], err)
        assert words[1] not in out + err
    assert line.json("keys", "list")[0]["disabled"] is True


def test_key_is_changed_and_replaced(line: Line) -> None:
    """Every term; what is not named stays. The new key has the old one's terms, and the old one its last day."""
    made = line.json("keys", "create", "--account", "acme", "--limit", "1", "--name", "ci", "--expires", "2099-01-31")
    assert made["expires_at"].startswith("2099-01-31T00:00")
    changed = line.json("keys", "update", made["id"], "--limit", "2.50", "--limit-reset", "daily", "--models", "echo/*")
    assert (changed["limit"], changed["limit_reset"], changed["models"], changed["name"]) == ("2.5", "daily", "echo/*", "ci")
    assert changed["expires_at"] == made["expires_at"]
    new = line.json("keys", "rotate", made["id"], "--keep", "24h")
    same = ("account", "name", "limit", "limit_reset", "models", "expires_at")
    assert [new[name] for name in same] == [changed[name] for name in same]
    assert is_well_formed(new["key"].encode())
    assert (new["replaces"], line.json("keys", "show", made["id"])["expires_at"]) == (
        made["id"],
        new["old_ends_at"],
    )
    assert line("keys", "rotate", new["id"])[0] == 0
    assert line.json("keys", "show", new["id"])["disabled"] is True
    assert line("keys", "rotate", new["id"])[0] == 1
    freed = line.json("keys", "update", made["id"], "--limit", "none", "--models", "all", "--expires", "never")
    assert (freed["limit"], freed["models"], freed["expires_at"]) == (None, "", None)
    for words in ((), ("--limit-reset", "none", "--disable"), ("--enable",)):
        assert line("keys", "update", made["id"], *words)[0] == (0 if words else 1)
    manager = line.json("keys", "create", "--account", "acme", "--role", "management", "--expires", "30d")
    assert manager["expires_at"]
    assert "not changed" in line("keys", "update", manager["id"], "--name", "x")[2]


@pytest.mark.parametrize(
    "words", [("--limit", "1"), ("--models", "echo/*"), ("--requests-per-minute", "5"), ("--concurrent-requests", "1")]
)
def test_key_that_pays_for_nothing_has_no_limits(line: Line, words: tuple[str, str]) -> None:
    """It is refused instead of being made without them, and so is the account that it was to be made for."""
    status, _, err = line("keys", "create", "--account", "acme", "--credit", "1", "--role", "read", *words)
    assert (status, "pays for nothing" in err) == (1, True)
    assert "there is no account 'acme'" in line("credits", "show", "acme")[2]


def test_deleted_key_is_not_enabled_again(line: Line, tmp_path: Path) -> None:
    """Nodes would refuse it all the same: what the command says is so."""
    made = line.json("keys", "create", "--account", "acme")
    store = SqliteStore.open(tmp_path / "collector.db")
    key = store.read(lambda tx: find_key_by_id(tx, made["id"]))
    assert key is not None
    store.write(lambda tx: change_key(tx, msgspec.structs.replace(key, disabled=True, deleted=True), 1))
    store.close()
    status, _, err = line("keys", "update", made["id"], "--enable")
    assert (status, "was deleted, which is for good" in err) == (1, True)


def test_groups_are_made_listed_and_revoked(line: Line) -> None:
    made = line.json("nodes", "create", "--group", "edge")
    assert made["token"].startswith("ng_edge.")
    assert line.json("nodes", "groups") == [{"group": "edge", "tokens": 1, "nodes": 0, "revoked_nodes": 0}]
    assert line("nodes", "revoke", "--group", "edge")[0] == 0
    assert line.json("nodes", "groups")[0]["tokens"] == 0
    assert "there is no group 'egde'; there is edge" in line("nodes", "revoke", "--group", "egde")[2]
    for name in ("a.b", "a/b", "", "x" * 41):
        assert name == "" or line("nodes", "create", "--group", name)[0] == 1


def test_commands_that_end_something_say_so_to_a_program(line: Line, tmp_path: Path) -> None:
    """What was ended, and how much: one JSON value, as of every other command."""
    key = line.json("keys", "create", "--account", "acme")
    reader = line.json("keys", "create", "--account", "acme", "--role", "read")
    person = line.json("operators", "create", "me")
    for _ in range(2):
        line("nodes", "create", "fra-1")
    line("nodes", "create", "--group", "edge")
    assert line.json("nodes", "revoke", "fra-1", "--keep-newest") == {"node": "fra-1", "tokens": 1}
    assert line.json("nodes", "revoke", "fra-1") == {"node": "fra-1", "tokens": 1, "group": None}
    assert line.json("nodes", "revoke", "--group", "edge") == {"group": "edge", "tokens": 1}
    assert line.json("nodes", "forfeit", "fra-1") == {"node": "fra-1", "epochs": 0, "returned": "0", "living_epochs": []}
    for made in (key, reader):
        told = line.json("keys", "revoke", made["id"])
        assert told == {name: made[name] for name in ("id", "account", "label")}
    told = line.json("operators", "revoke", person["id"])
    assert (told["id"], told["name"]) == (person["id"], "me")
    assert line.json("sinks", "retry", "nats") == {"sink": "nats", "events": 0}
    assert line.json("sinks", "replay", "nats", "--since", "2026-01-31") == {"sink": "nats", "records": 0}
    assert line.json("prune", "--keep-days", "30", "--yes")["keep_days"] == 30
    assert line.json("backup", str(tmp_path / "copy.db"))["file"] == str(tmp_path / "copy.db")


@pytest.mark.parametrize("amount", ["5,00", "1e3", "-1", "0.0000000001", "nan"])
def test_amounts_are_plain_decimals(line: Line, amount: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A float's spelling is no amount of money."""
    with pytest.raises(SystemExit):
        line("credits", "add", "acme", "--", amount)
    assert "dollar" in capsys.readouterr().err or amount == "-1"


def test_commands_open_no_store_that_is_none(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLWAY_DATABASE", "mysql://x")
    status, _, err = line("verify")
    assert (status, len(err.splitlines())) == (1, 1)


@pytest.mark.anyio
async def test_commands_work_beside_a_running_collector(line: Line, tmp_path: Path) -> None:
    """One file, two processes' worth of connections: nodes, usage, forfeit and backup while facts come in."""
    collector = Collector(SqliteStore.open(tmp_path / "collector.db"), Clock())
    caller, node = await make_caller(collector), await Node(collector).boot()
    assert line("credits", "add", "acme", "1.00")[0] == 0
    await node.acquire(caller, 10_000)
    await node.link.ingest(node.batch([node.fact(1, caller), node.fact(2, caller)]))
    assert "token: nt_" in line("nodes", "create", "fra-1")[1]
    (row,) = line.json("nodes", "list")
    assert (row["acked_through"], row["leased"], row["tokens"]) == (2, "0.000008", 1)
    assert line("usage", "acme", "--csv")[1].splitlines()[1] == "2026-11-22,echo/small,echo,2,20,8,0,0.000002"
    assert len(line.json("usage", "acme", "--each")) == 2
    assert line("usage", "acme", "--since", "2026-11-23")[1] == "none\n"
    assert (
        line("nodes", "revoke", "fra-1")[1]
        == "revoked 1 tokens of node fra-1: with its next poll, within two seconds, it takes no more paid work\n"
    )
    assert "0.000008 dollars went back" in line("nodes", "forfeit", "fra-1", "--living", "--yes")[1]
    assert "has no gap" in line("nodes", "accept-gap", "fra-1")[2]
    assert line("backup", str(tmp_path / "copy.db"))[0] == 0
    assert line("backup", str(tmp_path / "copy.db"))[0] == 1
    copy = SqliteStore.open(tmp_path / "copy.db")
    assert all(check.is_kept for check in copy.read(verify))
    copy.close()
    await collector.shut_down()


def test_verify_fails_when_a_table_was_changed_by_hand(line: Line, tmp_path: Path) -> None:
    """One nano-dollar is enough, and the line names the account."""
    line("credits", "add", "acme", "1.00", "--create")
    store = SqliteStore.open(tmp_path / "collector.db")
    store.write(lambda tx: tx.run("UPDATE accounts SET available_nano = available_nano + 1"))
    store.close()
    status, out, _ = line("verify")
    assert status == 1
    assert "FAIL  tables = replayed log" in out
    assert "account acme" in out
    assert [row["kept"] for row in line.json("verify")].count(False) == 2
