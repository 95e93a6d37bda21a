"""Whole answers of each surface: what is counted and charged of them, what stands in them for the caller, and what is none."""

import itertools
import json
from typing import Any

import pytest

from routing.failures.failure import AttemptFailed, Kind
from routing.metering.bounds import TokenBounds
from routing.metering.meter import Meter
from routing.surfaces import Whole
from routing.surfaces.openai.speech import TOKENS_PER_S
from tests.routing.surfaces.calls import RATES, identity, meter, read, surface
from tests.routing.translate.streams import run
from usage.flavor import Flavor
from usage.record import Rates, Tokens

VECTORS = [{"object": "embedding", "index": 0, "embedding": [0.5, -1e-3]}]
RANKS = [{"index": 1, "relevance_score": 0.9}]
PICTURES = [{"b64_json": "AAAA"}, {"b64_json": "BBBB"}]
VERDICT = [{"flagged": False, "categories": {}}]
VALUES = {"values": [0.5, 0.25]}
CHAT = {
    "id": "theirs",
    "object": "chat.completion",
    "model": "their-model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22},
}
ANSWERS: dict[str, dict[str, Any]] = {
    "chat": CHAT,
    "messages": {
        "id": "theirs",
        "type": "message",
        "model": "their-model",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 20, "output_tokens": 2},
    },
    "responses": {
        "id": "theirs",
        "object": "response",
        "status": "completed",
        "model": "their-model",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "hi"}]}],
        "usage": {"input_tokens": 20, "output_tokens": 2, "total_tokens": 22},
    },
    "completions": CHAT | {"object": "text_completion", "choices": [{"index": 0, "text": "hi", "finish_reason": "stop"}]},
    "embeddings": {"object": "list", "model": "their-model", "data": VECTORS, "usage": {"prompt_tokens": 20, "total_tokens": 20}},
    "moderations": {"id": "theirs", "model": "their-model", "results": VERDICT},
    "rerank": {"id": "theirs", "results": RANKS, "meta": {"billed_units": {"search_units": 2}}},
    "images": {"created": 5, "data": PICTURES, "usage": {"input_tokens": 20, "output_tokens": 2, "total_tokens": 22}},
    "image_edits": {"created": 5, "data": PICTURES, "usage": {"input_tokens": 20, "output_tokens": 2, "total_tokens": 22}},
    "transcriptions": {"text": "hi", "usage": {"type": "tokens", "input_tokens": 20, "output_tokens": 2, "total_tokens": 22}},
    "translations": {"text": "hi", "usage": {"type": "tokens", "input_tokens": 20, "output_tokens": 2, "total_tokens": 22}},
    "gemini": {
        "candidates": [{"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP"}],
        "responseId": "theirs",
        "modelVersion": "their-model",
        "usageMetadata": {"promptTokenCount": 20, "candidatesTokenCount": 2, "totalTokenCount": 22},
    },
    "gemini_embeddings": {"embedding": VALUES},
    "gemini_batch_embeddings": {"embeddings": [VALUES, VALUES]},
    "cohere": {
        "id": "theirs",
        "message": {"role": "assistant", "content": [{"type": "text", "text": "hi"}]},
        "finish_reason": "COMPLETE",
        "usage": {"billed_units": {"input_tokens": 20, "output_tokens": 2}},
    },
    "cohere_embeddings": {
        "id": "theirs",
        "embeddings": {"float": [[0.5]]},
        "texts": ["hi"],
        "meta": {"billed_units": {"input_tokens": 20}},
    },
    "count_tokens": {"input_tokens": 20},
    "gemini_count_tokens": {"totalTokens": 20},
}
USED = {
    **dict.fromkeys(("chat", "messages", "responses", "completions", "gemini", "cohere"), Tokens(20, 2)),
    **dict.fromkeys(("images", "image_edits", "transcriptions", "translations"), Tokens(20, 2)),
    **dict.fromkeys(("embeddings", "cohere_embeddings"), Tokens(20, 0)),
}
"""What is charged where the provider says it; of the others nothing is said."""


def told(
    format: str, answer: Any, used: Meter | None = None, kind: str = "application/json", flavor: Flavor = Flavor.OPENAI
) -> Whole:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return surface(format).whole(body, identity(flavor), used or meter(), kind)


