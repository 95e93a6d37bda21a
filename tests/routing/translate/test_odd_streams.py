"""Events that few streams have, in both directions: what they say is said, what they break ends, and nothing else is broken."""

import json
from typing import Any

import pytest

from routing.translate import DOWNSTREAM, Format, upstream_pair
from tests.routing.translate import streams
from tests.routing.translate.test_reports import USED, call, chunk, ran
from tests.routing.wire.frames import encoded, exception, frame

PNG = "data:image/png;base64,AAAA"
ANTHROPIC, GOOGLE = "anthropic-claude-v1", "google-gemini-v1"


def picture(url: str) -> bytes:
    return chunk({"images": [{"type": "image_url", "image_url": {"url": url}}]})


@pytest.mark.parametrize("caller", DOWNSTREAM)
@pytest.mark.parametrize(
    ("said", "word"),
    [
        (chunk({"refusal": "I will not."}), "I will not."),
        (chunk({"reasoning_content": "hm hm"}), "hm hm"),
        (chunk({"reasoning_details": [{"type": "reasoning.summary", "summary": "hm hm"}]}), "hm hm"),
        (chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm hm"}]}]}), "hm hm"),
        (chunk({"content": [{"type": "text", "text": "so so"}]}), "so so"),
        (picture("https://x.example/a.png"), "https://x.example/a.png"),
        (picture(PNG), "image/png"),
    ],
)
@pytest.mark.parametrize("place", ["alone", "behind a text", "before a text"])
def test_part_of_an_answer_is_told_to_every_caller(caller: Format, said: bytes, word: str, place: str) -> None:
    """As what it is or, where a format has no place for it, as a text; and the end is a regular one."""
    text = chunk({"content": "plain"})
    parts = {"alone": [said], "behind a text": [text, said], "before a text": [said, text]}[place]
    events, chain = ran(caller, *parts, chunk(finish="stop"), USED)
    assert word in json.dumps(events)
    assert place == "alone" or "plain" in json.dumps(events)
    assert chain.is_complete
    assert not chain.error


@pytest.mark.parametrize("caller", DOWNSTREAM)
@pytest.mark.parametrize(
    "delta",
    [
        {"annotations": [{"type": "url_citation", "url_citation": {"url": "https://x.example/page", "title": "T"}}]},
        {"annotations": [{}, {"url_citation": None}, {"url_citation": {}}, {"url_citation": {"url": 5, "title": []}}]},
        {"annotations": 5},
        {"images": [{}, {"image_url": {}}, {"image_url": {"url": 5}}, 5]},
        {"images": "none"},
        {"content": 5},
        {"content": {"type": "text"}},
        {"content": [5, {"type": "text"}, {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": 5}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": 5, "signature": 5}, 5]},
        {"tool_calls": [{"index": 0}, {"function": {"name": 5, "arguments": 5}}, 5]},
        {"refusal": 5},
    ],
)
def test_part_of_another_kind_breaks_nothing(caller: Format, delta: dict[str, Any]) -> None:
    """What is around it is told; each event is an object; the usage is the provider's."""
    wire = [chunk({"content": "before"}), chunk(delta), chunk({"content": "behind"}), chunk(finish="stop"), USED]
    events, chain = ran(caller, *wire)
    told = json.dumps(events)
    assert all(isinstance(event, dict) for event in events)
    assert "before" in told
    assert "behind" in told
    assert chain.meter.bill().tokens.prompt == 20


@pytest.mark.parametrize("caller", DOWNSTREAM)
def test_page_that_an_answer_quotes_is_told_where_there_is_a_place(caller: Format) -> None:
    """Responses, Cohere and Google have one."""
    page = {"type": "url_citation", "url_citation": {"url": "https://x.example/page", "title": "T"}}
    events, _ = ran(caller, chunk({"content": "so"}), chunk({"annotations": [page]}), chunk(finish="stop"), USED)
    assert ("https://x.example/page" in json.dumps(events)) is (caller in ("responses", "cohere", "gemini"))


@pytest.mark.parametrize("caller", DOWNSTREAM)
@pytest.mark.parametrize("before", [[], [chunk({"content": "half"})], [chunk(call(0, "c", "f", '{"x":'))]])
def test_answer_that_the_provider_gave_up_ends_with_an_error(caller: Format, before: list[bytes]) -> None:
    """Not as a whole one: a client that retries has something to see. What was said is said."""
    events, _ = ran(caller, *before, chunk(finish="error"), USED)
    last = json.dumps(events[-2:])
    assert "error" in last.lower()
    assert "end_turn" not in last
    assert '"STOP"' not in last
    assert "response.completed" not in last
    assert not before or b"half" not in before[0] or "half" in json.dumps(events)


@pytest.mark.parametrize("caller", DOWNSTREAM)
@pytest.mark.parametrize("format", [ANTHROPIC, GOOGLE, "openai-responses-v1", None])
@pytest.mark.parametrize("kind", ["signature", "data"])
@pytest.mark.parametrize("before", [[], [chunk({"reasoning": "hm"})], [chunk({"content": "so"})]])
def test_signature_of_a_thought_comes_back_with_the_conversation(
    caller: Format, format: str | None, kind: str, before: list[bytes]
) -> None:
    """Its own, or sealed, wherever it stands; Cohere has no place for one, and says so of the request that brings it back."""
    name = "reasoning.text" if kind == "signature" else "reasoning.encrypted"
    detail = {"type": name, kind: "SIGNED", "format": format, "index": 0}
    events, chain = ran(
        caller, *before, chunk({"reasoning_details": [detail]}), chunk({"content": "a"}), chunk(finish="stop"), USED
    )
    assert chain.is_complete
    told = json.dumps(events)
    is_own = "SIGNED" in told or "U0lHTkVE" in told or "OlNJR05FR" in told
    assert is_own is (caller != "cohere")


def chat_of(provider: Format, wire: bytes) -> tuple[dict[str, Any], Any]:
    chain = streams.chain(provider, "chat")
    return streams.chat_message(streams.run(chain, wire)), chain


def google(*candidates: dict[str, Any], **more: Any) -> bytes:
    return streams.framed("gemini", [json.dumps({"candidates": list(candidates), **more}).encode()])


def test_google_shows_a_picture_and_quotes_pages() -> None:
    """Each once, numbered."""
    parts = [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}, {"inlineData": {"mimeType": "image/png", "data": "BBBB"}}]
    pages = [
        {"web": {"uri": "https://x.example/1", "title": "one"}},
        {"web": {"title": "none"}},
        {},
        {"web": {"uri": "https://x.example/2"}},
    ]
    candidate = {"content": {"parts": parts}, "groundingMetadata": {"groundingChunks": pages}, "finishReason": "STOP"}
    chain = streams.chain("gemini", "chat")
    told = streams.run(chain, google(candidate, usageMetadata={"promptTokenCount": 9, "candidatesTokenCount": 3}))
    deltas = [choice["delta"] for event in streams.events(told) for choice in event.get("choices") or ()]
    images = [image for delta in deltas for image in delta.get("images") or ()]
    found = [page["url_citation"]["url"] for delta in deltas for page in delta.get("annotations") or ()]
    assert [(image["index"], image["image_url"]["url"]) for image in images] == [
        (0, "data:image/png;base64,AAAA"),
        (1, "data:image/png;base64,BBBB"),
    ]
    assert found == ["https://x.example/1", "https://x.example/2"]
    assert chain.is_complete


