"""Alerts over the API: thresholds, where they are told, what was told, a test, and telling again."""

import os
import re
from typing import Annotated, Any, Literal

import msgspec

from collector.accounts.audit_log import record
from collector.accounts.keys import KEY_COLUMNS, key_from
from collector.alerts import tables
from collector.alerts.delivery import new_secret
from collector.alerts.guard import Unsafe, parse
from collector.alerts.state import Alert
from collector.api.caller import MANAGERS, READERS
from collector.api.operation import AccountQuery, Call, Deleted, Operation, check_account
from collector.api.problem import missing, wrong
from collector.api.shapes import Amount, Dollars, nano_of, timestamp
from collector.store.contract import Tx

_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*+\Z").match


class AlertRow(msgspec.Struct, frozen=True):
    """`state`: armed, or fired until things are a tenth better. `threshold` for a balance, `percent` for a key's limit."""

    id: str
    kind: str
    state: str
    threshold: Amount | None
    percent: int | None
    key_id: str | None
    changed_at: str
    created_at: str


class AlertsAnswer(msgspec.Struct, frozen=True):
    data: list[AlertRow]


class AlertAnswer(msgspec.Struct, frozen=True):
    data: AlertRow


class NewAlert(msgspec.Struct, frozen=True):
    """`balance` with a `threshold` in dollars; `key_limit` with a `key_id` and a `percent` of its limit."""

    kind: Literal["balance", "key_limit"]
    threshold: Dollars | None = None
    percent: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None
    key_id: Annotated[str, msgspec.Meta(max_length=100)] | None = None


def _describe(alert: Alert) -> AlertRow:
    is_balance = alert.kind == "balance"
    return AlertRow(
        alert.alert_id,
        alert.kind,
        alert.state,
        Amount(alert.threshold) if is_balance else None,
        None if is_balance else alert.threshold,
        None if is_balance else alert.key_id,
        timestamp(alert.changed_ms),
        timestamp(alert.created_ms),
    )


def list_alerts(tx: Tx, call: Call) -> AlertsAnswer:
    return AlertsAnswer([_describe(alert) for alert in tables.list_alerts(tx, call.account)])


def add_alert(tx: Tx, call: Call) -> AlertAnswer:
    body: NewAlert = call.body
    check_account(tx, call.account)
    if len(tables.list_alerts(tx, call.account)) >= tables.ALERTS_MAX:
        raise wrong("kind", f"an account has at most {tables.ALERTS_MAX} alerts")
    if body.kind == "balance":
        if body.threshold is None or body.percent is not None or body.key_id is not None:
            raise wrong("threshold", "a balance alert has a threshold in dollars, and nothing else")
        threshold, key_id = nano_of(body.threshold, "threshold"), ""
    else:
        if body.percent is None or body.key_id is None or body.threshold is not None:
            raise wrong("percent", "a key_limit alert has a key_id and a percent, and no threshold")
        row = tx.row(f"SELECT {KEY_COLUMNS} FROM keys WHERE key_id = ? AND account = ?", body.key_id, call.account)
        if row is None or key_from(row).deleted:
            raise missing("key", "key_id")
        threshold, key_id = body.percent, body.key_id
    now = call.now_ms
    alert = Alert(tables.new_id("alr"), call.account, body.kind, key_id, threshold, changed_ms=now, created_ms=now)
    tables.add_alert(tx, alert)
    record(tx, call.caller.actor, "alert.create", call.account, {"alert": alert.alert_id, "kind": alert.kind}, now)
    return AlertAnswer(_describe(alert))


def drop_alert(tx: Tx, call: Call) -> Deleted:
    if not tables.drop_alert(tx, call.account, call.path["id"].replace("\0", "?")):
        raise missing("alert", "id")
    record(tx, call.caller.actor, "alert.delete", call.account, {"alert": call.path["id"]}, call.now_ms)
    return Deleted(True)


class DestinationRow(msgspec.Struct, frozen=True):
    """`disabled`, with its `problem`, after it could not be reached for three days or said that it is gone."""

    id: str
    kind: str
    target: str
    disabled: bool
    problem: str | None
    created_at: str


class DestinationsAnswer(msgspec.Struct, frozen=True):
    data: list[DestinationRow]


class NewDestination(msgspec.Struct, frozen=True):
    """`target`: an https address for a webhook, a mail address for e-mail."""

    kind: Literal["webhook", "email"]
    target: Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]


class MadeDestination(msgspec.Struct, frozen=True):
    """`secret` signs webhooks (Standard Webhooks); it is shown here alone."""

    data: DestinationRow
    secret: str | None


def _show(destination: tables.Destination) -> DestinationRow:
    return DestinationRow(
        destination.destination_id,
        destination.kind,
        destination.target,
        destination.disabled,
        destination.problem or None,
        timestamp(destination.created_ms),
    )


def list_destinations(tx: Tx, call: Call) -> DestinationsAnswer:
    return DestinationsAnswer([_show(one) for one in tables.list_destinations(tx, call.account)])


