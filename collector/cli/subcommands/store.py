"""`tollway verify`, `prune`, `backup`, `init` and `names`: the store as a whole."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from collector.accounts.accounts import Mistake
from collector.accounts.audit_log import record
from collector.cli.arguments import add, days_of, irrevocable
from collector.cli.printing import confirm, json_text, operator, say, show_one, tell
from collector.ingest import retention
from collector.ledger.audit import verify
from collector.ledger.check import Check
from collector.store.contract import Store, Tx

FAULTS_SHOWN = 5
NAMES = {
    "account": "SELECT account FROM accounts ORDER BY account",
    "key": "SELECT key_id FROM keys UNION SELECT credential_id FROM credentials WHERE role <> 'operator' ORDER BY 1",
    "node": "SELECT node FROM nodes ORDER BY node",
    "group": "SELECT DISTINCT node_group FROM group_tokens ORDER BY node_group",
    "operator": "SELECT credential_id FROM credentials WHERE role = 'operator' ORDER BY credential_id",
    "sink": "SELECT sink FROM sinks UNION SELECT sink FROM outbox ORDER BY 1",
}
NAMES_MAX = 1_000
"""Nobody reads more of them below a command line."""


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    checked = add(subparsers, "verify", verify_books, "check every invariant of the books on the live store")
    text = "also write what was found as figures for Prometheus' node_exporter (its folder of text files)"
    checked.add_argument("--textfile", type=Path, metavar="FILE", help=text)
    prune = add(subparsers, "prune", prune_records, "drop raw records of whole months; sums and postings stay")
    prune.add_argument("--keep-days", type=days_of, required=True, metavar="DAYS", help="keep at least so many days, from 1")
    irrevocable(prune)
    text = "copy the live database to a file (SQLite) and check the copy, or say how (PostgreSQL)"
    backup = add(subparsers, "backup", back_up, text)
    backup.add_argument("file", type=Path, help="a new file")
    listing = add(subparsers, "names", list_names, "the names there are of one kind, a line each, for a shell's completion")
    listing.add_argument("kind", choices=NAMES, help="of what")
    listing.add_argument("prefix", nargs="?", default="", help="those that begin so; at most 1,000 are told")
    add(subparsers, "init", initialize, "make the books that TOLLWAY_DATA or TOLLWAY_DATABASE names", makes_store=True)


def verify_books(arguments: argparse.Namespace, store: Store, now: int) -> int:
    checks = store.read(verify)
    if arguments.textfile is not None:
        _write_figures(arguments.textfile, checks, now)
    if arguments.json:
        rows = [{"name": c.name, "kept": c.is_kept, "figures": c.figures, "faults": list(c.faults)} for c in checks]
        say(json_text(rows))
    else:
        for check in checks:
            say(f"{'ok  ' if check.is_kept else 'FAIL'}  {check.name}: {check.figures}")
            say(*(f"      {fault}" for fault in check.faults[:FAULTS_SHOWN]))
            if len(check.faults) > FAULTS_SHOWN:
                say(f"      and {len(check.faults) - FAULTS_SHOWN} more")
    return 0 if all(check.is_kept for check in checks) else 1


FIGURES = """\
# HELP tollway_verify_faults Faults that the last tollway verify found in the books.
# TYPE tollway_verify_faults gauge
tollway_verify_faults {faults}
# HELP tollway_verify_timestamp_seconds When the books were last verified, in Unix seconds.
# TYPE tollway_verify_timestamp_seconds gauge
tollway_verify_timestamp_seconds {seconds}
"""


def _write_figures(path: Path, checks: Sequence[Check], now: int) -> None:
    """At once, for a scrape must not read half of it. Mistake: it cannot be written."""
    text = FIGURES.format(faults=sum(len(check.faults) for check in checks), seconds=now // 1_000)
    beside = path.with_name(path.name + ".new")
    try:
        beside.write_text(text)
        beside.replace(path)
    except OSError as problem:
        raise Mistake(f"the figures cannot be written to {path}: {problem.strerror}") from problem


def prune_records(arguments: argparse.Namespace, store: Store, now: int) -> int:
    cut_ms = retention.cut_ms(arguments.keep_days, now)
    confirm(arguments.yes, f"the raw records of all months that ended {arguments.keep_days} days ago are dropped for good")

    def work(tx: Tx) -> str:
        said = retention.prune(tx, cut_ms)
        record(tx, operator(), "records.prune", f"{arguments.keep_days} days kept", {"said": said}, now)
        return said

    said = store.write(work)
    return tell({"keep_days": arguments.keep_days, "said": said}, arguments.json, said)


def back_up(arguments: argparse.Namespace, store: Store, now: int) -> int:
    said = store.backup(arguments.file, lambda tx: [fault for check in verify(tx) for fault in check.faults])
    store.write(lambda tx: record(tx, operator(), "store.backup", str(arguments.file), {}, now))
    return tell({"file": str(arguments.file), "said": said}, arguments.json, said)


def initialize(arguments: argparse.Namespace, store: Store, now: int) -> int:
    accounts = store.read(lambda tx: tx.row("SELECT COUNT(*) FROM accounts"))
    assert accounts is not None
    if arguments.json:
        return show_one({"accounts": accounts[0]}, as_json=True)
    say(f"the books are there, with {accounts[0]} accounts")
    return 0


def list_names(arguments: argparse.Namespace, store: Store, now: int) -> int:
    rows = store.read(lambda tx: tx.rows(NAMES[arguments.kind]))
    found = [row[0] for row in rows if row[0].startswith(arguments.prefix)][:NAMES_MAX]
    say(*([json_text(found)] if arguments.json else found))
    return 0
