"""The keys of an account: see them, make one, limit it, revoke it."""

from typing import Any

from starlette.responses import Response

from collector import history
from collector.accounts import Key, KeyTerms, Mistake, create_key, find_key, list_keys, revoke_key
from collector.audit_log import record
from collector.dashboard.access import Forbidden, read_form
from collector.dashboard.visit import Visit
from collector.store import Tx
from collector.window import RESETS
from usage.key import digest
from usage.pricing import nano_from_dollars

NAME_CHARS_MAX = 80
DAY_MS = 86_400_000
LIFES = {"": 0, "1": 1, "7": 7, "30": 30, "90": 90, "365": 365}
"""How long a new key may live, in days; 0 for ever."""


async def show(visit: Visit, **more: Any) -> Response:
    account = visit.account

    def work(tx: Tx, now: int) -> list[tuple[Key, dict[str, int]]]:
        return [(key, history.key_usage(tx, key, now)) for key in reversed(list_keys(tx, account))]

    keys = await visit.read(work)
    values = {"keys": keys, "resets": RESETS, "windows": WINDOWS, "made": "", "problem": "", "live": not more, **more}
    return visit.render("keys.html", values, 400 if values["problem"] else 200)


WINDOWS = {"none": "usage", "daily": "usage_daily", "weekly": "usage_weekly", "monthly": "usage_monthly"}


async def create(visit: Visit) -> Response:
    fields, account = await read_form(visit.request), visit.account
    try:
        terms = _terms(fields, visit.now_ms)

        def work(tx: Tx, now: int) -> str:
            key = create_key(tx, account, terms, now)
            made = find_key(tx, digest(key.encode()))
            assert made is not None
            detail = {"account": account, "name": terms.name, "limit_nano": terms.limit_nano, "limit_reset": terms.limit_reset}
            record(tx, visit.actor(), "key.create", made.key_id, detail, now)
            return key

        return await show(visit, made=await visit.write(work))
    except (Mistake, ValueError) as problem:
        return await show(visit, problem=str(problem))


def _terms(fields: dict[str, str], now_ms: int) -> KeyTerms:
    limit, life = fields.get("limit", ""), fields.get("life", "")
    if len(fields.get("name", "")) > NAME_CHARS_MAX:
        raise ValueError(f"a key's name has at most {NAME_CHARS_MAX} characters")
    if life not in LIFES:
        raise ValueError("choose one of the lifetimes")
    models = tuple(model.strip() for model in fields.get("models", "").split(",") if model.strip())
    return KeyTerms(
        fields.get("name", ""),
        models,
        nano_from_dollars(limit) if limit else None,
        fields.get("limit_reset", "none"),
        now_ms + LIFES[life] * DAY_MS if LIFES[life] else None,
    )


async def revoke(visit: Visit) -> Response:
    key_id, account = visit.request.path_params["key_id"].replace("\0", "?"), visit.account

    def work(tx: Tx, now: int) -> None:
        if all(key.key_id != key_id for key in list_keys(tx, account)):
            raise Forbidden("there is no such key in this account", 404)
        key = revoke_key(tx, key_id)
        record(tx, visit.actor(), "key.revoke", key_id, {"account": account, "label": key.label}, now)

    await visit.write(work)
    return visit.go("/dashboard/keys")
