"""OpenAI's Chat Completions, in both flavours: OpenAI's and OpenRouter's.

Source: OpenAI's API reference; OpenRouter's openapi.yaml. The request is `routing.request.envelope`'s, the stream
`routing.rewrite.chat.stream`'s.
"""

from typing import Final, Literal

from routing.metering.meter import Meter
from routing.plan.refusal import Refusal
from routing.request.body import rewrite
from routing.request.envelope import Envelope
from routing.request.envelope import read as read_envelope
from routing.rewrite.chat.answer import open_answer, rewrite_answer
from routing.rewrite.chat.stream import StreamRewrite
from routing.rewrite.identity import Identity
from routing.surfaces import Asked, CallerRequest, ErrorResponse, Machine, ProviderRequest, Whole
from routing.surfaces.json_request import placed
from routing.table.endpoint import CHAT
from usage.flavor import Flavor

ANSWERS: Final[Literal["json", "bytes"]] = "json"


def read(body: bytes, call: CallerRequest) -> Envelope:
    return read_envelope(body)


def request(envelope: Envelope, asked: Asked) -> ProviderRequest:
    body = rewrite(
        envelope,
        asked.model.name,
        cap=asked.cap,
        cap_max=asked.model.max_output_tokens,
        cap_field=asked.model.max_tokens_field or asked.provider.max_tokens_field,
        has_stream_options=asked.has_stream_options,
        fit=asked.fit,
    )
    if asked.endpoint is not CHAT:
        body = placed(body, asked.endpoint)
    return ProviderRequest(body, b"", asked.fit.ignored)


def machine(identity: Identity, meter: Meter, envelope: Envelope, created: int, line_bytes_max: int) -> Machine:
    return StreamRewrite(
        identity,
        meter,
        include_usage=envelope.include_usage,
        created=created,
        line_bytes_max=line_bytes_max,
        choices=envelope.choices,
    )


def whole(body: bytes, identity: Identity, meter: Meter, content_type: str) -> Whole:
    reading = open_answer(body)
    answer = rewrite_answer(body, reading, identity, meter)
    return Whole(answer, reading.chunk.finish_reason, reading.chunk.upstream_id)


def error_response(refusal: Refusal, flavor: Flavor, request_id: str) -> ErrorResponse:
    return ErrorResponse(refusal.status, refusal.body(flavor), [])
