"""Alerts, their destinations, events and deliveries in the store.

Rule: an event is made in the transaction of the transition it tells of, with a delivery for each destination, so that no fall is
told twice or never. Rule: events are kept, and can be sent again.
"""

import secrets
from collections.abc import Iterator
from typing import Any

import msgspec

from collector.accounts.history import credits_of
from collector.accounts.keys import KEY_COLUMNS, key_from
from collector.accounts.window import first_day
from collector.alerts.state import Alert, Level, after, has_fired
from collector.api.shapes import timestamp
from collector.leasing.leasing import spent_in_window
from collector.store.contract import Row, Tx
from usage.pricing import dollars

ALERTS_MAX, DESTINATIONS_MAX = 100, 20
"""Of one account."""
_ALERT = "alert_id, account, kind, key_id, threshold, state, window_day, changed_ms, created_ms"
_DESTINATION = "destination_id, account, kind, target, secret, disabled, problem, created_ms"


class Destination(msgspec.Struct, frozen=True):
    """Where events go: a `webhook` at an address, signed with its secret, or an `email` address."""

    destination_id: str
    account: str
    kind: str
    target: str
    secret: str
    disabled: bool
    problem: str
    created_ms: int


class AlertEvent(msgspec.Struct, frozen=True):
    """What happened, as it is sent: `payload` is the whole body."""

    event_id: str
    account: str
    alert_id: str
    type: str
    payload: str
    at_ms: int


def list_alerts(tx: Tx, account: str = "") -> list[Alert]:
    """Those of one account, or all, oldest first."""
    where, params = (" WHERE account = ?", (account,)) if account else ("", ())
    return [Alert(*row) for row in tx.rows(f"SELECT {_ALERT} FROM alerts{where} ORDER BY created_ms, alert_id", *params)]


def add_alert(tx: Tx, alert: Alert) -> None:
    """Keep a new alert."""
    fields = msgspec.structs.astuple(alert)
    tx.run(f"INSERT INTO alerts ({_ALERT}) VALUES ({', '.join('?' * len(fields))})", *fields)


def drop_alert(tx: Tx, account: str, alert_id: str) -> bool:
    """Whether the account had it."""
    return tx.run("DELETE FROM alerts WHERE account = ? AND alert_id = ?", account, alert_id) == 1


def _destination(row: Row) -> Destination:
    destination_id, account, kind, target, secret, disabled, problem, created_ms = row
    return Destination(destination_id, account, kind, target, secret, bool(disabled), problem, created_ms)


def list_destinations(tx: Tx, account: str) -> list[Destination]:
    """Where an account's alerts are told, oldest first."""
    rows = tx.rows(f"SELECT {_DESTINATION} FROM destinations WHERE account = ? ORDER BY created_ms, destination_id", account)
    return [_destination(row) for row in rows]


def find_destination(tx: Tx, destination_id: str) -> Destination | None:
    """A destination of any account."""
    row = tx.row(f"SELECT {_DESTINATION} FROM destinations WHERE destination_id = ?", destination_id)
    return _destination(row) if row else None


def add_destination(tx: Tx, account: str, kind: str, target: str, secret: str, now_ms: int) -> Destination:
    """A new destination. `secret` signs what a webhook is sent."""
    made = Destination(new_id("dst"), account, kind, target, secret, False, "", now_ms)
    tx.run(
        f"INSERT INTO destinations ({_DESTINATION}) VALUES (?, ?, ?, ?, ?, 0, '', ?)",
        *(made.destination_id, account, kind, target, secret, now_ms),
    )
    return made


def drop_destination(tx: Tx, account: str, destination_id: str) -> bool:
    """With what was to be sent there; whether the account had it."""
    if tx.run("DELETE FROM destinations WHERE account = ? AND destination_id = ?", account, destination_id) != 1:
        return False
    tx.run("DELETE FROM deliveries WHERE destination_id = ?", destination_id)
    return True


def disable_destination(tx: Tx, destination_id: str, problem: str) -> None:
    """Nothing is sent there any more; the page and the API say why."""
    tx.run("UPDATE destinations SET disabled = 1, problem = ? WHERE destination_id = ?", problem[:300], destination_id)
    tx.run("UPDATE deliveries SET state = 'failed' WHERE destination_id = ? AND state = 'waiting'", destination_id)


def new_id(prefix: str) -> str:
    """An id that cannot be guessed."""
    return f"{prefix}_{secrets.token_hex(12)}"