@pytest.mark.parametrize("format", ANSWERS)
def test_answer_has_our_names_and_keeps_all_else(format: str) -> None:
    """The id and the model are ours where an answer has one, usage is the provider's with its cost, the rest does not change."""
    before = ANSWERS[format]
    found = told(format, before)
    after = json.loads(found.body)
    for name, value in (("id", "gen-1"), ("model", "a/b"), ("responseId", "gen-1"), ("modelVersion", "a/b")):
        assert after.get(name) == (value if name in before else None)
    ours = {"id", "model", "responseId", "modelVersion", "usage", "usageMetadata"}
    assert {name: after[name] for name in after.keys() - ours} == {name: before[name] for name in before.keys() - ours}
    assert found.upstream_id == before.get("id", before.get("responseId", ""))
    assert found.content_type == ""


@pytest.mark.parametrize("format", USED)
def test_answer_is_charged_for_what_the_provider_says(format: str) -> None:
    """To the token; and the cost that the caller reads is the one that is charged."""
    used = meter()
    after = json.loads(told(format, ANSWERS[format], used).body)
    assert (used.tokens, used.source) == (USED[format], "provider")
    usage = after.get("usage") or after["usageMetadata"]
    assert usage["cost"] * 1e9 == pytest.approx(used.cost_nano())
    assert used.cost_nano() == USED[format].prompt * 150 + USED[format].completion * 600
    assert "usage_source" not in usage


@pytest.mark.parametrize(
    ("format", "finish"),
    [
        ("chat", "stop"),
        ("completions", "stop"),
        ("messages", "stop"),
        ("responses", "stop"),
        ("gemini", "stop"),
        ("cohere", "stop"),
        ("embeddings", ""),
        ("rerank", ""),
        ("images", ""),
    ],
)
def test_finish_of_an_answer_is_told_in_one_language(format: str, finish: str) -> None:
    assert told(format, ANSWERS[format]).finish_reason == finish


NAME = {
    **dict.fromkeys(("chat", "completions"), "choices"),
    "messages": "content",
    "responses": "output",
    "embeddings": "data",
    "moderations": "results",
    "rerank": "results",
    **dict.fromkeys(("images", "image_edits"), "data"),
    **dict.fromkeys(("transcriptions", "translations"), "text"),
    "gemini": "candidates",
    "gemini_embeddings": "embedding",
    "gemini_batch_embeddings": "embeddings",
    "cohere": "message",
    "cohere_embeddings": "embeddings",
    "count_tokens": "input_tokens",
    "gemini_count_tokens": "totalTokens",
}
"""What makes an answer one."""


@pytest.mark.parametrize("format", ANSWERS)
@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"{", b'"x"', b"[" * 50_000, b"null"])
def test_answer_that_is_no_object_is_the_providers_failure(format: str, body: bytes) -> None:
    if format in ("transcriptions", "translations") and body and body[:1] != b"{":
        assert told(format, body).body == body  # a text is an answer there
        return
    with pytest.raises(AttemptFailed) as failed:
        told(format, body)
    assert failed.value.failure.kind is Kind.PROTOCOL


@pytest.mark.parametrize("format", ANSWERS)
def test_answer_without_what_makes_it_one_is_the_providers_failure(format: str) -> None:
    """Whatever else is in it: it is not charged, and another provider may be asked."""
    body = {name: value for name, value in ANSWERS[format].items() if name != NAME[format]}
    used = meter()
    with pytest.raises(AttemptFailed) as failed:
        told(format, body, used)
    assert failed.value.failure.kind is Kind.PROTOCOL
    assert not used.has_usage


@pytest.mark.parametrize("format", ANSWERS)
def test_answer_that_is_an_error_is_read_as_one(format: str) -> None:
    """Inside a 200, beside what would be an answer but for its text, and null is none. With a text it was paid for."""
    error = {"message": "slow down", "code": 429}
    if format == "cohere":
        broken: dict[str, Any] = {"message": "slow down"}
    elif format in ("count_tokens", "gemini_count_tokens", "messages"):
        broken = {"type": "error", "error": error}
    else:
        wordless = {"chat": "choices", "completions": "choices", "gemini": "candidates"}.get(format)
        broken = ANSWERS[format] | {"error": error} | ({wordless: []} if wordless else {})
        assert not wordless or told(format, ANSWERS[format] | {"error": error}).body
    with pytest.raises(AttemptFailed) as failed:
        told(format, broken)
    failure = failed.value.failure
    assert (failure.kind, failure.detail) == (Kind.STREAM_ERROR, "slow down")
    if format != "cohere":
        assert failure.status == 429
        assert told(format, ANSWERS[format] | {"error": None}).body


