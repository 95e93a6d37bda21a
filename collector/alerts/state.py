"""When an alert fires and when it is armed again, as values.

Rule: an alert fires once when its threshold is crossed, and not again before things are clearly better: a balance has to rise a
tenth above the threshold, a key's use has to fall a tenth below it (its limit was raised) or its window to begin anew. Then one
that moves around its threshold tells once.
"""

from typing import Literal

import msgspec

Kind = Literal["balance", "key_limit"]
State = Literal["armed", "fired"]
TENTH = 10


class Alert(msgspec.Struct, frozen=True):
    """`threshold`: nano-dollars of a balance; percent of a key's limit, with its `key_id`. `window_day`: where the key's window
    began when it fired."""

    alert_id: str
    account: str
    kind: Kind
    key_id: str
    threshold: int
    state: State = "armed"
    window_day: int = 0
    changed_ms: int = 0
    created_ms: int = 0


class Level(msgspec.Struct, frozen=True):
    """What is measured: a balance in `value`; or what a key has spent in `value` of `limit`, in the window that began on a day.
    A key without a limit has `limit` 0."""

    value: int
    limit: int = 0
    window_day: int = 0


def after(alert: Alert, reading: Level, now_ms: int) -> Alert:
    """The alert after a reading; it fired if its state became `fired`."""
    if alert.state == "armed":
        if not _is_crossed(alert, reading):
            return alert
        return msgspec.structs.replace(alert, state="fired", window_day=reading.window_day, changed_ms=now_ms)
    if alert.kind == "key_limit" and reading.window_day != alert.window_day:
        armed = msgspec.structs.replace(alert, state="armed", changed_ms=now_ms)
        return after(armed, reading, now_ms) if _is_crossed(armed, reading) else armed
    if _is_well(alert, reading):
        return msgspec.structs.replace(alert, state="armed", changed_ms=now_ms)
    return alert


def has_fired(before: Alert, now: Alert) -> bool:
    """Whether this step is one to tell of: armed became fired, or a new window crossed at once."""
    return now.state == "fired" and (before.state == "armed" or now.window_day != before.window_day)


def _is_crossed(alert: Alert, reading: Level) -> bool:
    if alert.kind == "balance":
        return reading.value <= alert.threshold
    return reading.limit > 0 and reading.value * 100 >= reading.limit * alert.threshold


def _is_well(alert: Alert, reading: Level) -> bool:
    if alert.kind == "balance":
        return reading.value * TENTH >= alert.threshold * (TENTH + 1) and reading.value > alert.threshold
    return reading.limit <= 0 or reading.value * 100 * TENTH < reading.limit * alert.threshold * (TENTH - 1)
