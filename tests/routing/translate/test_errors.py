"""Errors of every format: whose fault they are, as a status before the answer and as an event within it."""

import json
from typing import Any

import pytest

from routing.failures.cause import Cause
from routing.failures.failure import Sent, status_of
from routing.failures.provider_error import failure_of_answer, failure_of_error
from routing.translate import Format
from tests.routing.translate import streams
from tests.routing.wire.frames import exception, frame


def anthropic(kind: str, message: str = "m") -> bytes:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}}, separators=(",", ":")).encode()


def google(code: int, status: str, *details: Any, message: str = "m") -> bytes:
    return json.dumps({"error": {"code": code, "status": status, "message": message, "details": details}}).encode()


IN_STREAMS: list[tuple[Format, bytes, Cause, int]] = [
    ("messages", anthropic("overloaded_error", "Overloaded"), Cause.OVERLOADED, 503),
    ("messages", anthropic("rate_limit_error"), Cause.RATE_LIMITED, 429),
    ("messages", anthropic("api_error", "Internal server error"), Cause.UNAVAILABLE, 502),
    ("messages", anthropic("authentication_error", "invalid x-api-key"), Cause.CREDENTIALS, 502),
    ("messages", anthropic("invalid_request_error", "messages: roles must alternate"), Cause.INVALID, 400),
    ("gemini", google(429, "RESOURCE_EXHAUSTED"), Cause.RATE_LIMITED, 429),
    ("gemini", google(503, "UNAVAILABLE", message="The model is overloaded."), Cause.OVERLOADED, 503),
    ("gemini", google(500, "INTERNAL"), Cause.UNAVAILABLE, 502),
    (
        "responses",
        b'{"type":"error","error":{"type":"insufficient_quota","code":"insufficient_quota","message":"m"}}',
        Cause.EXHAUSTED,
        502,
    ),
    ("responses", b'{"type":"error","code":"rate_limit_exceeded","message":"m","param":null}', Cause.RATE_LIMITED, 429),
    ("responses", b'{"type":"error","code":"server_error","message":"m","param":null}', Cause.UNAVAILABLE, 502),
]


@pytest.mark.parametrize(("format", "error", "cause", "status"), IN_STREAMS)
def test_error_within_an_answer(format: Format, error: bytes, cause: Cause, status: int) -> None:
    """Read from the body: there is no status."""
    chain = streams.chain(format, "chat")
    wire = b"data: %b\r\n\r\n" % error
    streams.run(chain, wire)
    failure = failure_of_error(chain.error, Sent.REQUEST)
    assert (failure.cause, status_of(failure)) == (cause, status)


@pytest.mark.parametrize(
    ("name", "message", "cause"),
    [
        ("throttlingException", "Too many requests, please wait", Cause.RATE_LIMITED),
        ("internalServerException", "The system encountered an unexpected error", Cause.UNAVAILABLE),
        ("serviceUnavailableException", "Bedrock is unable to process your request", Cause.OVERLOADED),
        ("validationException", "The model returned the following errors: bad input", Cause.INVALID),
        ("modelStreamErrorException", "The model stream failed", Cause.UNAVAILABLE),
    ],
)
def test_exception_within_frames(name: str, message: str, cause: Cause) -> None:
    """Bedrock's, each named by the header of its frame."""
    chain = streams.chain("converse", "chat")
    streams.run(chain, frame("messageStart", {"role": "assistant"}) + exception(name, {"message": message}))
    assert failure_of_error(chain.error, Sent.REQUEST).cause is cause


@pytest.mark.parametrize(
    ("status", "headers", "body", "cause"),
    [
        (
            400,
            [],
            anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
            Cause.EXHAUSTED,
        ),
        (529, [], anthropic("overloaded_error"), Cause.OVERLOADED),
        (413, [], anthropic("request_too_large"), Cause.TOO_LARGE),
        (
            400,
            [],
            google(400, "INVALID_ARGUMENT", {"reason": "API_KEY_INVALID"}, message="API key not valid."),
            Cause.CREDENTIALS,
        ),
        (400, [], google(400, "FAILED_PRECONDITION", message="User location is not supported for the API use."), Cause.FORBIDDEN),
        (400, [(b"x-amzn-errortype", b"ServiceQuotaExceededException")], b'{"message":"quota"}', Cause.EXHAUSTED),
        (429, [(b"x-amzn-errortype", b"ThrottlingException")], b'{"Message":"slow down"}', Cause.RATE_LIMITED),
        (403, [(b"x-amzn-errortype", b"AccessDeniedException")], b'{"message":"no"}', Cause.FORBIDDEN),
        (401, [], b'{"message":"invalid api token"}', Cause.CREDENTIALS),
        (422, [], b'{"message":"invalid request: message must be at least 1 token long"}', Cause.INVALID),
    ],
)
def test_error_instead_of_an_answer(status: int, headers: list[tuple[bytes, bytes]], body: bytes, cause: Cause) -> None:
    """A 400 may be about our account."""
    assert failure_of_answer(status, headers, body, 1_764_000_000.0).cause is cause


def test_wait_of_google_is_in_its_body() -> None:
    """As recorded."""
    failure = failure_of_answer(429, [], streams.answer("google-429-retry-info"), 1_764_000_000.0)
    assert failure.retry_after_s == pytest.approx(34, abs=1)
