"""History as files: sums and generations as CSV, costs as FOCUS 1.2, top-ups as a statement.

Rule: they are the same figures as everywhere (`collector.analytics`, the ledger), exact, and safe to open (`csv_cells`).
FOCUS: one row per day, key, model and provider in which something was used; the zone of its days is UTC, as the specification
wants it. Source: FOCUS 1.2, FinOps Open Cost and Usage Specification.
Limits: GENERATIONS_MAX rows of generations at once.
"""

import datetime
from collections.abc import Iterable, Sequence
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec

from collector.accounts.window import DAY_MS
from collector.analytics.calendar import local, zone
from collector.analytics.engine import run
from collector.analytics.query import Query, QueryRow, Result
from collector.api.caller import READERS
from collector.api.operation import Call, Operation, PlainAnswer
from collector.api.problem import wrong
from collector.api.shapes import ms_of, timestamp
from collector.api.usage.analytics import NAMES, PERIODS
from collector.api.usage.csv_cells import write_csv
from collector.ingest.rollups import QUARTER_MS
from collector.ingest.screening import GEN_ID_SLACK_MS
from collector.store.contract import Tx
from usage.gen_id import first_of
from usage.pricing import NANO_PER_DOLLAR
from usage.record import UsageRecord

CSV = "text/csv; charset=utf-8"
GENERATIONS_MAX = 100_000
DAYS_DEFAULT = 30
_decode = msgspec.json.Decoder(UsageRecord).decode