@pytest.mark.parametrize("format", ["embeddings", "moderations", "rerank", "images", "cohere_embeddings", "transcriptions"])
@pytest.mark.parametrize(
    "body", [{"detail": "busy"}, {"message": "busy"}, {"object": "error", "message": "busy"}, {"type": "error"}]
)
def test_document_that_explains_itself_is_an_error(format: str, body: dict[str, Any]) -> None:
    """FastAPI's, vLLM's and others' way to say no."""
    with pytest.raises(AttemptFailed) as failed:
        told(format, body)
    assert failed.value.failure.kind is Kind.STREAM_ERROR


ODD = {
    "half a surrogate pair": b'"odd":"\\ud83d ",',
    "a raw control character": b'"odd":"a\tb\x01",',
    "an escape that JSON does not know": b'"odd":"\\x41",',
    "bytes that are no UTF-8": b'"odd":"caf\xe9",',
    "NaN": b'"odd":NaN,',
    "Infinity": b'"odd":[-Infinity],',
    "a number that no machine has": b'"odd":1e999,',
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("format", ANSWERS)
@pytest.mark.parametrize("flavor", Flavor)
def test_answer_that_is_odd_is_served_and_charged(format: str, odd: str, flavor: Flavor) -> None:
    """It was paid for: what a strict reader refuses of it passes as it came, on every surface."""
    used = meter()
    body = b"{" + ODD[odd] + json.dumps(ANSWERS[format]).encode()[1:]
    found = told(format, body, used, flavor=flavor)
    assert ODD[odd] in found.body
    if format in USED:
        assert used.tokens == USED[format]
        assert b"theirs" not in found.body


NAMES = ("id", "usage", "meta", "usageMetadata", "duration", "data", "results", "created", "service_tier")
ODD_VALUES = (b'"\\ud83d"', b'"a\x01"', b'"caf\xe9"', b"NaN", b"1e999", b"5", b"null", b"[]", b"{}", b'""')


@pytest.mark.parametrize("format", ANSWERS)
@pytest.mark.parametrize("flavor", Flavor)
def test_member_of_an_answer_that_is_odd_voids_itself(format: str, flavor: Flavor) -> None:
    """Whatever stands there, nothing raises but the failure of a provider; and what goes out is JSON if what came is."""
    for name, odd in itertools.product(NAMES, ODD_VALUES):
        used = meter()
        used.expect(Tokens(seconds=9, images=9, searches=9), None)
        body = json.dumps(ANSWERS[format] | {name: "@"}).encode().replace(b'"@"', odd)
        try:
            found = told(format, body, used, flavor=flavor)
        except AttemptFailed:
            continue
        assert used.cost_nano() >= 0
        assert is_json(found.body) or not is_json(body), (name, odd)


def is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("format", "members", "tokens"),
    [
        ("embeddings", {"usage": {"prompt_tokens": 7}}, Tokens(7, 0)),
        ("embeddings", {"usage": {"input_tokens": 7}}, Tokens(7, 0)),
        ("embeddings", {"usage": {"total_tokens": 7}}, Tokens(7, 0)),
        ("embeddings", {"usage": {"prompt_tokens": 7, "completion_tokens": 0}}, Tokens(7, 0)),
        ("embeddings", {"usage": {"prompt_tokens": 7, "completion_tokens": None}}, Tokens(7, 0)),
        (
            "cohere_embeddings",
            {"meta": {"billed_units": {"images": 1, "input_tokens": 4, "image_tokens": 6}}},
            Tokens(10, 0, image_prompt=6),
        ),
        ("messages", {"usage": {"input_tokens": 5, "cache_read_input_tokens": 3, "output_tokens": 2}}, Tokens(8, 2, cached=3)),
        (
            "gemini",
            {"usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2, "thoughtsTokenCount": 4, "totalTokenCount": 11}},
            Tokens(5, 6, reasoning=4),
        ),
        (
            "responses",
            {
                "usage": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7},
                "tool_usage": {"web_search": {"num_requests": 2}},
            },
            Tokens(5, 2, searches=2),
        ),
    ],
)
def test_usage_of_an_answer_is_read_in_its_own_words(format: str, members: dict[str, Any], tokens: Tokens) -> None:
    used = meter()
    told(format, ANSWERS[format] | members, used)
    assert (used.tokens, used.source) == (tokens, "provider")


