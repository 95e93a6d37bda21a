"""One generation, and lists of them: /generation, /generations. Shapes: WIRE.md 1.7.

Rule: an inference key sees its own generations, an account's key those of the account, the operator all. A generation is there as
soon as its edge has shipped it: at once through the edge that answered it, and through any other one within GENERATION_WAIT_S,
for which this request is held.
"""

from typing import Annotated

import msgspec

from collector.accounts.history import SCAN_MAX, newest_first
from collector.accounts.window import DAY_MS
from collector.api.caller import ALL, ApiCaller
from collector.api.operation import Call, Operation
from collector.api.problem import ApiError, wrong
from collector.api.shapes import Amount, PicoAmount, ms_of, timestamp
from collector.store.contract import Tx
from usage.gen_id import time_ms_of
from usage.record import UsageRecord, outcome_of

GENERATION_WAIT_S = 3.0
"""An edge ships each second; so a generation that ended is there through any edge before this is over, or its edge is away."""
PAGE_MAX = 500
API_TYPES = {
    "cohere_embeddings": "embeddings",
    "embeddings": "embeddings",
    "gemini_batch_embeddings": "embeddings",
    "gemini_embeddings": "embeddings",
    "image_edits": "image",
    "images": "image",
    "rerank": "rerank",
    "speech": "tts",
    "transcriptions": "stt",
    "translations": "stt",
}
"""Surface → OpenRouter's word for it, where that is not "completions"."""
_decode = msgspec.json.Decoder(UsageRecord).decode


class GenerationQuery(msgspec.Struct, frozen=True):
    id: str = ""
    account: str = ""


class RoutedAttempt(msgspec.Struct, frozen=True):
    """`status`: the provider's, 0 where it gave none. `result`: "answered", or one word for why not."""

    provider: str
    model: str
    status: int
    result: str


class Routing(msgspec.Struct, frozen=True):
    """How an answer came about. `attempt`: the number of the one that answered, null where none did."""

    requested: str
    attempt: int | None
    attempts: list[RoutedAttempt]


class GenerationDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A generation; what we do not know is null. Amounts in dollars, times in milliseconds.

    `surface` is what was called, such as "chat" or "messages"; `api_type` is OpenRouter's coarser word for it.
    `ignored`: what was left out of the request, as `x-tollway-ignored` had it.
    """

    id: str
    upstream_id: str | None
    request_id: str | None
    created_at: str
    model: str
    provider_name: str
    api_type: str
    surface: str
    streamed: bool
    cancelled: bool
    origin: str = ""
    user_agent: str | None
    is_byok: bool = False
    latency: int
    generation_time: int
    finish_reason: str | None
    native_finish_reason: str | None
    end_reason: str
    usage_source: str
    status: int
    attempts: int
    error: str | None
    tokens_prompt: int
    tokens_completion: int
    native_tokens_prompt: int
    native_tokens_completion: int
    native_tokens_reasoning: int
    native_tokens_cached: int
    native_tokens_completion_images: int
    total_cost: Amount
    usage: Amount
    upstream_inference_cost: PicoAmount | None
    cache_discount: float | None = None
    provider_responses: None = None
    key_id: str
    app_id: int | None = None
    external_user: str | None = None
    http_referer: str | None = None
    moderation_latency: int | None = None
    num_media_prompt: int | None = None
    num_media_completion: int | None = None
    num_input_audio_prompt: int | None = None
    num_search_results: int | None = None
    num_fetches: int | None = None
    router: str | None = None
    routing: Routing
    session_id: str | None = None
    service_tier: str | None = None
    ignored: str | None = None
    data_region: str = "global"
    preset_id: str | None = None
    workspace_id: str | None = None
    web_search_engine: str | None = None
    response_cache_source_id: str | None = None
    request_id_of_provider: str | None = None


class GenerationAnswer(msgspec.Struct, frozen=True):
    data: GenerationDetail


def read_generation(tx: Tx, call: Call) -> GenerationAnswer:
    gen_id = call.query.id
    if not gen_id:
        raise ApiError(400, "name the generation: /generation?id=gen-...", "missing_parameter", "id")
    drawn_ms = time_ms_of(gen_id)
    row = None if drawn_ms is None else tx.row("SELECT payload FROM records WHERE gen_id = ?", gen_id)
    record = _decode(row[0]) if row else None
    if record is not None and _may_see(call.caller, record):
        return GenerationAnswer(describe_generation(record))
    # What is on its way is waited for; what cannot be ours, or is somebody else's, is not.
    may_come = record is None and drawn_ms is not None and call.now_ms - DAY_MS < drawn_ms <= call.now_ms + DAY_MS
    message = "there is no such generation of this key or account; one that has just ended appears within seconds"
    raise ApiError(404, message, "not_found", "id", 1 if may_come else None)


def _may_see(caller: ApiCaller, record: UsageRecord) -> bool:
    if caller.key is not None:
        return record.key_id == caller.key.key_id and record.account == caller.account
    return not caller.account or record.account == caller.account


def describe_generation(record: UsageRecord) -> GenerationDetail:
    """A record as /generation answers it."""
    tokens, total = record.tokens, Amount(record.cost_nano)
    return GenerationDetail(
        id=record.gen_id,
        upstream_id=record.upstream_id or None,
        request_id=record.request_id or None,
        created_at=timestamp(record.started_ms),
        model=record.model,
        provider_name=record.provider,
        api_type=API_TYPES.get(record.surface, "completions"),
        surface=record.surface,
        streamed=record.stream,
        cancelled=record.end_reason == "cancelled",
        user_agent=record.user_agent or None,
        latency=record.ttft_ms,
        generation_time=max(record.latency_ms - record.ttft_ms, 0),
        finish_reason=record.finish_reason or None,
        native_finish_reason=record.finish_reason or None,
        end_reason=record.end_reason,
        usage_source=record.usage_source,
        status=record.status,
        attempts=record.attempts,
        error=record.error or None,
        tokens_prompt=tokens.prompt,
        tokens_completion=tokens.completion,
        native_tokens_prompt=tokens.prompt,
        native_tokens_completion=tokens.completion,
        native_tokens_reasoning=tokens.reasoning,
        native_tokens_cached=tokens.cached,
        native_tokens_completion_images=tokens.image_completion,
        total_cost=total,
        usage=total,
        upstream_inference_cost=None if record.upstream_cost_pico is None else PicoAmount(record.upstream_cost_pico),
        service_tier=record.tier or None,
        ignored=record.ignored or None,
        key_id=record.key_id,
        router=record.route or None,
        routing=msgspec.convert({"requested": record.route or record.model, **outcome_of(record)}, Routing),
    )


class GenerationsQuery(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """Newest first, [from, to) by when they started; `cursor` of the page before."""

    account: str = ""
    start: str = ""
    end: str = ""
    model: str = ""
    provider: str = ""
    key_id: str = ""
    end_reason: str = ""
    surface: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)] = 100
    cursor: str = ""


class GenerationsAnswer(msgspec.Struct, frozen=True):
    """`next_cursor` null: there are no more."""

    data: list[GenerationDetail]
    next_cursor: str | None


def list_generations(tx: Tx, call: Call) -> GenerationsAnswer:
    query: GenerationsQuery = call.query
    if query.cursor and time_ms_of(query.cursor) is None:
        raise wrong("cursor", "that cursor was not made here; begin without one")
    from_ms = ms_of(query.start, "from") if query.start else 0
    to_ms = ms_of(query.end, "to") if query.end else call.now_ms + DAY_MS
    key_id = call.caller.key.key_id if call.caller.key is not None else query.key_id
    wanted = {"model": query.model, "provider": query.provider, "key_id": key_id, "end_reason": query.end_reason}
    wanted["surface"] = query.surface
    filters = {name: value for name, value in wanted.items() if value}
    found: list[GenerationDetail] = []
    last, seen = "", 0
    for record in newest_first(tx, call.caller.account, from_ms, to_ms, query.cursor):
        seen, last = seen + 1, record.gen_id
        if all(getattr(record, name) == value for name, value in filters.items()):
            found.append(describe_generation(record))
            if len(found) == query.limit:
                break
    return GenerationsAnswer(found, last if len(found) == query.limit or seen == SCAN_MAX else None)


OPERATIONS = (
    Operation(
        "GET", "/generation", "One generation, as soon as its edge has shipped it", ALL, read_generation, GenerationAnswer,
        GenerationQuery, errors=(404,), patience_s=GENERATION_WAIT_S,
    ),
    Operation("GET", "/generations", "Generations, newest first", ALL, list_generations, GenerationsAnswer, GenerationsQuery),
)  # fmt: skip