class UsageExport(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """[from, to) in RFC 3339; `every` one of quarter_hour … year, `by` any of model, provider, api_key, account."""

    start: str = ""
    end: str = ""
    tz: str = "UTC"
    every: str = "day"
    by: tuple[str, ...] = ("model", "provider", "api_key")
    account: str = ""


class Range(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """[from, to) in RFC 3339."""

    start: str = ""
    end: str = ""
    account: str = ""


def money(nano: int) -> Decimal:
    """Dollars, exact."""
    return Decimal(nano).scaleb(-9).normalize() if nano else Decimal(0)


def _range(call: Call) -> tuple[int, int]:
    end_ms = ms_of(call.query.end, "to") if call.query.end else call.now_ms
    start_ms = ms_of(call.query.start, "from") if call.query.start else max(end_ms - DAYS_DEFAULT * DAY_MS, 0)
    if start_ms > end_ms:
        raise wrong("from", "from must be before to")
    return start_ms, end_ms


def export_usage(tx: Tx, call: Call) -> PlainAnswer:
    asked: UsageExport = call.query
    if asked.every not in PERIODS:
        raise wrong("every", f"every is one of {', '.join(PERIODS)}")
    if unknown := [name for name in asked.by if name not in NAMES]:
        raise wrong("by", f"group by {', '.join(NAMES)}, not {unknown[0][:40]!r}")
    by = tuple(dict.fromkeys(asked.by))
    query = Query(call.caller.account or None, *_range(call), asked.tz, PERIODS[asked.every], tuple(NAMES[name] for name in by))
    return PlainAnswer(usage_csv(run(tx, query, call.now_ms), by, zone(asked.tz)), CSV, "usage.csv")


def usage_csv(table: Result, by: Sequence[str], tz: ZoneInfo) -> bytes:
    """A table of sums as a file; `by` names its groups."""
    header = ("start", "end", *by, "requests", "errors", "prompt_tokens", "cached_tokens", "completion_tokens",
              "reasoning_tokens", "cost_usd")  # fmt: skip

    def row(line: QueryRow) -> tuple[object, ...]:
        sums = line.sums
        return (
            *(local(at // QUARTER_MS, tz).isoformat() for at in (line.start_ms, line.end_ms)), *(line.group or ()),
            sums.requests, sums.errors, sums.prompt, sums.cached, sums.completion, sums.reasoning, money(sums.cost_nano),
        )  # fmt: skip

    return write_csv(header, map(row, table.lines))


def export_generations(tx: Tx, call: Call) -> PlainAnswer:
    from_ms, to_ms = _range(call)
    where, params = ("account = ? AND ", [call.caller.account]) if call.caller.account else ("", list[str]())
    rows = tx.rows(
        f"SELECT payload FROM records WHERE {where}gen_id >= ? AND gen_id < ? AND started_ms >= ? AND started_ms < ?"
        " ORDER BY started_ms, gen_id LIMIT ?",
        *params,
        first_of(from_ms - GEN_ID_SLACK_MS),
        first_of(to_ms + GEN_ID_SLACK_MS),
        from_ms,
        to_ms,
        GENERATIONS_MAX + 1,
    )
    if len(rows) > GENERATIONS_MAX:
        raise wrong("from", f"more than {GENERATIONS_MAX} generations; ask for a shorter range")
    return PlainAnswer(generations_csv(_decode(payload) for (payload,) in rows), CSV, "generations.csv")


def generations_csv(records: Iterable[UsageRecord]) -> bytes:
    """Records as a file, a line each."""
    header = ("id", "created_at", "account", "key_id", "model", "provider", "status", "end_reason", "usage_source", "streamed",
              "prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "latency_ms", "ttft_ms", "cost_usd",
              "request_id", "upstream_id", "user_agent", "surface")  # fmt: skip

    def row(record: UsageRecord) -> tuple[object, ...]:
        tokens = record.tokens
        return (
            record.gen_id, timestamp(record.started_ms), record.account, record.key_id, record.model, record.provider,
            record.status, record.end_reason, record.usage_source, str(record.stream).lower(), tokens.prompt, tokens.cached,
            tokens.completion, tokens.reasoning, record.latency_ms, record.ttft_ms, money(record.cost_nano), record.request_id,
            record.upstream_id, record.user_agent, record.surface,
        )  # fmt: skip

    return write_csv(header, map(row, records))


FOCUS_COLUMNS = (
    "AvailabilityZone", "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency",
    "BillingPeriodEnd", "BillingPeriodStart", "CapacityReservationId", "CapacityReservationStatus", "ChargeCategory",
    "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "CommitmentDiscountCategory",
    "CommitmentDiscountId", "CommitmentDiscountName", "CommitmentDiscountQuantity", "CommitmentDiscountStatus",
    "CommitmentDiscountType", "CommitmentDiscountUnit", "ConsumedQuantity", "ConsumedUnit", "ContractedCost",
    "ContractedUnitPrice", "EffectiveCost", "InvoiceId", "InvoiceIssuerName", "ListCost", "ListUnitPrice", "PricingCategory",
    "PricingCurrency", "PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice",
    "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "RegionId", "RegionName", "ResourceId", "ResourceName",
    "ResourceType", "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails",
    "SkuPriceId", "SubAccountId", "SubAccountName", "SubAccountType", "Tags", "x_CompletionTokens", "x_PromptTokens",
    "x_Requests",
)  # fmt: skip


def export_focus(tx: Tx, call: Call) -> PlainAnswer:
    start_ms, end_ms = _range(call)
    start_ms, end_ms = start_ms - start_ms % DAY_MS, -(-end_ms // DAY_MS) * DAY_MS
    table = run(
        tx,
        Query(call.caller.account or None, start_ms, end_ms, "UTC", "day", ("account", "key", "model", "provider")),
        call.now_ms,
    )
    return PlainAnswer(write_csv(FOCUS_COLUMNS, _focus_rows(table)), CSV, "focus.csv")


def _focus_rows(table: Result) -> list[tuple[object, ...]]:
    return [tuple(_focus(line).get(name) for name in FOCUS_COLUMNS) for line in table.lines]


def _focus(line: QueryRow) -> dict[str, object]:
    """A line of a day as a charge. The quantity has a decimal point, because FOCUS takes it for a decimal."""
    assert line.group is not None
    account, key, model, provider = line.group
    sums = line.sums
    cost = _decimal(sums.cost_nano)
    tokens = max(sums.tokens, 1)
    unit_price = (Decimal(sums.cost_nano) / tokens / NANO_PER_DOLLAR).quantize(Decimal("1e-18")).normalize()
    day = datetime.datetime.fromtimestamp(line.start_ms / 1000, datetime.UTC)
    month = day.replace(day=1)
    after = (month + datetime.timedelta(days=32)).replace(day=1)
    return {
        "BilledCost": cost, "EffectiveCost": cost, "ListCost": cost, "ContractedCost": cost,
        "BillingAccountId": account, "BillingAccountName": account, "BillingAccountType": "Account", "BillingCurrency": "USD",
        "BillingPeriodStart": _utc(month), "BillingPeriodEnd": _utc(after),
        "ChargeCategory": "Usage", "ChargeDescription": f"{sums.requests} requests to {model}", "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": _utc(day), "ChargePeriodEnd": _utc(day + datetime.timedelta(days=1)),
        "ConsumedQuantity": f"{tokens}.0", "ConsumedUnit": "Tokens", "ContractedUnitPrice": _point(unit_price),
        "InvoiceIssuerName": "Tollway", "ListUnitPrice": _point(unit_price),
        "PricingCategory": "Standard", "PricingCurrency": "USD", "PricingCurrencyContractedUnitPrice": _point(unit_price),
        "PricingCurrencyEffectiveCost": cost, "PricingCurrencyListUnitPrice": _point(unit_price),
        "PricingQuantity": f"{tokens}.0", "PricingUnit": "Tokens", "ProviderName": "Tollway", "PublisherName": provider,
        "ResourceId": model, "ResourceName": model, "ResourceType": "Model",
        "ServiceCategory": "AI and Machine Learning", "ServiceName": "Model inference", "ServiceSubcategory": "Generative AI",
        "SkuId": model, "SkuMeter": "Tokens", "SkuPriceId": f"{model}/tokens",
        "SubAccountId": key, "SubAccountName": key, "SubAccountType": "API key",
        "Tags": msgspec.json.encode({"provider": provider}).decode(),
        "x_PromptTokens": sums.prompt, "x_CompletionTokens": sums.completion, "x_Requests": sums.requests,
    }  # fmt: skip


def _decimal(nano: int) -> str:
    return _point(money(nano))


def _point(value: Decimal) -> str:
    text = f"{value:f}"
    return text if "." in text else f"{text}.0"


def _utc(moment: datetime.datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


OPERATIONS = (
    Operation("GET", "/exports/usage.csv", "Sums of usage as CSV", READERS, export_usage, CSV, UsageExport),
    Operation("GET", "/exports/generations.csv", "Every generation as CSV", READERS, export_generations, CSV, Range),
    Operation("GET", "/exports/focus.csv", "Costs per day, key and model as FOCUS 1.2", READERS, export_focus, CSV, Range),
)