SILENT: list[tuple[str, Any]] = [
    ("embeddings", None),
    ("embeddings", {}),
    ("embeddings", "x"),
    ("embeddings", [1]),
    ("embeddings", {"prompt_tokens": "7"}),
    ("messages", None),
    ("messages", {}),
    ("responses", None),
    ("responses", {}),
    ("gemini", None),
    ("gemini", {}),
    ("cohere", {}),
    ("cohere", None),
    ("chat", None),
    ("chat", {}),
    ("completions", None),
    ("images", None),
    ("images", {}),
    ("rerank", None),
]


@pytest.mark.parametrize(("format", "usage"), SILENT)
def test_usage_that_says_nothing_is_ours_and_says_so(format: str, usage: Any) -> None:
    """A prompt that was read is charged, whether or not the provider tells."""
    used = meter()
    name = "usageMetadata" if format == "gemini" else "usage"
    answer = {key: value for key, value in ANSWERS[format].items() if key != "meta"}
    after = json.loads(told(format, answer | {name: usage}, used).body)
    assert used.tokens.prompt == 9
    assert (after[name]["usage_source"], used.source) == ("counted", "counted")
    assert after[name]["cost"] > 0


PIECES = Rates(search=2_000_000, second=100_000, character=15_000, image=40_000_000)


@pytest.mark.parametrize(
    ("format", "most", "answer", "tokens"),
    [
        ("rerank", Tokens(searches=5), {"results": RANKS, "meta": {"billed_units": {"search_units": 2}}}, Tokens(searches=2)),
        ("rerank", Tokens(searches=5), {"results": RANKS, "meta": {"billed_units": {"search_units": 1.2}}}, Tokens(searches=2)),
        ("rerank", Tokens(searches=5), {"results": RANKS, "meta": {"billed_units": {"search_units": 99}}}, Tokens(searches=5)),
        ("rerank", Tokens(searches=5), {"results": RANKS, "meta": {"billed_units": {"search_units": -3}}}, Tokens()),
        ("rerank", Tokens(searches=5), {"results": RANKS, "meta": {"billed_units": {"search_units": "2"}}}, None),
        ("rerank", Tokens(searches=5), {"results": RANKS, "meta": {"billed_units": None}}, None),
        ("rerank", Tokens(searches=5), {"results": RANKS, "meta": {}}, None),
        ("rerank", Tokens(searches=5), {"results": RANKS}, None),
        ("rerank", Tokens(searches=5), {"data": RANKS, "usage": {"total_tokens": 30}}, Tokens(30, 0)),
        ("images", Tokens(images=3), {"data": PICTURES}, Tokens(images=2)),
        ("images", Tokens(images=1), {"data": PICTURES}, Tokens(images=1)),
        ("images", Tokens(images=3), {"data": []}, Tokens()),
        ("images", Tokens(images=3), {"data": "x"}, Tokens()),
        ("transcriptions", Tokens(seconds=90), {"text": "", "usage": {"type": "duration", "seconds": 7.2}}, Tokens(seconds=8)),
        ("transcriptions", Tokens(seconds=90), {"text": "", "usage": {"type": "duration", "seconds": 400}}, Tokens(seconds=90)),
        ("transcriptions", Tokens(seconds=90), {"text": "", "duration": 7.2}, Tokens(seconds=8)),
        ("transcriptions", Tokens(seconds=90), {"segments": [], "duration": -5}, Tokens()),
        ("transcriptions", Tokens(seconds=90), {"text": "", "duration": "7.2"}, None),
        ("transcriptions", Tokens(seconds=90), {"text": "", "duration": True, "usage": {"seconds": False}}, None),
        ("transcriptions", Tokens(seconds=90), {"text": ""}, None),
        ("count_tokens", Tokens(), {"input_tokens": 20}, Tokens()),
        ("gemini_count_tokens", Tokens(), {"totalTokens": 20}, Tokens()),
    ],
)
def test_pieces_of_an_answer_are_charged_as_it_tells(format: str, most: Tokens, answer: Any, tokens: Tokens | None) -> None:
    """Rounded up, never more than there can be; where it tells nothing, as many as there can be."""
    used = meter(PIECES, prompt=0)
    used.expect(most, None)
    told(format, answer, used)
    pieces = used.tokens
    wanted = most if tokens is None else tokens
    assert (pieces.searches, pieces.seconds, pieces.images) == (wanted.searches, wanted.seconds, wanted.images)
    assert used.cost_nano() == wanted.searches * 2_000 + wanted.seconds * 100 + wanted.images * 40_000


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [
        ("audio/mpeg", 2),
        ("audio/mp3", 2),
        ("", 2),
        ("audio/aac", 2),
        ("audio/opus", 3),
        ("audio/wav", 1),
        ("audio/pcm; rate=24000", 1),
        ("Audio/FLAC", 1),
        ("application/octet-stream", 2),
    ],
)
def test_sound_is_counted_by_how_long_it_lasts(kind: str, seconds: int) -> None:
    """Of a model that is priced by tokens of sound and told none; each format of sound by its usual rate, rounded up."""
    used = meter()
    found = told("speech", b"\xff\xf3" + bytes(8_001), used, kind)
    assert (used.completion_counted, found.content_type) == (seconds * TOKENS_PER_S, kind or "audio/mpeg")
    assert found.body[:2] == b"\xff\xf3"


