"""`tollway operators`, `audit` and `login`: who may do everything, what was done, and a link into the dashboard."""

import argparse
import os

import msgspec

from collector.accounts import accounts, roles
from collector.accounts.accounts import Mistake, nearest
from collector.accounts.audit_log import entries, record
from collector.accounts.roles import Credential, Role
from collector.accounts.window import DAY_MS
from collector.api.shapes import timestamp
from collector.cli.arguments import Wrong, add, family
from collector.cli.printing import console, operator, say, show, show_one, tell
from collector.cli.subcommands.keys import describe_credential
from collector.dashboard.sessions import LINK_MS, make_link
from collector.store.contract import Store, Tx

SHOWN = ("id", "label", "name", "disabled", "created_at", "expires_at")


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    actions = family(subparsers, "operators", "tokens that see and change every account")
    create = add(actions, "create", create_operator, "make an operator's token; it is shown once", makes_store=True)
    create.add_argument("name", type=_name, help="whose it is")
    add(actions, "list", list_operators, "all operators' tokens, masked")
    end = add(actions, "revoke", revoke_operator, "revoke a token for good")
    end.add_argument("id", help="as `tollway operators list` shows it")
    audit = add(subparsers, "audit", show_audit, "who created, revoked, credited or changed what, and from where")
    audit.add_argument("--since", metavar="DATE", type=_day, default=0, help="first UTC day, such as 2026-01-31")
    audit.add_argument("--subject", default="", help="only this key id, account or node")
    login = add(subparsers, "login", log_in, "print a link that opens the dashboard once, within 15 minutes")
    whose = login.add_mutually_exclusive_group(required=True)
    whose.add_argument("account", nargs="?", default="", help="whose dashboard")
    whose.add_argument("--operator", action="store_true", help="the operator's pages, for all accounts")
    login.add_argument("--read", action="store_true", help="a session that may look, and change nothing")


def _name(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > 100:
        raise Wrong("the audit log names the token by it: say whose it is, in up to 100 characters")
    return text.strip()


def _day(text: str) -> int:
    from collector.accounts.window import day_from_date

    try:
        return day_from_date(text)
    except ValueError as error:
        raise Wrong(f"{text!r} is no date such as 2026-01-31") from error


def create_operator(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> tuple[str, Credential]:
        text, made = roles.create_credential(tx, "", roles.CredentialTerms("operator", arguments.name), now)
        record(tx, operator(), "credential.create", made.credential_id, {"role": made.role, "name": made.name}, now)
        return text, made

    text, made = store.write(work)
    if arguments.json:
        return show_one({"id": made.credential_id, "name": made.name, "token": text}, as_json=True)
    say(f"id: {made.credential_id}", f"token: {text}", "Keep the token: it is shown only now, and opens every account.")
    return 0


def list_operators(arguments: argparse.Namespace, store: Store, now: int) -> int:
    found = store.read(lambda tx: roles.list_credentials(tx, ""))
    return show([{name: describe_credential(one)[name] for name in SHOWN} for one in found], arguments.json)


def revoke_operator(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> Credential:
        names = {one.credential_id: one.name for one in roles.list_credentials(tx, "")}
        if arguments.id not in names:
            theirs = [each for each, name in names.items() if name == arguments.id]
            meant = f"; did you mean {' or '.join(theirs)}?" if theirs else nearest(arguments.id, names)
            said = f"there is no operator's token with the id {arguments.id!r}{meant}"
            raise Mistake(f"{said}; `tollway operators list` shows them")
        found = roles.revoke_credential(tx, arguments.id, "")
        record(tx, operator(), "credential.revoke", found.credential_id, {"role": found.role}, now)
        return found

    found = store.write(work)
    figures = {"id": found.credential_id, "name": found.name, "label": found.label}
    return tell(figures, arguments.json, f"revoked {found.label}")


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


def log_in(arguments: argparse.Namespace, store: Store, now: int) -> int:
    role: Role = "operator" if arguments.operator else "read" if arguments.read else "management"

    def work(tx: Tx) -> str:
        if arguments.account:
            accounts.check_account(tx, arguments.account)
        secret = make_link(tx, arguments.account, role, now)
        record(tx, operator(), "login.create", arguments.account or "operator", {"role": role}, now)
        return secret

    base = os.environ.get("TOLLWAY_PUBLIC_URL", "").rstrip("/") or console.get().public_url
    base = base or f"http://127.0.0.1:{os.environ.get('PORT') or 8000}"
    link = f"{base}/dashboard/login/{store.write(work)}"
    if arguments.json:
        return show_one({"link": link, "role": role, "expires_at": timestamp(now + LINK_MS)}, as_json=True)
    say(link, "It opens the dashboard once, within 15 minutes. TOLLWAY_PUBLIC_URL says where browsers reach the collector.")
    return 0
