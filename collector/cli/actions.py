"""What the account commands of `tollway` do, once their arguments are parsed and the store is open.

Rule: one function per command, of (arguments, store, now_ms); it prints and gives the exit status. What cannot be is a Mistake.
Rule: what changes something says so in the audit log, in the same transaction.
"""

import argparse
import csv
import json
import os
import sys
from typing import Any

import msgspec

from collector.accounts import accounts, history, payments, roles
from collector.accounts.accounts import KeyTerms, Mistake
from collector.accounts.audit_log import entries, record
from collector.accounts.roles import Credential, Role
from collector.accounts.window import DAY_MS
from collector.api.shapes import timestamp
from collector.cli.credential_actions import create_credential, describe_credential
from collector.cli.printing import credit_in, operator, say, show
from collector.dashboard.sessions import LINK_MS, make_link
from collector.ingest import retention
from collector.leasing import leasing, nodes
from collector.ledger.audit import verify
from collector.store.contract import Store, Tx
from usage.key import digest
from usage.pricing import dollars

FAULTS_SHOWN = 5
DAY_MAX = 2_932_896
"""The last day of the year 9999."""


def create_key(arguments: argparse.Namespace, store: Store, now: int) -> int:
    if arguments.role != "inference":
        return create_credential(arguments, store, now)
    models = tuple(model.strip() for model in arguments.models.split(",")) if arguments.models else ()
    terms = KeyTerms(arguments.name, models, arguments.limit, arguments.limit_reset)

    def work(tx: Any) -> tuple[str, accounts.Key]:
        key = accounts.create_key(tx, arguments.account, terms, now)
        if arguments.credit:
            accounts.add_credit(tx, arguments.account, arguments.credit, "with a new key", now)
        made = accounts.find_key(tx, digest(key.encode()))
        assert made is not None
        described = _describe_key(made)
        detail = {name: described[name] for name in ("account", "name", "models", "limit", "limit_reset")}
        record(tx, operator(), "key.create", made.key_id, detail | {"credit": credit_in(arguments.credit)}, now)
        return key, made

    key, made = store.write(work)
    if arguments.json:
        say(json.dumps({"key": key, **_describe_key(made)}, indent=2))
    else:
        say(f"account: {arguments.account}", f"id: {made.key_id}", f"key: {key}", "Keep the key: it is shown only now.")
    return 0


def _describe_key(key: accounts.Key) -> dict[str, Any]:
    return {
        "id": key.key_id,
        "account": key.account,
        "label": key.label,
        "name": key.name,
        "models": ",".join(key.models),
        "limit": None if key.limit_nano is None else dollars(key.limit_nano),
        "limit_reset": key.limit_reset,
        "disabled": key.disabled,
        "created_at": timestamp(key.created_ms),
        "role": "inference",
    }


