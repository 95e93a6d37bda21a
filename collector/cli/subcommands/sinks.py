"""What `tollway sinks …` does: how the outboxes are, dead letters again, records once more."""

import argparse
from typing import Any
from zoneinfo import ZoneInfo

from collector.accounts.accounts import Mistake
from collector.cli.arguments import add, family, moment_of
from collector.cli.printing import show, tell
from collector.sinks import outbox
from collector.store.contract import Store, Tx
from usage.gen_id import first_of

UTC = ZoneInfo("UTC")
FOREVER_MS = 2**62
SINKS = ("nats", "openmeter")


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    of_sinks = family(subparsers, "sinks", "where usage events go: what waits, dead letters, replays")
    add(of_sinks, "list", list_sinks, "what waits for each sink, what it refused, what was not written for it")
    retry = add(of_sinks, "retry", retry_dead, "try a sink's dead letters again")
    retry.add_argument("sink", help="as `tollway sinks list` shows it")
    text = "write records for a sink again, after an outage that filled its outbox"
    again = add(of_sinks, "replay", replay, text)
    again.add_argument("sink", help="as `tollway sinks list` shows it")
    again.add_argument("--since", metavar="DAY", required=True, help="from this UTC day on, such as 2026-01-31")
    again.add_argument("--until", metavar="DAY", default=None, help="the first UTC day that is left out")


def list_sinks(arguments: argparse.Namespace, store: Store, now: int) -> int:
    rows: list[dict[str, Any]] = [
        {
            "sink": row.sink,
            "waiting": row.waiting,
            "oldest_seconds": (now - row.oldest_ms) // 1000 if row.oldest_ms else 0,
            "dead": row.dead,
            "skipped": row.skipped,
            "problem": row.problem,
        }
        for row in store.read(outbox.backlogs)
    ]
    return show(rows, arguments.json)


def _check(tx: Tx, sink: str) -> None:
    """Mistake: there is no such sink, and nothing waits for one of that name."""
    names = sorted({*SINKS, *(row.sink for row in outbox.backlogs(tx))})
    if sink not in names:
        raise Mistake(f"there is no sink {sink!r}; there are {', '.join(names)}")


def retry_dead(arguments: argparse.Namespace, store: Store, now: int) -> int:
    store.read(lambda tx: _check(tx, arguments.sink))
    count = store.write(lambda tx: outbox.revive(tx, arguments.sink))
    said = f"{count} events of sink {arguments.sink} are tried again"
    return tell({"sink": arguments.sink, "events": count}, arguments.json, said)


def replay(arguments: argparse.Namespace, store: Store, now: int) -> int:
    store.read(lambda tx: _check(tx, arguments.sink))
    from_ms = moment_of(arguments.since, UTC, "--since")
    until_ms = moment_of(arguments.until, UTC, "--until") if arguments.until else FOREVER_MS
    count, last, until = 0, first_of(from_ms), first_of(until_ms)
    while last:
        part, last = store.write(lambda tx, after=last: outbox.replay_part(tx, arguments.sink, after, until, now))  # type: ignore[misc]
        count += part
    said = f"{count} records are written for sink {arguments.sink} again; it counts each of them once"
    return tell({"sink": arguments.sink, "records": count}, arguments.json, said)
