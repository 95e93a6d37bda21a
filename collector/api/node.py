"""The collector's end of the node protocol over HTTP; what goes over the wire, errors included, is `usage.protocol.http`'s.

Rule: a token speaks for its own node, and the workers that it names `<node>@…`, and only here. Rule: sizes are bounded before and
after decompression.
Strategy: one record that is no record is rejected by itself; its neighbours in the batch pass.
"""

import asyncio
import zlib
from typing import cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from collector.http.body import read_body
from collector.http.refusal_log import log_refusal
from collector.leasing import enrolment
from collector.leasing.nodes import PREFIX, TOKEN_CHARS, node_of_token
from collector.message_checks import check_owner
from collector.service import Collector
from usage.decoding import UNREADABLE, reason_of
from usage.limit import LimitReport
from usage.protocol import (
    MESSAGE_BYTES_MAX,
    MESSAGES,
    Acquire,
    Batch,
    Boot,
    Close,
    Enrol,
    Enrolled,
    Poll,
    Refused,
    Rejected,
    Return,
    Unreachable,
    group_of,
)
from usage.protocol.http import (
    CODINGS,
    ENROL,
    GZIP,
    MEDIA_TYPE,
    METHOD,
    ROUTE,
    UnknownMessage,
    UnknownToken,
    error_answer,
    token_of,
)
from usage.record import UsageRecord

BODY_S_MAX = 30.0
BODY_BYTES_MAX = MESSAGE_BYTES_MAX
"""After decompression; what comes in compressed is bounded by the same."""

Message = Boot | Acquire | Batch | Return | Close | Poll

_encode = msgspec.json.Encoder().encode
_DECODE_ENROL = msgspec.json.Decoder(Enrol).decode
_DECODERS = {name: msgspec.json.Decoder(request) for name, (request, _) in MESSAGES.items()}


class _LooseBatch(msgspec.Struct, frozen=True):
    node: str
    epoch: int
    records: tuple[msgspec.Raw, ...] = ()
    renew: tuple[Acquire, ...] = ()
    complete_ms: int = 0
    limits: tuple[LimitReport, ...] = ()


class _LooseRecord(msgspec.Struct, frozen=True):
    seq: int
    gen_id: str = ""


_decode_loose = msgspec.json.Decoder(_LooseBatch).decode
_decode_loose_record = msgspec.json.Decoder(_LooseRecord).decode
_decode_record = msgspec.json.Decoder(UsageRecord).decode


def routes(collector: Collector) -> list[BaseRoute]:
    """All messages as one Starlette route."""

    async def answer(request: Request) -> Response:
        try:
            return await _serve(collector, request)
        except (Refused, Unreachable) as error:
            status, headers, body = error_answer(error)
            return Response(body, status, headers, MEDIA_TYPE)

    return [Route(ROUTE, answer, methods=[METHOD])]


async def _serve(collector: Collector, request: Request) -> Response:
    name = request.path_params["name"]
    if name == ENROL:
        return await _enrol(collector, request)
    if name not in MESSAGES:
        raise UnknownMessage(name)
    token, node = _token(request), ""
    try:
        if token.startswith(PREFIX) and len(token) == TOKEN_CHARS:
            node = await collector.read(lambda tx, now: node_of_token(tx, token))
    except Refused:
        log_refusal(collector.refusals, request, "a node's token that was revoked")
        raise
    if not node:
        log_refusal(collector.refusals, request, "no valid node token")
        raise UnknownToken("this node token is unknown; `tollway nodes create` makes one")
    body = await _read_body(request)
    if name == "ingest":
        batch, unreadable = _decode_batch(body)
        check_owner(batch, node)
        outcome: object = await collector.ingest(batch, unreadable)
    else:
        message = _decode(name, body)
        check_owner(message, node)
        outcome = await getattr(collector, name)(message)
    return Response(_encode(outcome), media_type=MEDIA_TYPE)


async def _enrol(collector: Collector, request: Request) -> Response:
    """A group's token and a machine's name in, the node's own token out."""
    token = _token(request)
    try:
        if not group_of(token):
            raise Refused("bad_node_token", "only a group's token enrols a node; `tollway nodes create --group G` makes one")
        await collector.read(lambda tx, now: enrolment.find_group(tx, token))
    except Refused as refusal:
        log_refusal(collector.refusals, request, "no valid group's token")
        raise UnknownToken(str(refusal)) from None
    message = _decode_enrol(await _read_body(request))
    origin = request.client.host if request.client else ""
    own = await collector.write(lambda tx, now: enrolment.enrol(tx, token, message, origin, now))
    return Response(_encode(Enrolled(own)), media_type=MEDIA_TYPE)


def _decode_enrol(body: bytes) -> Enrol:
    try:
        return _DECODE_ENROL(body)
    except UNREADABLE as error:
        raise Refused("invalid", f"not an enrol message: {reason_of(error)}") from error


def _token(request: Request) -> str:
    return token_of(request.headers.get("authorization", ""))


async def _read_body(request: Request) -> bytes:
    """The body, decompressed; Refused as soon as it is known to be too large, or has not come in BODY_S_MAX."""
    try:
        async with asyncio.timeout(BODY_S_MAX):
            body = await read_body(request, BODY_BYTES_MAX)
    except TimeoutError:
        raise Refused("invalid", f"the message has not come in {BODY_S_MAX:.0f} seconds") from None
    if body is None:
        raise _too_large()
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in CODINGS:
        raise Refused("invalid", f"content-encoding is {' or '.join(CODINGS)}, not {encoding[:40]!r}")
    return inflate(body) if encoding == GZIP else body


def inflate(body: bytes) -> bytes:
    """One gzip member, never more than BODY_BYTES_MAX of it in memory."""
    stream = zlib.decompressobj(wbits=31)
    try:
        plain = stream.decompress(body, BODY_BYTES_MAX + 1)
    except zlib.error as error:
        raise Refused("invalid", f"the body is not gzip: {error}") from error
    if len(plain) > BODY_BYTES_MAX:
        raise _too_large()
    if not stream.eof or stream.unused_data:
        raise Refused("invalid", "the gzip body is cut short or has something after it")
    return plain


def _too_large() -> Refused:
    return Refused("too_large", f"a message has at most {BODY_BYTES_MAX} bytes; send fewer records at once")


def _decode(name: str, body: bytes) -> Message:
    try:
        message = cast(Message, _DECODERS[name].decode(body))
    except UNREADABLE as error:
        raise Refused("invalid", f"not a {name} message: {reason_of(error)}") from error
    return message


def _decode_batch(body: bytes) -> tuple[Batch, tuple[Rejected, ...]]:
    """The batch, and those of its records that are none."""
    try:
        batch = _decode("ingest", body)
        assert isinstance(batch, Batch)
        return batch, ()
    except Refused:
        pass
    try:
        loose = _decode_loose(body)
        records: list[UsageRecord] = []
        unreadable: list[Rejected] = []
        for raw in loose.records:
            try:
                records.append(_decode_record(raw))
            except UNREADABLE as error:
                named = _decode_loose_record(raw)
                unreadable.append(Rejected(named.seq, named.gen_id, f"not a usage record: {reason_of(error)}"))
    except UNREADABLE as error:
        raise Refused("invalid", f"not an ingest message: {reason_of(error)}") from error
    batch = Batch(loose.node, loose.epoch, tuple(records), loose.renew, loose.complete_ms, loose.limits)
    return batch, tuple(unreadable)
