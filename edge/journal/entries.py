"""What the lines of a journal say: an intent `{"i":…}`, a progress mark `{"p":…}`, a settlement `{"s":…}`.

Rule: an intent is written before any byte leaves for the provider, its settlement after; whoever finds the first without the
second owes the settlement. Rule: a settlement is an intent and what came of it; `record_of` alone makes one of them.
Strategy: writers wrap ready JSON; readers decode one envelope whose absent kinds stay None, and a scan reads of a settlement only
its `gen_id` and `seq`.
"""

from typing import Any

import msgspec

from edge.journal.files.line import frame
from usage.record import (
    RECORD_BYTES_MAX,
    Abandoned,
    EndReason,
    Rates,
    Tokens,
    Tried,
    UsageRecord,
    UsageSource,
)


class Intent(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A generation about to be dispatched, with all that recovery needs to settle it."""

    gen_id: str
    purse: str
    account: str
    key_id: str
    model: str
    provider: str
    upstream_model: str
    rates: Rates
    hold_nano: int
    prompt_estimate: int
    started_ms: int
    stream: bool = False
    request_id: str = ""
    surface: str = "chat"


class Mark(msgspec.Struct, frozen=True):
    """What a running generation has used so far, as far as we can count."""

    gen_id: str
    tokens: Tokens


class Settled(msgspec.Struct, frozen=True):
    """Of a settlement, what a scan needs."""

    gen_id: str
    seq: int


class Line(msgspec.Struct, frozen=True):
    """A line as a scan reads it: exactly one is set."""

    i: Intent | None = None
    p: Mark | None = None
    s: Settled | None = None


class RecordLine(msgspec.Struct, frozen=True):
    """A line as the shipper reads it: intents and marks are skipped unread."""

    s: UsageRecord | None = None


# By position: to find each value's place by its name would cost three times as much, once per request.
def record_of(
    intent: Intent,
    node: str,
    epoch: int,
    seq: int,
    tokens: Tokens,
    rates: Rates,
    cost_nano: int,
    usage_source: UsageSource,
    status: int,
    end_reason: EndReason,
    finish_reason: str = "",
    latency_ms: int = 0,
    ttft_ms: int = 0,
    upstream_id: str = "",
    attempts: int = 1,
    user_agent: str = "",
    error: str = "",
    tier: str = "",
    upstream_cost_pico: int | None = None,
    trace: str = "",
    abandoned: tuple[Abandoned, ...] = (),
    route: str = "",
    tried: tuple[Tried, ...] = (),
    ignored: str = "",
) -> UsageRecord:
    """The settlement of an intent, and what came of it: what the intent cannot know (`UsageRecord` says what each is). `seq`: the
    next number of (node, epoch), which is `Journal.next_seq` while the process runs, and recovery's afterwards."""
    return UsageRecord(
        intent.gen_id,
        seq,
        node,
        epoch,
        intent.account,
        intent.key_id,
        intent.purse,
        intent.model,
        intent.provider,
        intent.upstream_model,
        tokens,
        rates,
        cost_nano,
        intent.hold_nano,
        intent.started_ms,
        status,
        end_reason,
        usage_source,
        intent.stream,
        finish_reason,
        latency_ms,
        ttft_ms,
        intent.request_id,
        upstream_id,
        attempts,
        user_agent,
        error,
        tier,
        upstream_cost_pico,
        trace,
        abandoned,
        route,
        tried,
        intent.surface,
        ignored,
    )


_encode = msgspec.json.Encoder().encode
_decode_line = msgspec.json.Decoder(Line).decode
_decode_record = msgspec.json.Decoder(RecordLine).decode


def intent_line(intent: Intent) -> bytes:
    return frame(b'{"i":%b}' % _encode(intent))


def mark_line(gen_id: str, tokens: Tokens) -> bytes:
    return frame(b'{"p":%b}' % _encode(Mark(gen_id, tokens)))


def settlement_line(record: UsageRecord) -> bytes:
    """ValueError: the record is longer than a reader takes; `fitted` makes it shorter."""
    json = _encode(record)
    if len(json) > RECORD_BYTES_MAX:
        raise ValueError(f"a record of {len(json)} bytes is longer than any reader takes")
    return frame(b'{"s":%b}' % json)


def encode(value: Any) -> bytes:
    """JSON of any of our structs, for the smaller files beside the segments."""
    return _encode(value)


def read_line(json: bytes) -> Line | None:
    """The fact in a line whose checksum was right; None when it says nothing we know."""
    try:
        line = _decode_line(json)
    except msgspec.MsgspecError:
        return None
    return line if (line.i, line.p, line.s).count(None) == 2 else None


def read_record(json: bytes) -> UsageRecord | None:
    """The settlement in a line, or None when it is another kind."""
    if not json.startswith(b'{"s":'):
        return None
    try:
        return _decode_record(json).s
    except msgspec.MsgspecError:
        return None