def test_sound_is_charged_by_its_characters() -> None:
    """Known from the request: exact, however long the sound is."""
    used = meter(PIECES, prompt=0)
    used.expect(Tokens(characters=7), None)
    told("speech", bytes(1_000_000), used, "audio/mpeg")
    assert (used.tokens, used.cost_nano()) == (Tokens(characters=7), 7 * 15)
    nothing = meter(PIECES, prompt=0)
    told("speech", b"x", nothing, "audio/mpeg")
    assert nothing.tokens == Tokens()


def test_sound_that_is_none_is_the_providers_failure() -> None:
    with pytest.raises(AttemptFailed) as empty:
        told("speech", b"", kind="audio/mpeg")
    assert empty.value.failure.kind is Kind.PROTOCOL
    with pytest.raises(AttemptFailed) as error:
        told("speech", b'{"error":{"message":"no such voice","code":400}}')
    assert error.value.failure.kind is Kind.STREAM_ERROR


@pytest.mark.parametrize("kind", ["text/plain", "text/vtt", ""])
def test_transcript_that_is_a_text_is_counted_by_its_bytes(kind: str) -> None:
    used = meter()
    found = told("transcriptions", b"1\n00:00 --> 00:03\nhello there\n", used, kind)
    assert (used.tokens.completion, used.source) == (-(-30 // 4), "counted")
    assert found.content_type == (kind or "text/plain; charset=utf-8")


def test_rank_for_openrouters_clients_has_its_documents_also_beside_a_number_that_is_none() -> None:
    """The answer was paid for: what cannot be read of it does not undo it."""
    from tests.routing.surfaces.calls import asked

    request = surface("rerank").request(read("rerank"), asked("rerank"))
    assert request.completed is not None
    body = b'{"results":[{"index":1,"relevance_score":NaN}],"x":NaN}'
    found = request.completed(body, identity(Flavor.OPENROUTER))
    assert b'"index":1' in found
    assert b"NaN" in found


def test_picture_for_openrouters_clients_has_chats_counts_too() -> None:
    """Their schema requires them."""
    after = json.loads(told("images", ANSWERS["images"], flavor=Flavor.OPENROUTER).body)
    assert after["usage"] | {"cost": 0} == {
        "input_tokens": 20,
        "output_tokens": 2,
        "total_tokens": 22,
        "cost": 0,
        "prompt_tokens": 20,
        "completion_tokens": 2,
    }


def test_rates_of_a_request_are_charged_once() -> None:
    used = meter(Rates(request=5_000_000, input=RATES.input))
    told("embeddings", ANSWERS["embeddings"], used)
    assert used.cost_nano() == 5_000 + 20 * 150


PROMPT = "Once upon a time. " * 500


@pytest.mark.parametrize("usage", [{"prompt_tokens": 2_000, "completion_tokens": 5, "total_tokens": 2_005}, None])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_prompt_that_is_echoed_is_not_charged_as_an_answer(usage: Any, stream: bool, count: int) -> None:
    """What the provider says of the completion is believed, and our own count begins behind the prompt."""
    envelope = read("completions", prompt=PROMPT, echo=True, max_tokens=400, n=count, stream=stream)
    used = meter(prompt=2_000)
    used.echoed_bytes, used.bounds = envelope.echoed_bytes, TokenBounds(9_000, 400 * count)
    texts = [{"index": at, "text": PROMPT + "It was so.", "finish_reason": "stop"} for at in range(count)]
    answer = json.dumps({"id": "theirs", "object": "text_completion", "choices": texts, "usage": usage}).encode()
    if stream:
        run(surface("completions").machine(identity(), used, envelope, 1, 1 << 20), b"data: %b\n\ndata: [DONE]\n\n" % answer)
    else:
        told("completions", answer, used)
    counted = -(-(len("It was so.") * count - 2 * count) // 4)
    assert used.source == ("counted" if usage is None else "provider")
    assert used.tokens.completion == (counted if usage is None else 5)
