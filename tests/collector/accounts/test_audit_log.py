"""The audit log: every command that changes something leaves an entry, and no entry can be changed."""

import json

import pytest

from collector.accounts.audit_log import TEXT_CHARS_MAX, Actor, entries, record
from collector.store.contract import Store
from tests.collector.cli.test_commands import Line, line  # noqa: F401 - the fixture

ACTOR = Actor("alice", "10.0.0.7")


def test_entry_is_kept_with_its_change(store: Store) -> None:
    """Who, from where, what, to what; texts are bounded and hold nothing that a terminal would obey."""
    store.write(lambda tx: record(tx, ACTOR, "key.revoke", "abc123", {"account": "acme", "limit": None, "name": "x" * 9_000}, 5))
    store.write(lambda tx: record(tx, Actor("m\x1b[2J", "a\0b"), "credit.add", "acme", {"amount": "1"}, 6))
    first, second = store.read(entries)
    assert (first.at_ms, first.actor, first.origin, first.action, first.subject) == (
        5,
        "alice",
        "10.0.0.7",
        "key.revoke",
        "abc123",
    )
    assert json.loads(first.detail) == {"account": "acme", "name": "x" * TEXT_CHARS_MAX}
    assert (second.actor, second.origin) == ("m?[2J", "a?b")
    assert [entry.entry_id for entry in store.read(lambda tx: entries(tx, 6))] == [second.entry_id]
    assert [entry.at_ms for entry in store.read(lambda tx: entries(tx, 0, "abc123"))] == [5]
    assert [entry.at_ms for entry in store.read(lambda tx: entries(tx, count_max=1))] == [6]


def test_entry_of_a_change_that_failed_is_not_there(store: Store) -> None:
    """The entry is part of the transaction."""

    def work(tx: object) -> None:
        record(tx, ACTOR, "key.revoke", "abc123", {}, 5)  # type: ignore[arg-type]
        raise ValueError("meant")

    with pytest.raises(ValueError, match="meant"):
        store.write(work)
    assert store.read(entries) == []


@pytest.mark.parametrize("sql", ["UPDATE audit_log SET actor = 'mallory'", "DELETE FROM audit_log"])
def test_entry_can_be_neither_changed_nor_deleted(store: Store, sql: str) -> None:
    """The database itself refuses, whoever asks through it."""
    store.write(lambda tx: record(tx, ACTOR, "key.revoke", "abc123", {}, 5))
    with pytest.raises(Exception, match="only ever added"):
        store.write(lambda tx: tx.run(sql))
    assert len(store.read(entries)) == 1


def test_commands_that_change_something_leave_an_entry(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Each of them, with the operator's name and where it came from; secrets stand nowhere in it."""
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.9 5000 10.0.0.1 22")
    monkeypatch.setenv("LOGNAME", "alice")
    made = json.loads(line("keys", "create", "--account", "acme", "--credit", "5", "--name", "ci", "--json")[1])
    line("credits", "add", "acme", "3", "--ref", "invoice 7")
    line("credits", "take", "acme", "1")
    line("keys", "revoke", made["id"])
    token = line("nodes", "create", "fra-1")[1]
    line("nodes", "forfeit", "fra-1")
    line("nodes", "revoke", "fra-1")
    status, out, _ = line("audit", "--json")
    told = json.loads(out)
    assert status == 0
    assert [(row["action"], row["subject"]) for row in told] == [
        ("key.create", made["id"]),
        ("credit.add", "acme"),
        ("credit.take", "acme"),
        ("key.revoke", made["id"]),
        ("node.create_token", "fra-1"),
        ("node.forfeit", "fra-1"),
        ("node.revoke_tokens", "fra-1"),
    ]
    assert {(row["actor"], row["from"]) for row in told} == {("alice", "192.0.2.9")}
    assert told[1]["detail"] == {"amount": "3", "ref": "invoice 7"}
    assert made["key"] not in out
    assert not any(word in out for word in token.split() if word.startswith("nt_"))
    assert "credit.add" in line("audit", "--subject", "acme")[1]


def test_command_that_fails_leaves_no_entry(line: Line) -> None:  # noqa: F811
    """Nothing happened, so nothing is told."""
    assert line("keys", "revoke", "nobody")[0] == 1
    assert json.loads(line("audit", "--json")[1]) == []