@pytest.mark.parametrize(
    ("stream", "is_complete"),
    [
        (
            google({"content": {"parts": [{"text": "half"}]}}, usageMetadata={"promptTokenCount": 9, "candidatesTokenCount": 3}),
            False,
        ),
        (google({"content": {"parts": [{"text": "half"}]}}) + google(usageMetadata={"promptTokenCount": 9}), False),
        (google(promptFeedback={"blockReason": "SAFETY"}, usageMetadata={"promptTokenCount": 9}), True),
        (google(usageMetadata={"promptTokenCount": 9}), False),
    ],
)
def test_usage_of_google_counts_however_the_answer_ends(stream: bytes, is_complete: bool) -> None:
    """Cut without a reason, blocked, or with nothing in it."""
    _, chain = chat_of("gemini", stream)
    assert chain.is_complete is is_complete
    assert chain.meter.bill().tokens.prompt == 9


@pytest.mark.parametrize(
    "wire",
    [
        exception("throttlingException", {"message": "slow down"}),
        exception("modelStreamErrorException", {"Message": "slow down"}),
        frame("throttlingException", {"message": "slow down"}),
        encoded({":message-type": "error", ":error-code": "InternalError", ":error-message": "slow down"}, b""),
    ],
)
def test_exception_of_converse_ends_the_stream(wire: bytes) -> None:
    """By whichever header it is named, before the answer and within it; what was told of the usage counts."""
    delta = frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "half"}})
    usage = frame("metadata", {"usage": {"inputTokens": 9, "outputTokens": 3, "totalTokens": 12}})
    for before in (b"", delta, delta + usage):
        _, chain = chat_of("converse", before + wire + frame("messageStop", {"stopReason": "end_turn"}))
        assert b"slow down" in chain.error
        assert not chain.is_complete
        if usage in before:
            assert chain.meter.bill().tokens.prompt == 9