def readings(tx: Tx, alerts: list[Alert], now_ms: int) -> Iterator[tuple[Alert, Level, dict[str, Any]]]:
    """Each alert with what it measures now, and the figures to tell; one whose key is gone measures nothing."""
    balances: dict[str, int] = {}
    for alert in alerts:
        if alert.kind == "balance":
            if alert.account not in balances:
                credits = credits_of(tx, alert.account)
                balances[alert.account] = credits.available_nano + credits.leased_nano if credits else 0
            value = balances[alert.account]
            told = {"balance": dollars(value), "threshold": dollars(alert.threshold)}
            yield alert, Level(value), told
            continue
        row = tx.row(f"SELECT {KEY_COLUMNS} FROM keys WHERE key_id = ? AND account = ?", alert.key_id, alert.account)
        key = key_from(row) if row else None
        if key is None or key.limit_nano is None:
            yield alert, Level(0), {}
            continue
        spent = spent_in_window(tx, key, now_ms)
        told = {
            "key_id": key.key_id, "key_name": key.name, "key_label": key.label, "spent": dollars(spent),
            "limit": dollars(key.limit_nano), "limit_reset": key.limit_reset, "threshold_percent": str(alert.threshold),
        }  # fmt: skip
        yield alert, Level(spent, key.limit_nano, first_day(key.limit_reset, now_ms)), told


def step(tx: Tx, now_ms: int) -> int:
    """Let every alert see how things are; how many fired."""
    fired = 0
    for alert, reading, told in readings(tx, list_alerts(tx), now_ms):
        now = after(alert, reading, now_ms)
        if now == alert:
            continue
        changed = tx.run(
            "UPDATE alerts SET state = ?, window_day = ?, changed_ms = ? WHERE alert_id = ? AND state = ? AND changed_ms = ?",
            *(now.state, now.window_day, now_ms, alert.alert_id, alert.state, alert.changed_ms),
        )
        if changed and has_fired(alert, now):
            kind = "balance.low" if alert.kind == "balance" else "key.limit_share"
            emit(tx, new_event(alert.account, alert.alert_id, kind, {"alert_id": alert.alert_id} | told, now_ms))
            fired += 1
    return fired


def is_due(tx: Tx, now_ms: int) -> bool:
    """Whether `step` would change anything; reads only."""
    return any(after(alert, reading, now_ms) != alert for alert, reading, _ in readings(tx, list_alerts(tx), now_ms))


def new_event(account: str, alert_id: str, type: str, data: dict[str, Any], now_ms: int) -> AlertEvent:
    """An event with an id and the body that destinations get. `alert_id` is empty for a test."""
    body = {"type": type, "timestamp": timestamp(now_ms), "data": {"account": account} | data}
    return AlertEvent(new_id("evt"), account, alert_id, type, msgspec.json.encode(body).decode(), now_ms)


def emit(tx: Tx, event: AlertEvent, only: str = "") -> None:
    """Keep a new event, and have it delivered to the account's destinations, or to one of them."""
    tx.run(
        "INSERT INTO alert_events (event_id, account, alert_id, type, payload, at_ms) VALUES (?, ?, ?, ?, ?, ?)",
        *msgspec.structs.astuple(event),
    )
    for destination in list_destinations(tx, event.account):
        if only in ("", destination.destination_id) and not destination.disabled:
            deliver(tx, event.event_id, destination.destination_id, event.at_ms)


def deliver(tx: Tx, event_id: str, destination_id: str, now_ms: int) -> None:
    """Have an event sent to a destination, again if it was before."""
    tx.run(
        "INSERT INTO deliveries (event_id, destination_id, state, due_ms) VALUES (?, ?, 'waiting', ?)"
        " ON CONFLICT (event_id, destination_id) DO UPDATE SET state = 'waiting', attempts = 0, due_ms = excluded.due_ms",
        *(event_id, destination_id, now_ms),
    )


def list_events(tx: Tx, account: str, count: int) -> list[AlertEvent]:
    """The newest events of an account, newest first."""
    return [
        AlertEvent(*row)
        for row in tx.rows(
            "SELECT event_id, account, alert_id, type, payload, at_ms FROM alert_events WHERE account = ?"
            " ORDER BY at_ms DESC, event_id LIMIT ?",
            account,
            count,
        )
    ]


def find_event(tx: Tx, event_id: str) -> AlertEvent | None:
    """An event of any account."""
    row = tx.row("SELECT event_id, account, alert_id, type, payload, at_ms FROM alert_events WHERE event_id = ?", event_id)
    return AlertEvent(*row) if row else None


def deliveries_of(tx: Tx, event_id: str) -> list[Row]:
    """(destination id, state, attempts, status, problem) of an event."""
    return tx.rows(
        "SELECT destination_id, state, attempts, status, problem FROM deliveries WHERE event_id = ? ORDER BY destination_id",
        event_id,
    )
