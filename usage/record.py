"""The usage record: one immutable fact per generation, and the counts and rates it is made of.

Rule: a record carries everything its cost was computed from, so history can be audited and re-priced without any table.
Limits: counts are non-negative integers; money is integer nano-dollars, rates are integer pico-dollars. No float anywhere.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

TEXT_CHARS_MAX = 1_000
"""Of a text that says whose a record is and what it is of; the collector refuses a longer one."""
FOREIGN_CHARS_MAX = 128
"""What is kept of a text that a provider or a caller chose: an id, a user agent, an error."""
SHORT_CHARS_MAX = 32
"""What is kept of a foreign text that is a word: a finish reason, a tier."""
COUNT_MAX = 2**40
"""A count beyond this is no count."""
COST_NANO_MAX = 10**15
"""A million dollars for one generation: sums stay below 2**63."""
UPSTREAM_COST_PICO_MAX = 10**18
RECORD_BYTES_MAX = 65_536
"""Of a record as JSON: a journal writes none that is longer, so every reader and the collector can take what it wrote."""

UsageSource = Literal["provider", "counted", "estimated", "bounded"]
"""Where the counts come from.

provider: the provider's own usage, completed where it left something out. counted: our count of what was sent on.
estimated: the prompt's estimate or a last progress mark. bounded: the provider claimed what cannot be, and the bound was charged.
"""

EndReason = Literal["completed", "truncated", "cancelled", "upstream_error", "proxy_error", "credit_limit", "timeout", "orphaned"]
"""How a generation ended, as we saw it.

completed: the provider ended it. truncated: its stream ended without a finish_reason. cancelled: the caller left.
upstream_error: the provider failed or reported an error. proxy_error: we failed. credit_limit: the reserve was used up.
timeout: a clock of ours ran out. orphaned: the process died and recovery settled the intent.
"""

FAULTS = frozenset(("truncated", "upstream_error", "proxy_error", "timeout", "orphaned"))
"""End reasons that count as errors: not the caller's own leaving, and not the end of credit."""


