"""The generations of an account: a filtered list, and one of them in full, with the answer to "was I charged, and why".

Strategy: the list goes backwards in time from a cursor and looks at no more than `LOOKED_AT_MAX` records for one page; a filter
that finds little goes on from where it stopped.
"""

from collections.abc import Iterator
from time import monotonic
from typing import Any

import msgspec
from starlette.responses import Response

from collector.accounts import history
from collector.accounts.keys import find_key_by_id, list_keys, names_of
from collector.accounts.window import DAY_MS
from collector.api.usage.exports import GENERATIONS_MAX, generations_csv
from collector.dashboard.display import figures
from collector.dashboard.display.bill import bill_of, pico_dollars
from collector.dashboard.display.spans import days_of, range_of, span_of, today_of
from collector.dashboard.page import file_of
from collector.dashboard.visit import Visit
from collector.store.contract import Tx
from usage.gen_id import time_ms_of
from usage.record import UsageRecord, outcome_of

PAGE_ROWS = 50
KEYS_OFFERED = 200
"""By the filter: the newest, and the one that is chosen."""
LOOKED_AT_MAX = 5_000
NEW_MS = 60_000
ARRIVES_S = 3.0
"""A generation that is so new is waited for: its record comes with the next batch of its edge."""
END_REASONS = ("completed", "truncated", "cancelled", "upstream_error", "proxy_error", "credit_limit", "timeout", "orphaned")


def is_new(gen_id: str, now_ms: int) -> bool:
    """Whether it was drawn within the last minute, so that its edge may not have told of it yet."""
    drawn_ms = time_ms_of(gen_id)
    return drawn_ms is not None and abs(now_ms - drawn_ms) < NEW_MS


class GenerationFilter(msgspec.Struct, frozen=True):
    """What a record must be; empty means anything."""

    model: str = ""
    key_id: str = ""
    end_reason: str = ""
    start_ms: int = 0
    end_ms: int = 0
    """0: up to now."""

    def takes(self, record: UsageRecord) -> bool:
        return (
            (not self.model or self.model.lower() in record.model.lower())
            and self.key_id in ("", record.key_id)
            and self.end_reason in ("", record.end_reason)
        )

    def records(self, tx: Tx, account: str, now_ms: int, before: str, count_max: int) -> Iterator[UsageRecord]:
        """The account's within its time, newest first, whether it takes them or not."""
        return history.newest_first(tx, account, self.start_ms, self.end_ms or now_ms + DAY_MS, before, count_max)


def page_of(
    tx: Tx, account: str, wanted: GenerationFilter, before: str, now_ms: int, count: int = PAGE_ROWS
) -> tuple[list[UsageRecord], str]:
    """The next `count` records that `wanted` takes, the newest first, and before which id to go on; "" at the end."""
    found: list[UsageRecord] = []
    for number, record in enumerate(wanted.records(tx, account, now_ms, before, LOOKED_AT_MAX), start=1):
        if wanted.takes(record):
            found.append(record)
        if len(found) == count or number == LOOKED_AT_MAX:
            return found, record.gen_id
    return found, ""


async def show_list(visit: Visit) -> Response:
    wanted, days, problem = filter_of(visit)
    before, account = visit.param("before"), visit.account
    (records, following), keys = await visit.read(
        lambda tx, now: (page_of(tx, account, wanted, before, now), list_keys(tx, account))
    )
    asked = {"model": wanted.model, "key": wanted.key_id, "end": wanted.end_reason, "from": "", "to": "", **days}
    names = names_of(keys)
    offered = [key for at, key in enumerate(reversed(keys)) if at < KEYS_OFFERED or key.key_id == wanted.key_id]
    values = {"records": records, "wanted": wanted, "asked": asked, "keys": offered, "names": names, "end_reasons": END_REASONS}
    values["older"] = visit.link("/dashboard/generations", **asked, before=following) if following else ""
    values |= {"notice": f"These days cannot be shown: {problem}." if problem else "", "notice_kind": "bad"}
    return visit.render("account/generations.html", {**values, "tone": tone_of, "first_token": first_token, "live": not before})


def filter_of(visit: Visit) -> tuple[GenerationFilter, dict[str, str], str]:
    """What the address asks for, its days as it has them, and what is wrong with those."""
    wanted = GenerationFilter(visit.param("model"), visit.param("key"), visit.param("end"))
    first, last = visit.param("from"), visit.param("to")
    if not (first or last):
        return wanted, {}, ""
    try:
        span = range_of(first or last, last or days_of(today_of(visit.now_ms, visit.zone), visit.zone)[0], visit.zone)
    except ValueError as problem:
        return wanted, {}, str(problem)
    wanted = msgspec.structs.replace(wanted, start_ms=span.start_ms, end_ms=span.end_ms)
    return wanted, {"from": first, "to": last}, ""


async def download(visit: Visit) -> Response:
    """All that the filter takes as a file; of the last 30 days, where it names none."""
    wanted, days, _ = filter_of(visit)
    if not days:
        wanted = msgspec.structs.replace(wanted, start_ms=span_of("month", visit.now_ms, visit.zone).start_ms)

    def work(tx: Tx, now: int) -> bytes | None:
        records = list(wanted.records(tx, visit.account, now, "", GENERATIONS_MAX + 1))
        return None if len(records) > GENERATIONS_MAX else generations_csv(filter(wanted.takes, records))

    content = await visit.read(work)
    if content is None:
        text = f"There are more than {GENERATIONS_MAX:,} generations in this time. Choose fewer days."
        return visit.dashboard.plain(
            "Too many for one file", text, 400, visit.link("/dashboard/generations"), "To the generations"
        )
    return file_of(content, "generations.csv")


async def show_one(visit: Visit) -> Response:
    gen_id, account = visit.request.path_params["gen_id"].replace("\0", "?"), visit.account
    record = await visit.read(lambda tx, now: history.generation(tx, account, gen_id))
    until_s = monotonic() + (ARRIVES_S if is_new(gen_id, visit.now_ms) else 0)
    while record is None and monotonic() < until_s and await visit.dashboard.collector.await_batch(until_s - monotonic()):
        record = await visit.read(lambda tx, now: history.generation(tx, account, gen_id))
    if record is None:
        text = "There is no such generation in this account; a new one appears within seconds."
        return visit.dashboard.plain("Not found", text, 404, visit.link("/dashboard/generations"), "To the generations")
    values: dict[str, Any] = {"record": record, "lines": bill_of(record), "charged": explain_charge(record)}
    values["asked"] = outcome_of(record)["attempts"]
    key_id = record.key_id
    key = await visit.read(lambda tx, now: find_key_by_id(tx, key_id))
    values["key_name"] = key.shown_name if key else ""
    if record.upstream_cost_pico is not None:
        values["upstream_cost"] = f"${pico_dollars(record.upstream_cost_pico)}"
    return visit.render("account/generation.html", {**values, "tone": tone_of, "first_token": first_token})


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


def first_token(record: UsageRecord) -> str:
    """How long its first token took; empty when none came. An answer that came whole within a millisecond has a 0 there."""
    if record.ttft_ms:
        return figures.duration(record.ttft_ms)
    return "< 1 ms" if record.tokens.completion and record.latency_ms < 2 else ""


def tone_of(record: UsageRecord) -> str:
    """The class of the tag that says how it ended."""
    if record.end_reason == "completed":
        return "good"
    return "warn" if record.end_reason in ("cancelled", "credit_limit", "truncated") else "bad"
