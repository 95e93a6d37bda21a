"""A refusal in the words of each surface: the status that its clients stop at or wait for, and a body that they read."""

import json
from typing import Any

import pytest

from routing.plan.refusal import Refusal
from routing.surfaces import SURFACES, operation_of
from tests.routing.surfaces.calls import surface
from usage.flavor import Flavor

OPENAI = (
    "chat",
    "responses",
    "embeddings",
    "completions",
    "moderations",
    "rerank",
    "images",
    "image_edits",
    "speech",
    "transcriptions",
    "translations",
    "cohere_embeddings",
)
BAD = Refusal(400, "invalid_value", "'n' must be 1", param="n")


@pytest.mark.parametrize("format", OPENAI)
def test_refusal_in_openais_words(format: str) -> None:
    told = surface(format).error_response(BAD, Flavor.OPENAI, "req-1")
    assert (told.status, told.headers) == (400, [])
    assert json.loads(told.body) == {
        "error": {"message": "'n' must be 1", "type": "invalid_request_error", "param": "n", "code": "invalid_value"}
    }


@pytest.mark.parametrize("format", [format for format in OPENAI if format != "responses"])
def test_refusal_in_openrouters_words(format: str) -> None:
    told = surface(format).error_response(BAD, Flavor.OPENROUTER, "req-1")
    assert json.loads(told.body)["error"] == {
        "code": 400,
        "message": "'n' must be 1",
        "metadata": {"error_type": "invalid_request", "code": "invalid_value", "param": "n"},
    }


@pytest.mark.parametrize(
    ("status", "told_status", "kind"),
    [
        (400, 400, "invalid_request_error"),
        (401, 401, "authentication_error"),
        (402, 402, "billing_error"),
        (403, 403, "permission_error"),
        (404, 404, "not_found_error"),
        (413, 413, "request_too_large"),
        (429, 429, "rate_limit_error"),
        (500, 500, "api_error"),
        (502, 502, "api_error"),
        (503, 529, "overloaded_error"),
        (504, 504, "timeout_error"),
    ],
)
@pytest.mark.parametrize("format", ["messages", "count_tokens"])
def test_refusal_in_anthropics_words(format: str, status: int, told_status: int, kind: str) -> None:
    """An overloaded provider is 529 there; the request's id stands where its SDKs read it."""
    refusal = Refusal(status, "our_code", "words", param="n", metadata={"provider_name": "p"})
    told = surface(format).error_response(refusal, Flavor.OPENAI, "req-1")
    assert (told.status, told.headers) == (told_status, [(b"request-id", b"req-1")])
    assert json.loads(told.body) == {
        "type": "error",
        "error": {"type": kind, "message": "words", "details": {"code": "our_code", "param": "n", "provider_name": "p"}},
        "request_id": "req-1",
    }
    unnamed = surface(format).error_response(Refusal(status, "our_code", "words"), Flavor.OPENAI, "")
    assert (unnamed.headers, json.loads(unnamed.body).keys()) == ([], {"type", "error"})


@pytest.mark.parametrize(
    ("refusal", "status", "code", "headers"),
    [
        (Refusal(402, "insufficient_credits", "x"), 429, "insufficient_quota", [(b"x-should-retry", b"false")]),
        (Refusal(502, "provider_error", "x"), 502, "provider_error", [(b"retry-after", b"5")]),
        (Refusal(503, "busy", "x", retry_after_s=1.5), 503, "busy", [(b"retry-after", b"5")]),
        (Refusal(503, "busy", "x", retry_after_s=31.5), 503, "busy", [(b"retry-after", b"32")]),
        (Refusal(429, "rate_limited", "x", retry_after_s=3), 429, "rate_limited", []),
        (Refusal(504, "timeout", "x"), 504, "timeout", []),
    ],
)
def test_refusal_that_makes_codex_stop_or_wait(refusal: Refusal, status: int, code: str, headers: list[Any]) -> None:
    """Without credit it is told at once that trying again cannot help; what may be tried again is not tried at once."""
    for flavor in Flavor:
        told = surface("responses").error_response(refusal, flavor, "req-1")
        assert (told.status, told.headers) == (status, headers)
        assert json.loads(told.body)["error"]["code"] == code


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (402, "FAILED_PRECONDITION"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (408, "DEADLINE_EXCEEDED"),
        (413, "INVALID_ARGUMENT"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (502, "INTERNAL"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
        (418, "UNKNOWN"),
    ],
)
@pytest.mark.parametrize("format", ["gemini", "gemini_count_tokens", "gemini_embeddings", "gemini_batch_embeddings"])
def test_refusal_in_googles_words(format: str, status: int, word: str) -> None:
    told = surface(format).error_response(Refusal(status, "our_code", "words"), Flavor.OPENAI, "req-1")
    assert (told.status, told.headers) == (status, [])
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "OUR_CODE", "domain": "tollway"}
    assert json.loads(told.body) == {"error": {"code": status, "message": "words", "status": word, "details": [info]}}


def test_refusal_in_coheres_words() -> None:
    """What Cohere has no word for stands beside its own."""
    told = surface("cohere").error_response(
        Refusal(429, "c", "words", param="n", metadata={"provider_name": "p"}), Flavor.OPENAI, "req-1"
    )
    assert (told.status, told.headers) == (429, [])
    assert json.loads(told.body) == {"id": "req-1", "message": "words", "code": "c", "param": "n", "provider_name": "p"}
    assert json.loads(surface("cohere").error_response(Refusal(400, "c", "words"), Flavor.OPENAI, "").body) == {
        "message": "words",
        "code": "c",
    }


@pytest.mark.parametrize("entry", SURFACES, ids=lambda entry: entry.format)
def test_words_of_any_alphabet_are_json(entry: Any) -> None:
    """Quotes and line breaks in a message break no body."""
    told = surface(entry.format).error_response(Refusal(400, "c", 'größer "als"\n\\ 😀'), Flavor.OPENROUTER, "req-1")
    assert 'größer \\"als\\"\\n\\\\ 😀'.encode() in told.body
    assert json.loads(told.body)


@pytest.mark.parametrize(
    ("format", "operation"),
    [
        ("chat", "chat"),
        ("messages", "chat"),
        ("responses", "chat"),
        ("cohere", "chat"),
        ("gemini", "generate_content"),
        ("completions", "text_completion"),
        ("embeddings", "embeddings"),
        ("cohere_embeddings", "embeddings"),
        ("rerank", "rerank"),
        ("of_tomorrow", "of_tomorrow"),
    ],
)
def test_operation_is_telemetrys_word(format: str, operation: str) -> None:
    """One that is not known goes by its own name."""
    assert operation_of(format) == operation