def test_event_of_converse_that_is_not_known_is_passed_over() -> None:
    """And so is one that cannot be read; a thought that is redacted comes as such."""
    wire = [
        frame("messageStart", {"role": "assistant"}),
        frame("somethingNew", {"a": 1}),
        encoded({":event-type": "contentBlockDelta", ":message-type": "event"}, b"no json"),
        frame("contentBlockStart", {"contentBlockIndex": 0, "start": {}}),
        frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"redactedContent": "AAAA"}}}),
        frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {}}}),
        frame("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": "{}"}}}),
        frame("contentBlockDelta", {"contentBlockIndex": 2, "delta": {}}),
        frame("contentBlockDelta", {"contentBlockIndex": 3, "delta": {"text": "so"}}),
        frame("contentBlockStop", {"contentBlockIndex": 3}),
        frame("messageStop", {"stopReason": "end_turn"}),
        frame("metadata", {"usage": {"inputTokens": 9, "outputTokens": 3, "totalTokens": 12}}),
    ]
    said, chain = chat_of("converse", b"".join(wire))
    assert (said["content"], said["finish"], chain.is_complete) == ("so", "stop", True)
    assert [detail["data"] for detail in said["details"]] == ["AAAA"]


def named(*events: dict[str, Any]) -> bytes:
    return b"".join(
        [b"event: %b\ndata: %b\n\n" % (event.get("type", "").encode(), json.dumps(event).encode()) for event in events]
    )


START = {"type": "message_start", "message": {"id": "m", "model": "x", "usage": {"input_tokens": 9}}}
STOP: list[dict[str, Any]] = [
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
    {"type": "message_stop"},
]


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def test_blocks_of_messages_that_are_no_text() -> None:
    """A thought that is redacted comes as such, pages are quoted, what a server of theirs searched for is passed over."""
    cited = {"type": "citations_delta", "citation": {"url": "https://x.example/1", "title": "T"}}
    document = {"type": "citations_delta", "citation": {"document_title": "D"}}
    events: list[dict[str, Any]] = [
        *block(0, {"type": "redacted_thinking", "data": "AAAA"}),
        *block(1, {"type": "server_tool_use", "id": "s", "name": "web_search"}),
        *block(2, {"type": "text", "text": "so"}, cited, document, {"type": "text_delta", "text": ""}, {"type": "new_delta"}),
        *block(3, {"type": "thinking", "thinking": "", "signature": ""}, {"type": "thinking_delta", "thinking": ""}),
    ]
    said, chain = chat_of("messages", named(START, *events, *STOP))
    assert (said["content"], said["finish"], chain.is_complete) == ("so", "stop", True)
    assert [detail["data"] for detail in said["details"]] == ["AAAA"]


