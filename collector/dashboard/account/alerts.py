"""Alerts of an account: thresholds, where they are told, what was told and how that arrived; a test, and telling again.

Strategy: what changes something is the API's own operation, called with this session as the caller; so both say the same.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.responses import Response

from collector.accounts.keys import Key, list_keys, names_of
from collector.alerts import tables
from collector.alerts.state import Alert
from collector.api.account import alerts as api
from collector.api.operation import Call
from collector.api.problem import ApiError
from collector.dashboard.access import Forbidden, read_form
from collector.dashboard.api_call import amount_of, call_of
from collector.dashboard.visit import Visit
from collector.store.contract import Row, Tx

EVENTS_SHOWN = 30
KEYS_OFFERED = 200
"""The newest; a page is read, not searched."""
Action = Callable[[Tx, Visit, dict[str, str], int], Any]


class Alarm(msgspec.Struct, frozen=True):
    """An event, and how each destination took it."""

    event: tables.AlertEvent
    deliveries: list[Row]


async def show(visit: Visit, **more: Any) -> Response:
    account = visit.account

    def work(tx: Tx, now: int) -> tuple[list[Alert], list[tables.Destination], list[Alarm], list[Key]]:
        events = [
            Alarm(event, tables.deliveries_of(tx, event.event_id)) for event in tables.list_events(tx, account, EVENTS_SHOWN)
        ]
        return tables.list_alerts(tx, account), tables.list_destinations(tx, account), events, list_keys(tx, account)

    alerts, destinations, events, keys = await visit.read(work)
    names = names_of(keys)
    limited = [key for key in reversed(keys) if key.limit_nano is not None and key.is_usable(visit.now_ms)][:KEYS_OFFERED]
    targets = {each.destination_id: each.target for each in destinations}
    shown = {"alerts": alerts, "destinations": destinations, "events": events, "names": names, "limited": limited}
    told = {"problem": "", "secret": "", **more}
    return visit.render("account/alerts.html", {**shown, "targets": targets, **told}, 400 if told["problem"] else 200)


async def change(visit: Visit) -> Response:
    """Does what the form says: `do` names the operation."""
    fields = await read_form(visit.request)
    make = ACTIONS.get(fields.get("do", ""))
    if make is None:
        raise Forbidden("there is no such thing to do", 400)
    try:
        outcome = await visit.write(lambda tx, now: make(tx, visit, fields, now))
    except ApiError as problem:
        return await show(visit, problem=str(problem))
    except ValueError as problem:
        return await show(visit, problem=str(problem))
    if isinstance(outcome, api.MadeDestination) and outcome.secret:
        return await show(visit, secret=outcome.secret)
    return visit.go("/dashboard/alerts")


def _add_balance(tx: Tx, visit: Visit, fields: dict[str, str], now: int) -> Any:
    return api.add_alert(tx, call_of(visit, now, api.NewAlert("balance", threshold=amount_of(fields.get("threshold", "")))))


def _add_share(tx: Tx, visit: Visit, fields: dict[str, str], now: int) -> Any:
    percent = fields.get("percent", "")
    if not (percent.isascii() and percent.isdigit() and 1 <= int(percent) <= 100):
        raise ValueError("a share is a whole number of percent from 1 to 100")
    body = api.NewAlert("key_limit", percent=int(percent), key_id=fields.get("key_id", ""))
    return api.add_alert(tx, call_of(visit, now, body))


def _add_destination(tx: Tx, visit: Visit, fields: dict[str, str], now: int) -> Any:
    kind, target = fields.get("kind", ""), fields.get("target", "")
    if not 0 < len(target) <= 2_000:
        raise ValueError("name where alerts are told: an https address, or a mail address")
    if kind == "webhook":
        return api.add_destination(tx, call_of(visit, now, api.NewDestination("webhook", target)))
    return api.add_destination(tx, call_of(visit, now, api.NewDestination("email", target)))


def _of_id(operation: Callable[[Tx, Call], Any]) -> Action:
    def act(tx: Tx, visit: Visit, fields: dict[str, str], now: int) -> Any:
        return operation(tx, call_of(visit, now, id=fields.get("id", "")))

    return act


ACTIONS: dict[str, Action] = {
    "add-balance": _add_balance,
    "add-share": _add_share,
    "drop-alert": _of_id(api.drop_alert),
    "add-destination": _add_destination,
    "drop-destination": _of_id(api.drop_destination),
    "test": _of_id(api.send_test),
    "replay": _of_id(api.replay),
}