def add_destination(tx: Tx, call: Call) -> MadeDestination:
    body: NewDestination = call.body
    check_account(tx, call.account)
    if len(tables.list_destinations(tx, call.account)) >= tables.DESTINATIONS_MAX:
        raise wrong("kind", f"an account has at most {tables.DESTINATIONS_MAX} destinations")
    secret = ""
    if body.kind == "webhook":
        try:
            parse(body.target)
        except Unsafe as error:
            raise wrong("target", str(error)) from error
        secret = new_secret(call.entropy or os.urandom(32))
    elif _MAIL(body.target) is None:
        raise wrong("target", "that is no mail address such as ops@example.com")
    made = tables.add_destination(tx, call.account, body.kind, body.target, secret, call.now_ms)
    detail = {"destination": made.destination_id, "kind": made.kind, "target": made.target}
    record(tx, call.caller.actor, "destination.create", call.account, detail, call.now_ms)
    return MadeDestination(_show(made), secret or None)


def remake_secret(tx: Tx, entropy: bytes, kept: Any) -> str:
    return new_secret(entropy)


def drop_destination(tx: Tx, call: Call) -> Deleted:
    _own_destination(tx, call)
    tables.drop_destination(tx, call.account, call.path["id"])
    record(tx, call.caller.actor, "destination.delete", call.account, {"destination": call.path["id"]}, call.now_ms)
    return Deleted(True)


def _own_destination(tx: Tx, call: Call) -> tables.Destination:
    found = tables.find_destination(tx, call.path["id"].replace("\0", "?"))
    if found is None or found.account != call.account:
        raise missing("destination", "id")
    return found


class EventRow(msgspec.Struct, frozen=True):
    """`payload` is what was sent, as text; `deliveries` how each destination took it."""

    id: str
    type: str
    alert_id: str | None
    created_at: str
    payload: str
    deliveries: list["DeliveryRow"]


class DeliveryRow(msgspec.Struct, frozen=True):
    destination_id: str
    state: str
    attempts: int
    status: int | None
    problem: str | None


class EventsQuery(msgspec.Struct, frozen=True):
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100
    account: str = ""


class EventsAnswer(msgspec.Struct, frozen=True):
    data: list[EventRow]


class EventAnswer(msgspec.Struct, frozen=True):
    data: EventRow


def _describe_event(tx: Tx, event: tables.AlertEvent) -> EventRow:
    deliveries = [
        DeliveryRow(destination_id, state, attempts, status or None, problem or None)
        for destination_id, state, attempts, status, problem in tables.deliveries_of(tx, event.event_id)
    ]
    return EventRow(event.event_id, event.type, event.alert_id or None, timestamp(event.at_ms), event.payload, deliveries)


def list_events(tx: Tx, call: Call) -> EventsAnswer:
    return EventsAnswer([_describe_event(tx, event) for event in tables.list_events(tx, call.account, call.query.limit)])


def send_test(tx: Tx, call: Call) -> EventAnswer:
    """An event of type `test` to one destination; one that was disabled is tried anew."""
    destination = _own_destination(tx, call)
    tx.run("UPDATE destinations SET disabled = 0, problem = '' WHERE destination_id = ?", destination.destination_id)
    event = tables.new_event(call.account, "", "test", {"destination_id": destination.destination_id}, call.now_ms)
    tables.emit(tx, event, destination.destination_id)
    return EventAnswer(_describe_event(tx, event))


def replay(tx: Tx, call: Call) -> EventAnswer:
    """Send an event again to all destinations of the account that are not disabled, under its own id."""
    event = tables.find_event(tx, call.path["id"].replace("\0", "?"))
    if event is None or event.account != call.account:
        raise missing("event", "id")
    for destination in tables.list_destinations(tx, call.account):
        if not destination.disabled:
            tables.deliver(tx, event.event_id, destination.destination_id, call.now_ms)
    return EventAnswer(_describe_event(tx, event))


OPERATIONS = (
    Operation("GET", "/alerts", "The account's alerts", READERS, list_alerts, AlertsAnswer, AccountQuery),
    Operation(
        "POST", "/alerts", "Make an alert", MANAGERS, add_alert, AlertAnswer, AccountQuery, NewAlert, 201, has_effect=True,
        errors=(404,),
    ),
    Operation(
        "DELETE", "/alerts/{id}", "Delete an alert", MANAGERS, drop_alert, Deleted, AccountQuery, has_effect=True, errors=(404,),
    ),
    Operation(
        "GET", "/alerts/destinations", "Where alerts are told", MANAGERS, list_destinations, DestinationsAnswer, AccountQuery,
    ),
    Operation(
        "POST", "/alerts/destinations", "Have alerts told somewhere", MANAGERS, add_destination, MadeDestination, AccountQuery,
        NewDestination, 201, has_effect=True, errors=(404,), secret=remake_secret,
    ),
    Operation(
        "DELETE", "/alerts/destinations/{id}", "Have them told there no more", MANAGERS, drop_destination, Deleted, AccountQuery,
        has_effect=True, errors=(404,),
    ),
    Operation(
        "POST", "/alerts/destinations/{id}/test", "Send a test there", MANAGERS, send_test, EventAnswer, AccountQuery,
        has_effect=True, errors=(404,),
    ),
    Operation("GET", "/alerts/events", "What was told, newest first", READERS, list_events, EventsAnswer, EventsQuery),
    Operation(
        "POST", "/alerts/events/{id}/replay", "Tell an event again", MANAGERS, replay, EventAnswer, AccountQuery, has_effect=True,
        errors=(404,),
    ),
)  # fmt: skip
