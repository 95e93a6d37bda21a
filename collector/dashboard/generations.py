"""The generations of an account: a filtered list, and one of them in full, with the answer to "was I charged, and why".

Strategy: the list goes backwards in time from a cursor and looks at no more than `LOOKED_AT_MAX` records for one page; a filter
that finds little goes on from where it stopped.
"""

import asyncio
from typing import Any

import msgspec
from starlette.responses import Response

from collector import history
from collector.accounts import list_keys
from collector.dashboard.bill import bill_of, pico_dollars
from collector.dashboard.visit import Visit
from collector.store import Tx
from usage.gen_id import time_ms_of
from usage.record import UsageRecord

PAGE_ROWS = 50
LOOKED_AT_MAX = 5_000
PART_ROWS = 500
NEW_MS = 60_000
ARRIVES_S = 0.25
ARRIVES_TRIES = 12
"""A generation that is so new is waited for: its record comes with the next batch of its edge."""
END_REASONS = ("completed", "truncated", "cancelled", "upstream_error", "proxy_error", "credit_limit", "timeout", "orphaned")
_decode = msgspec.json.Decoder(UsageRecord).decode


def is_new(gen_id: str, now_ms: int) -> bool:
    """Whether it was drawn within the last minute, so that its edge may not have told of it yet."""
    drawn_ms = time_ms_of(gen_id)
    return drawn_ms is not None and abs(now_ms - drawn_ms) < NEW_MS


class Filter(msgspec.Struct, frozen=True):
    """What a record must be; empty means anything."""

    model: str = ""
    key_id: str = ""
    end_reason: str = ""

    def takes(self, record: UsageRecord) -> bool:
        return (
            (not self.model or self.model.lower() in record.model.lower())
            and self.key_id in ("", record.key_id)
            and self.end_reason in ("", record.end_reason)
        )


class Cursor(msgspec.Struct, frozen=True):
    """Behind which record the next page begins: (start in Unix ms, id)."""

    started_ms: int
    gen_id: str

    @classmethod
    def parse(cls, text: str) -> "Cursor | None":
        """From `text` of a cursor; None for anything else."""
        started, _, gen_id = text.partition(".")
        return cls(int(started), gen_id) if started.isascii() and started.isdigit() and len(started) < 16 and gen_id else None

    @property
    def text(self) -> str:
        return f"{self.started_ms}.{self.gen_id}"


def page_of(
    tx: Tx, account: str, wanted: Filter, cursor: Cursor | None, count: int = PAGE_ROWS
) -> tuple[list[UsageRecord], Cursor | None]:
    """The next `count` records that `wanted` takes, the newest first, and where to go on; None at the end."""
    found: list[UsageRecord] = []
    looked_at = 0
    at = cursor
    while looked_at < LOOKED_AT_MAX:
        where, params = (" AND (started_ms, gen_id) < (?, ?)", (at.started_ms, at.gen_id)) if at else ("", ())
        rows = tx.rows(
            f"SELECT payload FROM records WHERE account = ?{where} ORDER BY started_ms DESC, gen_id DESC LIMIT ?",
            account,
            *params,
            PART_ROWS,
        )
        for (payload,) in rows:
            record = _decode(payload)
            at = Cursor(record.started_ms, record.gen_id)
            if wanted.takes(record):
                found.append(record)
                if len(found) == count:
                    return found, at
        looked_at += len(rows)
        if len(rows) < PART_ROWS:
            return found, None
    return found, at


async def show_list(visit: Visit) -> Response:
    wanted = Filter(visit.param("model"), visit.param("key"), visit.param("end"))
    cursor = Cursor.parse(visit.param("after"))
    account = visit.account
    (records, following), keys = await visit.read(lambda tx, now: (page_of(tx, account, wanted, cursor), list_keys(tx, account)))
    older = ""
    if following is not None:
        older = visit.link(
            "/dashboard/generations", model=wanted.model, key=wanted.key_id, end=wanted.end_reason, after=following.text
        )
    names = {key.key_id: key.name or key.label for key in keys}
    values = {"records": records, "wanted": wanted, "keys": keys, "names": names, "end_reasons": END_REASONS, "older": older}
    return visit.render("generations.html", {**values, "tone": tone_of, "live": cursor is None})


async def show_one(visit: Visit) -> Response:
    gen_id, account = visit.request.path_params["gen_id"].replace("\0", "?"), visit.account
    record = await visit.read(lambda tx, now: history.generation(tx, account, gen_id))
    tries = ARRIVES_TRIES if is_new(gen_id, visit.now_ms) else 0
    while record is None and tries:
        await asyncio.sleep(ARRIVES_S)
        tries -= 1
        record = await visit.read(lambda tx, now: history.generation(tx, account, gen_id))
    if record is None:
        text = "There is no such generation in this account; a new one appears within seconds."
        return visit.desk.plain("Not found", text, 404, visit.link("/dashboard/generations"), "To the generations")
    values: dict[str, Any] = {"record": record, "lines": bill_of(record), "charged": explain_charge(record)}
    if record.upstream_cost_pico is not None:
        values["upstream_cost"] = f"${pico_dollars(record.upstream_cost_pico)}"
    return visit.render("generation.html", {**values, "tone": tone_of})


def explain_charge(record: UsageRecord) -> str:
    """Whether the account paid for it, and why, in one or two sentences."""
    counted = {
        "provider": "The counts are the provider's own.",
        "counted": "The provider gave no usage, so the counts are ours, of what was streamed.",
        "estimated": "No usage came, so the counts are an estimate of the prompt.",
        "bounded": "The provider claimed more than was possible, so the counts are the bound of what was.",
    }.get(record.usage_source, "")
    if record.cost_nano == 0:
        free = {
            "completed": "No: at its rates this answer costs nothing.",
            "cancelled": "No: the caller left before anything was consumed.",
        }
        return free.get(record.end_reason, "No: nothing was delivered, and what is not delivered is not charged.")
    why = {
        "completed": "Yes: the answer was delivered in full.",
        "truncated": "Yes, for what was delivered: the provider's stream ended before its end.",
        "cancelled": "Yes, for what was consumed: the caller left, and until then the provider had worked for it.",
        "upstream_error": "Yes, for what was delivered before the provider failed.",
        "proxy_error": "Yes, for what was delivered before this proxy had to stop.",
        "credit_limit": "Yes: the answer was ended where the reserved credit was used up.",
        "timeout": "Yes, for what was delivered before a time limit was reached.",
        "orphaned": "Yes, for what had been delivered when the edge's process died.",
    }.get(record.end_reason, "Yes.")
    return f"{why} {counted}"


def tone_of(record: UsageRecord) -> str:
    """The class of the tag that says how it ended."""
    if record.end_reason == "completed":
        return "good"
    return "warn" if record.end_reason in ("cancelled", "credit_limit", "truncated") else "bad"
