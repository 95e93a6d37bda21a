"""The account commands: what they print, what they refuse, and that they work beside a running collector."""

import argparse
import json
from pathlib import Path

import pytest

from collector.cli import commands as ops
from collector.ledger.audit import verify
from collector.service import Collector
from collector.store.sqlite import SqliteStore
from tests.collector.facts import Clock, Node, make_caller
from usage.key import is_well_formed


class Line:
    """The command line."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        parser = argparse.ArgumentParser("tollway")
        ops.commands(parser.add_subparsers(required=True))
        arguments = parser.parse_args(words)
        status = arguments.run(arguments)
        printed = self.capsys.readouterr()
        return status, printed.out, printed.err


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Line:
    monkeypatch.setenv("TOLLWAY_DATA", str(tmp_path))
    monkeypatch.delenv("TOLLWAY_DATABASE", raising=False)
    return Line(capsys)


def test_keys_are_made_listed_and_revoked(line: Line) -> None:
    """The key is printed once, on a line of its own, and never again."""
    status, out, _ = line("keys", "create", "--account", "acme", "--credit", "5.00", "--models", "openai/*,echo/small")
    key = next(text for text in out.splitlines() if text.startswith("key: "))[5:]
    assert status == 0
    assert is_well_formed(key.encode())
    made = json.loads(
        line("keys", "create", "--account", "acme", "--limit", "1.00", "--limit-reset", "daily", "--name", "ci", "--json")[1]
    )
    assert is_well_formed(made["key"].encode())
    assert (made["limit"], made["limit_reset"]) == ("1", "daily")
    listed = json.loads(line("keys", "list", "--json")[1])
    assert {row["models"] for row in listed} == {"openai/*,echo/small", ""}
    assert key not in json.dumps(listed)
    assert line("keys", "revoke", made["id"])[0] == 0
    assert [row["disabled"] for row in json.loads(line("keys", "list", "--json")[1]) if row["id"] == made["id"]] == [True]
    assert "acme" in line("keys", "list")[1]
    assert line("keys", "list", "--account", "nobody")[1] == "none\n"


def test_credits_are_added_taken_and_shown(line: Line) -> None:
    assert line("credits", "add", "acme", "10.00", "--ref", "invoice 7")[1] == "acme: 10 dollars available, 0 leased to nodes\n"
    assert line("credits", "take", "acme", "0.000000001")[1].startswith("acme: 9.999999999 dollars")
    shown = json.loads(line("credits", "show", "acme", "--json")[1])
    assert (shown["balance"], shown["total_credits"]) == ("9.999999999", "9.999999999")
    assert "balance: 9.999999999" in line("credits", "show", "acme")[1]
    status, out, _ = line("verify")
    assert status == 0
    assert "FAIL" not in out


def test_reference_is_booked_once(line: Line) -> None:
    """A command that is run again pays once and says so; the same reference for another amount or account is refused."""
    line("credits", "add", "acme", "10.00", "--ref", "invoice 7")
    status, out, _ = line("credits", "add", "acme", "10.00", "--ref", "invoice 7")
    assert (status, "was booked before" in out, "acme: 10 dollars available" in out) == (0, True, True)
    for words in (("acme", "11.00"), ("other", "10.00")):
        assert line("credits", "add", *words, "--ref", "invoice 7")[0] == 1
    assert json.loads(line("credits", "show", "acme", "--json")[1])["total_credits"] == "10"
    assert line("credits", "show", "other")[0] == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("credits", "show", "nobody"), "there is no account 'nobody'"),
        (("credits", "take", "nobody", "1"), "there is no account 'nobody'"),
        (("credits", "add", "a/b", "1"), "no slash"),
        (("credits", "add", "acme", "0"), "must be more than 0"),
        (("credits", "add", "acme", "999999999"), None),
        (("keys", "revoke", "zzzzzz"), "there is no key with the id 'zzzzzz'"),
        (("keys", "create", "--account", "acme", "--models", "a,,b"), "prefix ending in"),
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
    (row,) = json.loads(line("nodes", "list", "--json")[1])
    assert (row["acked_through"], row["leased"], row["tokens"]) == (2, "0.000008", 1)
    assert line("usage", "acme", "--csv")[1].splitlines()[1] == "2026-11-22,echo/small,echo,2,20,8,0,0.000002"
    assert len(json.loads(line("usage", "acme", "--each", "--json")[1])) == 2
    assert line("usage", "acme", "--since", "2026-11-23")[1] == "none\n"
    assert line("nodes", "revoke", "fra-1")[1] == "revoked 1 tokens of node fra-1\n"
    assert "0.000008 dollars went back" in line("nodes", "forfeit", "fra-1", "--living")[1]
    assert line("nodes", "accept-gap", "fra-1")[1] == "gave up 0 facts of node fra-1\n"
    assert line("backup", str(tmp_path / "copy.db"))[0] == 0
    assert line("backup", str(tmp_path / "copy.db"))[0] == 1
    copy = SqliteStore.open(tmp_path / "copy.db")
    assert all(check.is_kept for check in copy.read(verify))
    copy.close()
    await collector.shut_down()


def test_verify_fails_when_a_table_was_changed_by_hand(line: Line, tmp_path: Path) -> None:
    """One nano-dollar is enough, and the line names the account."""
    line("credits", "add", "acme", "1.00")
    store = SqliteStore.open(tmp_path / "collector.db")
    store.write(lambda tx: tx.run("UPDATE accounts SET available_nano = available_nano + 1"))
    store.close()
    status, out, _ = line("verify")
    assert status == 1
    assert "FAIL  tables = replayed log" in out
    assert "account acme" in out
    assert [row["kept"] for row in json.loads(line("verify", "--json")[1])].count(False) == 2
