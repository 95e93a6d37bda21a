"""One key: what it spent and on what, its bounds, and changing them.

Strategy: a change is the API's own operation (`PATCH /keys/{hash}`), so nodes hear of it in the same way and
the log says the same.
"""

from decimal import Decimal
from typing import Any

import msgspec
from starlette.responses import Response

from collector.accounts import history
from collector.accounts.accounts import Mistake
from collector.accounts.keys import Key, find_key_by_id
from collector.accounts.window import RESETS, date_of
from collector.analytics import engine
from collector.analytics.query import Result
from collector.api.account import keys as api
from collector.api.problem import ApiError
from collector.dashboard.access import Forbidden, read_form
from collector.dashboard.account.keys import NAME_CHARS_MAX, models_of
from collector.dashboard.account.usage import METRICS, draw, lay_out, query_of
from collector.dashboard.api_call import amount_of, call_of
from collector.dashboard.display.figures import visible
from collector.dashboard.display.spans import span_of
from collector.dashboard.visit import Visit
from collector.store.contract import Tx
from usage.limit import LIMIT_MAX

RATES = (
    ("requests_per_minute", "Requests per minute"),
    ("tokens_per_minute", "Tokens per minute"),
    ("concurrent_requests", "Requests at once"),
)


async def show(visit: Visit, problem: str = "") -> Response:
    """The page; `problem` is why a change was not made."""
    account, metric = visit.account, METRICS["spend"]
    span = span_of("month", visit.now_ms, visit.zone)

    def work(tx: Tx, now: int) -> tuple[Key, dict[str, int], int | None, Result]:
        key = own_key(tx, visit)
        query = msgspec.structs.replace(query_of(account, span, visit.zone, "model", metric), keys=(key.key_id,))
        return key, history.key_usage(tx, key, now), history.last_day(tx, key), engine.run(tx, query, now)

    key, spent, last_day, table = await visit.read(work)
    sheet, caption = lay_out(table, span, visit.zone, metric, {}), "Spend by model, 30 days"
    values: dict[str, Any] = {
        "key": key,
        "spent": spent,
        "window": spent["limit_usage"],
        "last_day": "" if last_day is None else date_of(last_day),
        "sheet": sheet,
        "caption": caption,
        "chart": draw(caption, sheet, metric),
        "resets": RESETS,
        "rates": [(name, said, getattr(key.limits, name)) for name, said in RATES],
        "rate_max": LIMIT_MAX,
        "name_max": NAME_CHARS_MAX,
        "problem": problem,
        "live": not problem,
    }
    return visit.render("account/key.html", values, 400 if problem else 200)


def own_key(tx: Tx, visit: Visit) -> Key:
    """The key that the address names, of this account. Forbidden 404."""
    key = find_key_by_id(tx, visit.request.path_params["key_id"].replace("\0", "?"))
    if key is None or key.deleted or key.account != visit.account:
        raise Forbidden("there is no such key in this account", 404)
    return key


async def change(visit: Visit) -> Response:
    """Does what the form says."""
    fields = await read_form(visit.request)

    def work(tx: Tx, now: int) -> None:
        key = own_key(tx, visit)
        if fields.get("do") == "enable":
            changes = api.UpdateKey(disabled=False)
        elif key.disabled:
            raise Mistake("this key is revoked; enable it first")
        else:
            changes = changes_of(fields, key)
        api.update(tx, call_of(visit, now, changes, hash=key.digest))

    try:
        await visit.write(work)
    except (ApiError, Mistake, ValueError) as problem:
        return await show(visit, str(problem))
    return visit.go(visit.request.url.path)


def changes_of(fields: dict[str, str], key: Key) -> api.UpdateKey:
    """What the form asks for, in the API's words; ValueError.

    A text that comes back as the page showed it is unchanged, also where characters of it were shown as their numbers.
    """
    limit, reset = fields.get("limit", ""), fields.get("limit_reset", "none")
    name = key.name if fields.get("name", "") == _sent_back(key.name) else fields.get("name", "")
    models = key.models if fields.get("models", "") == _sent_back(", ".join(key.models)) else models_of(fields)
    if name != key.name and len(name) > NAME_CHARS_MAX:
        raise ValueError(f"a key's name has at most {NAME_CHARS_MAX} characters")
    changed: dict[str, Any] = {
        "name": name,
        "limit": amount_of(limit) if limit else None,
        "limit_reset": None if reset == "none" else reset,
        "models": list(models),
        "rate_limits": msgspec.structs.replace(key.limits, **{name: _whole(fields.get(name, ""), said) for name, said in RATES}),
    }
    before: dict[str, Any] = {
        "name": key.name,
        "limit": None if key.limit_nano is None else Decimal(key.limit_nano).scaleb(-9),
        "limit_reset": None if key.limit_reset == "none" else key.limit_reset,
        "models": list(key.models),
        "rate_limits": key.limits,
    }
    return api.UpdateKey(**{member: value for member, value in changed.items() if value != before[member]})


def _sent_back(text: str) -> str:
    """What a browser sends of a text that the page put into a field, and nobody touched."""
    shown: str = visible(text)
    return shown.replace("\n", "").replace("\r", "").strip()


def _whole(text: str, said: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ValueError(f"{said.lower()} is a whole number, or empty for no limit")
    return int(text)
