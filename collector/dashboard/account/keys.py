"""The keys of an account: see them, make one, limit it, revoke it."""

from typing import Any

from starlette.responses import Response

from collector.accounts import history
from collector.accounts.accounts import Mistake
from collector.accounts.audit_log import record
from collector.accounts.keys import Key, KeyTerms, create_key, list_keys, revoke_key
from collector.accounts.roles import Credential, CredentialTerms, Role, create_credential, list_credentials, revoke_credential
from collector.accounts.window import DAY_MS, RESETS
from collector.dashboard.access import Forbidden, read_form
from collector.dashboard.visit import Visit
from collector.store.contract import Tx
from usage.pricing import dollars, nano_from_dollars

NAME_CHARS_MAX = 80
KEYS_SHOWN = 50
LIFES = {"": 0, "1": 1, "7": 7, "30": 30, "90": 90, "365": 365}
"""How long a new key may live, in days; 0 for ever."""


async def show(visit: Visit, **more: Any) -> Response:
    account, wanted = visit.account, visit.param("q").strip()
    start = int(visit.param("start")) if visit.param("start").isdecimal() and len(visit.param("start")) < 9 else 0

    def work(tx: Tx, now: int) -> tuple[list[tuple[Key, dict[str, int]]], int, list[Credential]]:
        found = found_keys(list_keys(tx, account), wanted, now)
        part = [(key, history.key_usage(tx, key, now)) for key in found[start : start + KEYS_SHOWN]]
        return part, len(found), list(reversed(list_credentials(tx, account)))

    keys, count, credentials = await visit.read(work)
    values = {
        "keys": keys,
        "count": count,
        "start": start,
        "shown": KEYS_SHOWN,
        "wanted": wanted,
        "credentials": credentials,
        "resets": RESETS,
        "made": "",
        "problem": "",
        "live": not more,
        **more,
    }
    return visit.render("account/keys.html", values, 400 if values["problem"] else 200)


def found_keys(keys: list[Key], wanted: str, now_ms: int) -> list[Key]:
    """Those with `wanted` in their name, label or id: first what can be used, then what cannot any more, the newest first."""
    text = wanted.casefold()
    found = [key for key in reversed(keys) if text in f"{key.name}\n{key.label}\n{key.key_id}".casefold()]
    return sorted(found, key=lambda key: not key.is_usable(now_ms))


ACCOUNT_ROLES: dict[str, Role] = {"read": "read", "management": "management"}


async def create(visit: Visit) -> Response:
    fields, account = await read_form(visit.request), visit.account
    try:
        terms, role = terms_of(fields, visit.now_ms), fields.get("role", "inference")

        def work(tx: Tx, now: int) -> str:
            if role in ACCOUNT_ROLES:
                granted = CredentialTerms(ACCOUNT_ROLES[role], terms.name, terms.expires_ms)
                text, credential = create_credential(tx, account, granted, now)
                detail = {"account": account, "role": role, "name": terms.name}
                record(tx, visit.actor(), "credential.create", credential.credential_id, detail, now)
                return text
            text, key = create_key(tx, account, terms, now)
            limit = "" if terms.limit_nano is None else dollars(terms.limit_nano)
            detail = {"account": account, "name": terms.name, "limit": limit, "limit_reset": terms.limit_reset}
            record(tx, visit.actor(), "key.create", key.key_id, detail, now)
            return text

        return await show(visit, made=await visit.write(work))
    except (Mistake, ValueError) as problem:
        return await show(visit, problem=str(problem))


def terms_of(fields: dict[str, str], now_ms: int) -> KeyTerms:
    """What a form says of a key: its name, limit, models and life; ValueError."""
    limit, life = fields.get("limit", ""), fields.get("life", "")
    if len(fields.get("name", "")) > NAME_CHARS_MAX:
        raise ValueError(f"a key's name has at most {NAME_CHARS_MAX} characters")
    if life not in LIFES:
        raise ValueError("choose one of the lifetimes")
    return KeyTerms(
        fields.get("name", ""),
        models_of(fields),
        nano_from_dollars(limit) if limit else None,
        fields.get("limit_reset", "none"),
        now_ms + LIFES[life] * DAY_MS if LIFES[life] else None,
    )


def models_of(fields: dict[str, str]) -> tuple[str, ...]:
    """The models that a form names, with commas between them; none for all."""
    return tuple(model.strip() for model in fields.get("models", "").split(",") if model.strip())


async def revoke(visit: Visit) -> Response:
    key_id, account = visit.request.path_params["key_id"].replace("\0", "?"), visit.account

    def work(tx: Tx, now: int) -> None:
        if any(each.credential_id == key_id for each in list_credentials(tx, account)):
            action, label = "credential.revoke", revoke_credential(tx, key_id, account).label
        elif any(key.key_id == key_id for key in list_keys(tx, account)):
            action, label = "key.revoke", revoke_key(tx, key_id).label
        else:
            raise Forbidden("there is no such key in this account", 404)
        record(tx, visit.actor(), action, key_id, {"account": account, "label": label}, now)

    await visit.write(work)
    return visit.go("/dashboard/keys")
