"""Spans of sampled requests, written from their records and sent to an OpenTelemetry collector: OTLP over HTTP, as JSON.

Rule: a request is traced when its caller's `traceparent` says so; it pays an append. Rule: a receiver that is away or slow costs
spans, which are counted, and nothing else: batches are bounded, and each is tried ATTEMPTS times.
Two spans: the server's (such as `POST /chat/completions`, a child of the caller's) and within it the client's (`chat <model>`;
the operation is the surface's), whose id the provider was given as its parent (`usage.trace`).
Sources: OTLP 1.x (`ExportTraceServiceRequest`; ids in hexadecimal, 64-bit numbers as strings); OpenTelemetry's `gen_ai.*`.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from routing.surfaces import SURFACES, operation_of
from usage.pricing import dollars
from usage.record import UsageRecord
from usage.throttle import Throttle
from usage.trace import span_ids

SPANS_MAX: Final = 10_000
BATCH_MAX: Final = 500
EVERY_S: Final = 1.0
ATTEMPTS: Final = 3
TIMEOUT_S: Final = 10.0
SERVER, CLIENT = 2, 3
ERROR = 2
log = logging.getLogger("tollway.otlp")
_PATHS: Final = {entry.format: tuple(path.replace(":path}", "}") for path in entry.paths) for entry in SURFACES}
_encode = msgspec.json.Encoder().encode


def _route_of(record: UsageRecord) -> str:
    """The path that was called, without its base, and with `{model}` where the model stands in it."""
    paths = _PATHS.get(record.surface, (f"/{record.surface}",))
    return paths[-1 if record.stream else 0]


def _attribute(key: str, value: str | int | bool) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"key": key, "value": {"boolValue": value}}
    return {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}


def _attributes(pairs: dict[str, str | int | bool]) -> list[dict[str, Any]]:
    return [_attribute(key, value) for key, value in pairs.items() if value != ""]


def spans_of(record: UsageRecord) -> list[dict[str, Any]]:
    """The two spans of a generation, as OTLP's JSON has them."""
    trace_id, parent_id, flags = record.trace.split("-")
    server_id, client_id = span_ids(record.gen_id)
    start_ns = record.started_ms * 1_000_000
    end_ns = start_ns + record.latency_ms * 1_000_000
    error = record.fault
    common = {
        "traceId": trace_id,
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(end_ns),
        "flags": int(flags, 16),
        "status": {"code": ERROR, "message": error} if error else {},
    }
    return [
        common | {"spanId": server_id, "parentSpanId": parent_id} | _of_server(record, error),
        common | {"spanId": client_id, "parentSpanId": server_id} | _of_client(record, error, start_ns),
    ]


def _of_server(record: UsageRecord, error: str) -> dict[str, Any]:
    """The caller's request, as we answered it."""
    route = _route_of(record)
    told: dict[str, str | int | bool] = {
        "http.request.method": "POST",
        "http.route": route,
        "http.response.status_code": record.status,
        "error.type": error,
        "tollway.generation.id": record.gen_id,
        "tollway.account": record.account,
        "tollway.end_reason": record.end_reason,
        "tollway.cost.amount": dollars(record.cost_nano),
        "tollway.cost.currency": "USD",
        "tollway.attempts": record.attempts,
    }
    return {"name": f"POST {route}", "kind": SERVER, "attributes": _attributes(told)}


def _of_client(record: UsageRecord, error: str, start_ns: int) -> dict[str, Any]:
    """The provider's answer, with its usage, and when its first token came."""
    tokens, operation = record.tokens, operation_of(record.surface)
    told: dict[str, str | int | bool] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": record.provider,
        "gen_ai.system": record.provider,
        "gen_ai.request.model": record.upstream_model,
        "gen_ai.response.model": record.upstream_model,
        "gen_ai.response.id": record.upstream_id,
        "gen_ai.usage.input_tokens": tokens.prompt,
        "gen_ai.usage.output_tokens": tokens.completion,
        "tollway.usage.cached_tokens": tokens.cached,
        "tollway.usage.reasoning_tokens": tokens.reasoning,
        "tollway.usage.source": record.usage_source,
        "tollway.stream": record.stream,
        "error.type": error,
    }
    first_ns = start_ns + record.ttft_ms * 1_000_000
    first = {"timeUnixNano": str(first_ns), "name": "gen_ai.first_token", "attributes": []}
    name = f"{operation} {record.upstream_model}"
    return {"name": name, "kind": CLIENT, "attributes": _attributes(told), "events": [first] if record.ttft_ms else []}


def export_of(records: Sequence[UsageRecord], node: str) -> bytes:
    """The body of a POST to `/v1/traces`."""
    resource = _attributes({"service.name": "tollway", "service.instance.id": node})
    spans = [span for record in records for span in spans_of(record)]
    return _encode(
        {
            "resourceSpans": [
                {"resource": {"attributes": resource}, "scopeSpans": [{"scope": {"name": "tollway"}, "spans": spans}]}
            ]
        }
    )


class TraceExporter:
    """`put` each sampled record, `run` until cancelled, `flush` at the end. `url` is the receiver's base or its traces' path."""

    def __init__(self, url: str, node: str) -> None:
        self._url = url if url.endswith("/v1/traces") else url.rstrip("/") + "/v1/traces"
        self._node = node
        self._waiting: deque[UsageRecord] = deque()
        self._told = Throttle()
        self.exported_total = 0
        self.dropped_total = 0

    def put(self, record: UsageRecord) -> None:
        if len(self._waiting) < SPANS_MAX:
            self._waiting.append(record)
        else:
            self.dropped_total += 1

    async def run(self) -> None:
        """Send what there is, every second."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Send what waits now."""
        if not self._waiting:
            return
        import httpx

        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(BATCH_MAX, len(self._waiting)))]
                if not await self._send(client, batch):
                    self.dropped_total += len(batch)

    async def _send(self, client: Any, batch: list[UsageRecord]) -> bool:
        import httpx

        problem = ""
        for attempt in range(ATTEMPTS):
            try:
                answer = await client.post(
                    self._url, content=export_of(batch, self._node), headers={"content-type": "application/json"}
                )
            except httpx.HTTPError as error:
                problem = repr(error)
            else:
                if answer.status_code < 300:
                    self.exported_total += len(batch)
                    return True
                problem = f"status {answer.status_code}"
                if answer.status_code not in (429, 502, 503, 504):
                    break
            await asyncio.sleep(0.5 * (attempt + 1))
        if (more := self._told.note(asyncio.get_running_loop().time())) is not None:
            log.warning("spans of %d requests are lost: %s says %s%s", len(batch), self._url, problem, more)
        return False
