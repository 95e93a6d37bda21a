"""What a span says of the request that it is of, on every surface."""

from typing import Any

import msgspec
import pytest

from edge.telemetry.otlp import spans_of
from routing.surfaces import SURFACES, Entry
from tests.collector.facts import Caller, make_fact

TRACE = f"{'4b' * 16}-{'00f067aa0ba902b7'}-01"
NAMES = {
    "chat": ("POST /chat/completions", "chat"),
    "messages": ("POST /messages", "chat"),
    "count_tokens": ("POST /messages/count_tokens", "count_tokens"),
    "responses": ("POST /responses", "chat"),
    "embeddings": ("POST /embeddings", "embeddings"),
    "completions": ("POST /completions", "text_completion"),
    "moderations": ("POST /moderations", "moderations"),
    "rerank": ("POST /rerank", "rerank"),
    "images": ("POST /images/generations", "images"),
    "image_edits": ("POST /images/edits", "image_edits"),
    "speech": ("POST /audio/speech", "speech"),
    "transcriptions": ("POST /audio/transcriptions", "transcriptions"),
    "translations": ("POST /audio/translations", "translations"),
    "gemini": ("POST /models/{model}:generateContent", "generate_content"),
    "gemini_count_tokens": ("POST /models/{model}:countTokens", "gemini_count_tokens"),
    "gemini_embeddings": ("POST /models/{model}:embedContent", "embeddings"),
    "gemini_batch_embeddings": ("POST /models/{model}:batchEmbedContents", "embeddings"),
    "cohere": ("POST /chat", "chat"),
    "cohere_embeddings": ("POST /embed", "embeddings"),
}


def spans(surface: str, *, stream: bool = False) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The two spans of a request, and the second's attributes."""
    fact = make_fact(1, Caller("", "", "k", "a", "a"), "n", 1, "one")
    server, client = spans_of(msgspec.structs.replace(fact, trace=TRACE, surface=surface, stream=stream))
    return server, client, {each["key"]: next(iter(each["value"].values())) for each in client["attributes"]}


@pytest.mark.parametrize("entry", SURFACES, ids=lambda entry: entry.format)
def test_span_is_named_after_the_path_and_the_operation(entry: Entry) -> None:
    """The server's by the path that was called, whatever the model in it; the client's by OpenTelemetry's word for it."""
    server, client, attributes = spans(entry.format)
    path, operation = NAMES[entry.format]
    assert (server["name"], client["name"], attributes["gen_ai.operation.name"]) == (path, f"{operation} small", operation)


def test_span_of_a_stream_of_googles_is_of_its_own_path() -> None:
    """It is another action of the same surface."""
    server, _, _ = spans("gemini", stream=True)
    assert server["name"] == "POST /models/{model}:streamGenerateContent"
