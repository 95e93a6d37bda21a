"""Every refusal in the words of whoever calls there: each path that is paid, what stands below it, and what no surface serves."""

import json
from typing import Any

import pytest

from routing.plan.refusal import Refusal
from routing.surfaces import COHERE_BASES, SURFACES, Entry, surface_of
from routing.surfaces.errors import error_at, owner_at
from usage.flavor import BASES, flavor_of

STATUSES = (400, 401, 402, 403, 404, 405, 408, 409, 413, 415, 422, 429, 431, 500, 502, 503, 504)
WHO = {
    "messages": "anthropic",
    "count_tokens": "anthropic",
    "gemini": "google",
    "gemini_count_tokens": "google",
    "gemini_embeddings": "google",
    "gemini_batch_embeddings": "google",
    "cohere": "cohere",
    "cohere_embeddings": "cohere",
}
ANTHROPIC_TYPES = {
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "conflict_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "timeout_error",
    "overloaded_error",
}
PATHS = [
    (entry, base, base + path.replace("{model:path}", "a/b"))
    for entry in SURFACES
    for path in entry.paths
    for base in entry.bases
]


def speaker(body: bytes) -> str:
    """Whose words an error is in."""
    said: dict[str, Any] = json.loads(body)
    match said:
        case {"type": "error", "error": {"type": str(kind), "message": str()}}:
            assert kind in ANTHROPIC_TYPES
            return "anthropic"
        case {"error": {"code": int(), "message": str(), "status": str()}}:
            return "google"
        case {"message": str()} if "error" not in said:
            return "cohere"
        case {"error": {"message": str(), "type": str(), "param": _, "code": str() | None}}:
            return "openai"
        case {"error": {"code": int(), "message": str(), "metadata": {"error_type": str()}}}:
            return "openrouter"
    raise AssertionError(body)


def expected(entry: Entry, base: str) -> str:
    if base in COHERE_BASES:
        return "cohere"
    if entry.format == "responses":
        # OpenAI's own event types, at both bases.
        return "openai"
    return WHO.get(entry.format) or ("openrouter" if base == "/api/v1" else "openai")


@pytest.mark.parametrize(("entry", "base", "path"), PATHS, ids=lambda value: value if isinstance(value, str) else value.format)
def test_refusal_of_a_surface(entry: Entry, base: str, path: str) -> None:
    """With any status, by the surface itself and where it was not reached; the request's id where its SDKs look for it."""
    for status in STATUSES:
        refusal = Refusal(status, "some_code", "why", param="x", retry_after_s=2.0)
        told = error_at(path, [], refusal, "req-1")
        assert speaker(told.body) == expected(entry, base)
        assert b"why" in told.body
        assert told.status in (status, 529 if status == 503 else 429 if status == 402 else status)
        assert (b"request-id", b"req-1") in told.headers or entry.id_header == b""
        own = (owner_at(path) or surface_of(entry)).error_response(refusal, flavor_of(path), "req-1")
        assert own == told


@pytest.mark.parametrize(
    ("path", "headers", "who"),
    [
        ("/v2", [], "cohere"),
        ("/v2/nothing", [], "cohere"),
        ("/api/v2/datasets", [], "cohere"),
        ("/v1beta/files", [], "google"),
        ("/api/v1beta/models/x:batchGenerateContent", [], "google"),
        ("/v1/models/a/b:generateContent", [], "google"),
        ("/v1/messages/batches", [], "anthropic"),
        ("/api/v1/messages/batches/x", [], "anthropic"),
        ("/v1/files", [(b"anthropic-version", b"2023-06-01")], "anthropic"),
        ("/v1/caches", [(b"x-goog-api-client", b"genai")], "google"),
        ("/v1/messagesx", [], "openai"),
        ("/v1/files", [], "openai"),
        ("/api/v1/files", [], "openrouter"),
        ("/v1/responses/resp_1", [], "openai"),
        ("/v1/chat/completions/x", [], "openai"),
        ("/api/v1/chat/completions/x", [], "openrouter"),
        ("/v1/chat/completions", [(b"anthropic-version", b"2023-06-01")], "openai"),
        ("/v2x", [], "openai"),
        ("/v1/chat", [], "openai"),
        ("/v1/embed", [], "openai"),
        ("/", [], "openai"),
        ("", [], "openai"),
    ],
)
def test_refusal_where_nothing_is_served(path: str, headers: list[tuple[bytes, bytes]], who: str) -> None:
    """The base decides, then the path, then what a client says of itself."""
    assert speaker(error_at(path, headers, Refusal(404, "not_found", "nothing")).body) == who


def test_bases_are_those_of_the_flavours() -> None:
    """A base that several vendors' SDKs are pointed at belongs to none."""
    assert [owner_at(base) for base in BASES] == [None, None]