@pytest.mark.parametrize(
    "events",
    [
        [{"type": "error", "error": {"type": "overloaded_error", "message": "slow down"}}],
        [{"type": "error", "message": "slow down"}],
        [{"error": {"message": "slow down"}}],
        block(0, {"type": "slow down"}),
        [START, *block(0, {"type": "text", "text": "a"}), START],
    ],
)
def test_stream_of_messages_that_breaks_is_an_error(events: list[dict[str, Any]]) -> None:
    """In whatever form it is told; a part that Chat has no place for, and a second beginning, are one too."""
    _, chain = chat_of("messages", named(START, *events, *STOP))
    assert chain.error
    assert not chain.is_complete
    assert chain.meter.bill().tokens.prompt == 9


def whole_of(provider: Format, body: Any) -> Any:
    pair = upstream_pair(provider)
    assert pair is not None
    return json.loads(pair.whole(json.dumps(body).encode(), streams.CONTEXT))


def test_whole_answers_that_are_seldom() -> None:
    """An error is one, pages are quoted, and what is no answer stays as it came."""
    assert whole_of("messages", {"type": "error", "error": {"message": "slow"}})["error"] == {"message": "slow"}
    assert whole_of("messages", {"error": {"message": "slow"}})["error"] == {"message": "slow"}
    cited = [{"type": "text", "text": "so", "citations": [{"url": "https://x.example/1", "title": "T"}, 5, {"url": None}]}]
    answer = whole_of("messages", {"type": "message", "content": cited, "stop_reason": "end_turn", "usage": {"input_tokens": 9}})
    (page,) = answer["choices"][0]["message"]["annotations"]
    assert page["url_citation"]["url"] == "https://x.example/1"
    for odd in ({"type": "message", "content": 5}, {"type": "message"}, {"content": [5]}):
        assert whole_of("messages", odd) == odd
    assert whole_of("gemini", [{"error": {"message": "slow"}}])["error"] == {"message": "slow"}
    assert whole_of("gemini", []) == []
    assert whole_of("converse", {"output": {}}) == {"output": {}}


@pytest.mark.parametrize(
    ("events", "text"),
    [
        ([{"message": "slow down"}], ""),
        ([{"type": "message-end", "delta": {"error": "slow down", "usage": {"billed_units": {"input_tokens": 9}}}}], ""),
    ],
)
def test_error_in_a_stream_of_cohere(events: list[dict[str, Any]], text: str) -> None:
    """Wherever it comes; the usage beside it counts."""
    _, chain = chat_of("cohere", named({"type": "message-start", "id": "m"}, *events))
    assert b"slow down" in chain.error
    assert not chain.is_complete
    assert chain.meter.bill().tokens.prompt == 9


def test_call_of_cohere_that_begins_twice_is_one() -> None:
    start = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    begun = {"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": start}}}
    more = {"type": "tool-call-delta", "index": 0, "delta": {"message": {"tool_calls": {"function": {"arguments": '{"x":1}'}}}}}
    end = {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": {"billed_units": {"input_tokens": 9}}}}
    events: list[dict[str, Any]] = [
        {"type": "message-start", "id": "m"},
        begun,
        begun,
        more,
        {"type": "tool-call-end", "index": 0},
        end,
    ]
    said, chain = chat_of("cohere", named(*events))
    assert [(each["id"], each["name"], each["arguments"]) for each in said["calls"].values()] == [("c", "f", '{"x":1}')]
    assert chain.is_complete


def test_chain_says_of_itself_what_its_rewrite_says() -> None:
    """What the relay asks of a stream, whatever it was translated from and to."""
    for caller in ("chat", "messages"):
        chain = streams.chain("gemini", caller)
        assert (chain.has_begun, chain.is_done, chain.is_finished, chain.is_over, chain.is_complete) == (False,) * 5
        streams.run(chain, google({"content": {"parts": [{"text": "so"}]}, "finishReason": "STOP"}, responseId="r"))
        assert (chain.has_begun, chain.is_done, chain.is_finished, chain.is_over, chain.is_complete) == (True,) * 5
        assert (chain.created, chain.upstream_id, chain.finish_reason) == (streams.CONTEXT.created_s, "r", "stop")
        assert chain.is_at_boundary
        assert chain.close() == b""
