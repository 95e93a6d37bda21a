"""A provider's error answer as a Failure: its cause, its words, its wait; the same for a status and for an error inside a 200.

Strategy: `complaint` reads the body, `cause` says why, `retry_after` how long. It runs on errors only.
Limits: the words are raw; secrets are taken out where they leave (`without_secrets`, then `routing.failures.failure.describe`).
"""

import re
import zlib
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from routing.failures.cause import Cause
from routing.failures.cause_table import cause_of
from routing.failures.failure import AttemptFailed, Failure, Kind, Sent, Source
from routing.failures.provider_error_body import BODY_BYTES_MAX, ErrorBody, read_error_body
from routing.failures.redaction import Secret, hidden
from routing.failures.retry_after import Headers, stated_wait_s, until_s

_HEADERS_OF_CAUSE: Final = (b"x-amzn-errortype", b"x-error-code", b"x-ms-error-code", b"x-error-type")
_OTHER_THINGS: Final = re.compile(
    r"\b(?:image|file|url|response|conversation|thread|container|prompt|attachment|audio|document|tool|message)s?\b",
    re.IGNORECASE,
)
SHORT_WAIT_S: Final = 3_600.0
"""What is renewed within the hour is a rate; what takes longer is a budget."""


def failure_of_answer(status: int, headers: Headers, body: bytes, now_unix_s: float, *, is_listed: bool = True) -> Failure:
    """The failure that an error status with this head and body amounts to. `is_listed`: the table knows the model."""
    values = dict(headers)
    body = decoded(body, values.get(b"content-encoding", b"identity"))
    complaint = read_error_body(body, values.get(b"content-type", b""))
    told = (values[name].decode("latin-1").partition(":")[0].strip() for name in _HEADERS_OF_CAUSE if name in values)
    return _failure(Kind.STATUS, Sent.REQUEST, status, complaint, told, headers, now_unix_s, is_listed=is_listed)


def decoded(body: bytes, encoding: bytes) -> bytes:
    """An error body without its gzip or deflate, as far as it can be read; others than those have no words for us."""
    name = encoding.strip().lower()
    if name in (b"", b"identity"):
        return body
    try:
        # 47: gzip or zlib, whichever it is; -15: deflate without the frame that it should have.
        return zlib.decompressobj(-15 if name == b"deflate" and body[:1] != b"\x78" else 47).decompress(body, BODY_BYTES_MAX)
    except zlib.error:
        return b""


def failure_of_error(error: bytes, sent: Sent) -> Failure:
    """The failure that an `error` inside a 200 reports; its status is the number in it, or 502."""
    read = read_error_body(b'{"error":%b}' % error)
    return _failure(Kind.STREAM_ERROR, sent, read.status, read, (), [], 0.0, is_listed=False)


def reported_error(error: bytes) -> AttemptFailed:
    """Of a response with a good status that brings no part of an answer, but this error: JSON, or the provider's own bytes."""
    return AttemptFailed(failure_of_error(error, Sent.REQUEST))


def no_answer(detail: str) -> AttemptFailed:
    """Of a response with a good status that is neither an answer nor an error. `detail`: what it lacks."""
    return AttemptFailed(Failure(Kind.PROTOCOL, Source.UPSTREAM, Sent.REQUEST, detail=detail))


def _failure(
    kind: Kind,
    sent: Sent,
    status: int,
    complaint: ErrorBody,
    told: Iterable[str],
    headers: Headers,
    now_unix_s: float,
    *,
    is_listed: bool,
) -> Failure:
    message = complaint.message
    wait_s = stated_wait_s(headers, complaint.waits, message, now_unix_s)
    states_wait = wait_s is not None and wait_s <= SHORT_WAIT_S
    cause = cause_of(status, (*told, *complaint.names), message, states_wait=states_wait)
    if cause is Cause.EXHAUSTED:
        wait_s = (until_s(message, now_unix_s) if now_unix_s else None) or wait_s
    if cause is Cause.MODEL_UNKNOWN and is_listed and _is_about_model(complaint):
        cause = Cause.MODEL_GONE
    return Failure(
        kind, Source.UPSTREAM, sent, status or 502, wait_s, message, complaint.code or "", complaint.param, told_cause=cause
    )


def _is_about_model(complaint: ErrorBody) -> bool:
    """Whether a 404 is about the model, or the address, that the table names; not about a file that the caller refers to."""
    told = f"{complaint.message} {complaint.code or ''}".lower()
    return "model" in told or "deployment" in told or not _OTHER_THINGS.search(told)


def without_secrets(failure: Failure, secrets: Sequence[Secret]) -> Failure:
    """The failure in words that may be told: to callers, logs and records."""
    if not (failure.detail or failure.code or failure.param):
        return failure
    detail, code = hidden(failure.detail, secrets), hidden(failure.code, secrets)
    param = None if failure.param is None else hidden(failure.param, secrets)
    return msgspec.structs.replace(failure, detail=detail, code=code, param=param)
