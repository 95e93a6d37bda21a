"""A usage record as a CloudEvent: what other systems read of a generation.

Rule: amounts are decimal strings of dollars, counts are integers. Nothing of the prompt, of the answer or of a key is in it.
Source: CloudEvents 1.0; `subject` is what OpenMeter groups by, the account.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec

from collector.sinks.contract import SinkEvent
from usage.pricing import dollars, dollars_of_pico
from usage.record import UsageRecord

TYPE = "tollway.generation"
CONTENT_TYPE = "application/cloudevents+json"
BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(UsageRecord).decode


def event_of(payload: str) -> SinkEvent:
    """The event of a record as the store keeps it."""
    record = _decode(payload)
    return SinkEvent(record.gen_id, _encode(cloud_event(record)))


def cloud_event(record: UsageRecord) -> dict[str, Any]:
    """A record as CloudEvents 1.0 in JSON; its `id` is the generation's, so that it counts once."""
    ended_ms = record.started_ms + record.latency_ms
    return {
        "specversion": "1.0",
        "type": TYPE,
        "id": record.gen_id,
        "source": f"tollway/{record.node}",
        "subject": record.account,
        "time": datetime.fromtimestamp(ended_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": _data(record),
    }


def _data(record: UsageRecord) -> dict[str, Any]:
    data: dict[str, Any] = {
        "model": record.model,
        "provider": record.provider,
        "upstream_model": record.upstream_model,
        "surface": record.surface,
        "key_id": record.key_id,
        "node": record.node,
        "status": record.status,
        "end_reason": record.end_reason,
        "finish_reason": record.finish_reason,
        "usage_source": record.usage_source,
        "stream": record.stream,
        "tier": record.tier,
        "attempts": record.attempts,
        "latency_ms": record.latency_ms,
        "ttft_ms": record.ttft_ms,
        "total_tokens": record.tokens.total,
        "cost": dollars(record.cost_nano),
    }
    counts = msgspec.structs.asdict(record.tokens)
    data |= {name if name == "searches" else f"{name}_tokens": count for name, count in counts.items()}
    if record.upstream_cost_pico is not None:
        data["upstream_cost"] = dollars_of_pico(record.upstream_cost_pico)
    return data