def list_keys(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> list[dict[str, Any]]:
        found = [_describe_key(key) for key in accounts.list_keys(tx, arguments.account)]
        others = roles.list_credentials(tx, arguments.account or None)
        return found + [describe_credential(one) for one in others if one.role != "operator"]

    return show(store.read(work), arguments.json)


def revoke_key(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> accounts.Key | Credential:
        if any(one.credential_id == arguments.id and one.role != "operator" for one in roles.list_credentials(tx)):
            found = roles.revoke_credential(tx, arguments.id)
            record(tx, operator(), "credential.revoke", arguments.id, {"account": found.account, "label": found.label}, now)
            return found
        key = accounts.revoke_key(tx, arguments.id)
        record(tx, operator(), "key.revoke", key.key_id, {"account": key.account, "label": key.label}, now)
        return key

    key = store.write(work)
    say(f"revoked {key.label} of account {key.account}; nodes hear of it with their next batch")
    return 0


def add_credit(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> bool:
        if arguments.ref:
            accounts.create_account(tx, arguments.account, now)
            is_new = payments.pay(tx, arguments.account, arguments.amount, arguments.ref, "operator", now)
        else:
            accounts.add_credit(tx, arguments.account, arguments.amount, "", now)
            is_new = True
        if is_new:
            detail = {"amount": dollars(arguments.amount), "ref": arguments.ref}
            record(tx, operator(), "credit.add", arguments.account, detail, now)
        return is_new

    if not store.write(work):
        say(f"the reference {arguments.ref!r} was booked before: nothing was added")
    return _say_balance(arguments.account, store)


def take_credit(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> None:
        accounts.take_credit(tx, arguments.account, arguments.amount, arguments.ref, now)
        detail = {"amount": dollars(arguments.amount), "ref": arguments.ref}
        record(tx, operator(), "credit.take", arguments.account, detail, now)

    store.write(work)
    return _say_balance(arguments.account, store)


def _say_balance(account: str, store: Store) -> int:
    credits = store.read(lambda tx: history.credits_of(tx, account))
    assert credits is not None
    say(f"{account}: {dollars(credits.available_nano)} dollars available, {dollars(credits.leased_nano)} leased to nodes")
    return 0


def show_credits(arguments: argparse.Namespace, store: Store, now: int) -> int:
    credits = store.read(lambda tx: history.credits_of(tx, arguments.account))
    if credits is None:
        raise Mistake(f"there is no account {arguments.account!r}")
    figures = {
        "account": credits.account,
        "balance": dollars(credits.available_nano + credits.leased_nano),
        "available": dollars(credits.available_nano),
        "leased": dollars(credits.leased_nano),
        "total_credits": dollars(credits.topped_nano),
        "total_usage": dollars(credits.spent_nano),
        "absorbed": dollars(credits.absorbed_nano),
    }
    if arguments.json:
        say(json.dumps(figures, indent=2))
    else:
        say(*(f"{name}: {figure}" for name, figure in figures.items()))
    return 0


def show_usage(arguments: argparse.Namespace, store: Store, now: int) -> int:
    if store.read(lambda tx: history.credits_of(tx, arguments.account)) is None:
        raise Mistake(f"there is no account {arguments.account!r}")
    rows = _each_generation(arguments, store) if arguments.each else _sums(arguments, store)
    if not arguments.csv:
        return show(rows, arguments.json)
    if rows:
        writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return 0


def _sums(arguments: argparse.Namespace, store: Store) -> list[dict[str, Any]]:
    days = store.read(lambda tx: history.activity(tx, arguments.account, arguments.since, DAY_MAX))
    return [
        {
            "date": day.date,
            "model": day.model,
            "provider": day.provider,
            "requests": day.requests,
            "prompt_tokens": day.prompt,
            "completion_tokens": day.completion,
            "reasoning_tokens": day.reasoning,
            "cost": dollars(day.cost_nano),
        }
        for day in days
    ]


def _each_generation(arguments: argparse.Namespace, store: Store) -> list[dict[str, Any]]:
    return store.read(
        lambda tx: [
            {
                "id": record.gen_id,
                "created_at": timestamp(record.started_ms),
                "model": record.model,
                "provider": record.provider,
                "key": record.key_id,
                "status": record.status,
                "end_reason": record.end_reason,
                "usage_source": record.usage_source,
                "prompt_tokens": record.tokens.prompt,
                "completion_tokens": record.tokens.completion,
                "cost": dollars(record.cost_nano),
            }
            for record in history.each_record(tx, arguments.account, arguments.since * DAY_MS)
        ]
    )


def create_node(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> str:
        token = nodes.create_token(tx, arguments.node, now)
        record(tx, operator(), "node.create_token", arguments.node, {"label": f"{token[:7]}..."}, now)
        return token

    token = store.write(work)
    say(f"node: {arguments.node}", f"token: {token}", "Keep the token: it is shown only now. The edge reads TOLLWAY_NODE_TOKEN.")
    return 0


def list_nodes(arguments: argparse.Namespace, store: Store, now: int) -> int:
    rows = store.read(lambda tx: nodes.list_nodes(tx, now))
    return show(
        [
            {
                "node": row.node,
                "epoch": row.newest_epoch,
                "open_epochs": row.open_epochs,
                "acked_through": row.acked_through,
                "behind_gap": row.behind,
                "lost": row.lost,
                "rejected": row.rejected,
                "leased": dollars(row.leased_nano),
                "stranded": dollars(row.stranded_nano),
                "seen_at": timestamp(row.seen_ms) if row.seen_ms else None,
                "tokens": row.tokens,
                "rejected_why": row.rejected_why or None,
            }
            for row in rows
        ],
        arguments.json,
    )


def revoke_node(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> int:
        count = nodes.revoke_tokens(tx, arguments.node, now)
        record(tx, operator(), "node.revoke_tokens", arguments.node, {"tokens": count}, now)
        return count

    count = store.write(work)
    say(f"revoked {count} tokens of node {arguments.node}")
    return 0


def forfeit_node(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> leasing.Forfeited:
        done = leasing.forfeit(tx, arguments.node, now, with_living=arguments.living)
        detail = {"epochs": done.epochs, "returned": dollars(done.returned_nano)}
        record(tx, operator(), "node.forfeit", arguments.node, detail, now)
        return done

    done = store.write(work)
    returned = dollars(done.returned_nano)
    say(f"forfeited {done.epochs} epochs of node {arguments.node}: {returned} dollars went back to their accounts")
    if done.living:
        say(f"left alone, because it lives: epoch {', '.join(map(str, done.living))}")
    return 0


def accept_gap(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> int:
        lost = nodes.accept_gaps(tx, arguments.node, now)
        record(tx, operator(), "node.accept_gap", arguments.node, {"lost": lost}, now)
        return lost

    lost = store.write(work)
    say(f"gave up {lost} facts of node {arguments.node}")
    return 0


def verify_books(arguments: argparse.Namespace, store: Store, now: int) -> int:
    checks = store.read(verify)
    if arguments.json:
        rows = [{"name": c.name, "kept": c.is_kept, "figures": c.figures, "faults": list(c.faults)} for c in checks]
        say(json.dumps(rows, indent=2))
    else:
        for check in checks:
            say(f"{'ok  ' if check.is_kept else 'FAIL'}  {check.name}: {check.figures}")
            say(*(f"      {fault}" for fault in check.faults[:FAULTS_SHOWN]))
            if len(check.faults) > FAULTS_SHOWN:
                say(f"      and {len(check.faults) - FAULTS_SHOWN} more")
    return 0 if all(check.is_kept for check in checks) else 1


def prune_records(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> str:
        said = retention.prune(tx, retention.cut_ms(arguments.keep_days, now))
        record(tx, operator(), "records.prune", f"{arguments.keep_days} days kept", {"said": said}, now)
        return said

    say(store.write(work))
    return 0


def log_in(arguments: argparse.Namespace, store: Store, now: int) -> int:
    role: Role = "operator" if arguments.operator else "read" if arguments.read else "management"

    def work(tx: Tx) -> str:
        secret = make_link(tx, arguments.account, role, now)
        record(tx, operator(), "login.create", arguments.account or "operator", {"role": role}, now)
        return secret

    base = os.environ.get("TOLLWAY_PUBLIC_URL", "").rstrip("/") or f"http://127.0.0.1:{os.environ.get('PORT') or 8000}"
    link = f"{base}/dashboard/login/{store.write(work)}"
    if arguments.json:
        say(json.dumps({"link": link, "role": role, "expires_at": timestamp(now + LINK_MS)}, indent=2))
    else:
        say(link, "It opens the dashboard once, within 15 minutes. TOLLWAY_PUBLIC_URL says where browsers reach the collector.")
    return 0


def back_up(arguments: argparse.Namespace, store: Store, now: int) -> int:
    said = store.backup(arguments.file)
    store.write(lambda tx: record(tx, operator(), "store.backup", str(arguments.file), {}, now))
    say(said)
    return 0


def show_audit(arguments: argparse.Namespace, store: Store, now: int) -> int:
    found = store.read(lambda tx: entries(tx, arguments.since * DAY_MS, arguments.subject))
    rows = [
        {
            "at": timestamp(entry.at_ms),
            "actor": entry.actor,
            "from": entry.origin,
            "action": entry.action,
            "subject": entry.subject,
            "detail": msgspec.json.decode(entry.detail) if arguments.json else entry.detail,
        }
        for entry in found
    ]
    return show(rows, arguments.json)