class Tokens(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Token counts of one generation, in OpenAI's sense, whatever the provider's dialect.

    `prompt` includes cached, cache_write, audio_prompt and image_prompt; `completion` includes reasoning, audio_completion
    and image_completion; `cache_write` includes what was written for an hour or for twelve. A token may be in several parts
    (cached and of an image). All are tokens, never negative, but the last four: `searches` that the provider made of the web for
    the answer, or ranked documents for; `seconds` of sound, `characters` of text and `images`, where those have a price.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    audio_prompt: int = 0
    image_prompt: int = 0
    audio_completion: int = 0
    image_completion: int = 0
    cache_write_1h: int = 0
    cache_write_12h: int = 0
    searches: int = 0
    seconds: int = 0
    characters: int = 0
    images: int = 0

    @property
    def total(self) -> int:
        return self.prompt + self.completion


class Rates(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, cache_hash=True):
    """Prices of one model: pico-dollars per token; `request` in pico-dollars per request, `search` per web search (or per unit of
    a rerank), `second` per second of sound, `character` per character of text, `image` per image.

    A rate of None means "as its parent": audio_prompt and image_prompt fall back to `input`; cached and cache_write to what the
    token would cost without a cache; the longer writes to cache_write; reasoning, audio_completion and image_completion to
    `output`. `version` names the table the rates were read from. A record's rates are the resolved ones: those of the tier and of
    the prompt's size that were charged.
    """

    input: int = 0
    output: int = 0
    cached: int | None = None
    cache_write: int | None = None
    audio_prompt: int | None = None
    image_prompt: int | None = None
    reasoning: int | None = None
    audio_completion: int | None = None
    image_completion: int | None = None
    request: int = 0
    version: str = ""
    cache_write_1h: int | None = None
    cache_write_12h: int | None = None
    search: int = 0
    second: int = 0
    character: int = 0
    image: int = 0


class Abandoned(msgspec.Struct, frozen=True, gc=False):
    """A provider that had the request when another was asked in its place. It may bill up to `hold_nano`, and the operator pays
    that."""

    provider: str
    upstream_model: str
    hold_nano: int


class Tried(msgspec.Struct, frozen=True, gc=False):
    """A provider that was asked and did not answer. `status` is its HTTP status, 0 when it gave none; `reason` one
    word of ours."""

    provider: str
    upstream_model: str
    reason: str
    status: int = 0


class UsageRecord(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What one generation used and cost. `gen_id` is its permanent primary key; `seq` is gap-free per (node, epoch).

    Times are Unix milliseconds (`started_ms`) or durations in milliseconds. `hold_nano` is what had been reserved.
    `status` is the HTTP status the caller was answered with; 499 when the caller left first.
    `purse` is where the money came from: an account, or an account's key that has a spending limit of its own.
    `tier` is the service tier that was charged. `upstream_cost_pico` is what the provider says that it bills us, in pico-dollars;
    None when it says nothing.
    """

    gen_id: str
    seq: int
    node: str
    epoch: int
    account: str
    key_id: str
    purse: str
    model: str
    provider: str
    upstream_model: str
    tokens: Tokens
    rates: Rates
    cost_nano: int
    hold_nano: int
    started_ms: int
    status: int
    end_reason: EndReason
    usage_source: UsageSource
    stream: bool = False
    finish_reason: str = ""
    latency_ms: int = 0
    ttft_ms: int = 0
    request_id: str = ""
    upstream_id: str = ""
    attempts: int = 1
    user_agent: str = ""
    error: str = ""
    tier: str = ""
    upstream_cost_pico: int | None = None
    trace: str = ""
    """The caller's W3C trace, if it sent one: `<trace id>-<its span's id>-<flags>`, in hexadecimal."""
    abandoned: tuple[Abandoned, ...] = ()
    """Attempts that were given up for another one; the operator pays for them."""
    route: str = ""
    """The alias, route or model that the caller asked for, by its id in the edge's table (and the first one of those it listed),
    where what was asked at a provider has another id."""
    tried: tuple[Tried, ...] = ()
    """The attempts that came to nothing, in order; the one that answered, if any did, is the record's own provider."""
    surface: str = "chat"
    """What was called, by its name in `routing.surfaces`. Records of before there were others say nothing, and are of Chat."""
    ignored: str = ""
    """Paths of what was left out of the request, as the answer's `x-tollway-ignored` has them."""

    @property
    def fault(self) -> str:
        """What went wrong, as far as it is known; empty when the generation ended well or by its caller's doing."""
        return (self.error or self.end_reason) if self.end_reason in FAULTS else ""


ANSWERED = "answered"
FREE_TEXTS = ("finish_reason", "request_id", "upstream_id", "user_agent", "error", "tier", "surface", "ignored")
"""Members with a text that a provider, a caller or a newer edge chose, on which no money hangs."""


def fitted(record: UsageRecord) -> UsageRecord:
    """The record with its free texts cut, so that it is below RECORD_BYTES_MAX whoever wrote them; itself if they are short."""
    long = {name: text[:FOREIGN_CHARS_MAX] for name in FREE_TEXTS if len(text := getattr(record, name)) > FOREIGN_CHARS_MAX}
    return msgspec.structs.replace(record, **long) if long else record


def outcome(
    tried: Sequence[Tried], provider: str, upstream_model: str, attempts: int, status: int, ended: str = ANSWERED
) -> dict[str, Any]:
    """Who was asked and who answered: the one object that an answer's metadata, /generation and the dashboard show.

    `attempt`: the number of the one that answered, null where none did; `attempts`, each with what came of it: `status` is
    the provider's (0: it gave none), `result` is "answered" or one word for why not.

    `attempts` counts the one that is not in `tried`, if there is one; `status` and `ended` are its.
    """
    rows: list[dict[str, Any]] = [
        {"provider": each.provider, "model": each.upstream_model, "status": each.status, "result": each.reason} for each in tried
    ]
    if attempts > len(tried):
        rows.append({"provider": provider, "model": upstream_model, "status": status, "result": ended})
    has_answer = bool(rows) and rows[-1]["result"] == ANSWERED
    return {"attempt": len(rows) if has_answer else None, "attempts": rows}


def outcome_of(record: UsageRecord) -> dict[str, Any]:
    """A record's."""
    has_begun = bool(record.ttft_ms or record.upstream_id or record.status == 200)
    status, ended = (200, ANSWERED) if has_begun else (record.status, record.error or record.end_reason)
    # A record of before there was `tried` knows of its last attempt alone.
    attempts = record.attempts if len(record.tried) >= record.attempts else len(record.tried) + 1
    return outcome(record.tried, record.provider, record.upstream_model, attempts, status, ended)
