"""Answers that are not a text and an end: empty, refused, cut by the cap, several choices, log probabilities, thoughts alone.
What each caller's own SDK puts together of them."""

import json
from typing import Any

import pytest
from anthropic._models import construct_type
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from tests.routing.translate import streams
from tests.routing.translate.test_gemini_callers import parts_of, read
from tests.routing.translate.test_reports import MIXED, USED, chunk, ran

_MESSAGE_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
_RESPONSE_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
LOGPROBS = {"content": [{"token": "hi", "logprob": -0.1, "bytes": [104], "top_logprobs": []}]}
REFUSED = chunk({"refusal": "I will not."})


def choice(index: int, delta: Any, finish: str | None = None, **more: Any) -> bytes:
    return json.dumps(
        {"id": "c", "model": "m", "choices": [{"index": index, "delta": delta, "finish_reason": finish, **more}]}
    ).encode()


CASES: dict[str, list[bytes]] = {
    "empty": [chunk({"content": ""}), chunk(finish="stop"), USED],
    "finish alone": [chunk(finish="stop"), USED],
    "refusal": [REFUSED, chunk(finish="stop"), USED],
    "refusal, filtered": [REFUSED, chunk(finish="content_filter"), USED],
    "text, filtered": [chunk({"content": "so"}), chunk(finish="content_filter"), USED],
    "log probabilities": [choice(0, {"content": "hi"}, logprobs=LOGPROBS), chunk(finish="stop"), USED],
    "two choices": [choice(0, {"content": "a"}), choice(1, {"content": "b"}), choice(0, {}, "stop"), choice(1, {}, "stop"), USED],
    "thoughts alone": [chunk({"reasoning_content": "hm"}), chunk(finish="length"), USED],
    "two calls": [*MIXED, chunk(finish="tool_calls"), USED],
    "unknown finish": [chunk({"content": "a"}), chunk(finish="eos"), USED],
}
MESSAGES: dict[str, Any] = {
    "empty": ([], "end_turn"),
    "finish alone": ([], "end_turn"),
    "refusal": (["I will not."], "end_turn"),
    "refusal, filtered": ([], "refusal"),
    "text, filtered": (["so"], "refusal"),
    "log probabilities": (["hi"], "end_turn"),
    "two choices": (["a"], "end_turn"),
    "thoughts alone": (["hm"], "max_tokens"),
    "two calls": ([{"x": 1}, {"y": 2}], "tool_use"),
    "unknown finish": (["a"], "end_turn"),
}
RESPONSES: dict[str, Any] = {
    "empty": ([], "completed", None),
    "finish alone": ([], "completed", None),
    "refusal": (["I will not."], "completed", None),
    "refusal, filtered": (["I will not."], "incomplete", "content_filter"),
    "text, filtered": (["so"], "incomplete", "content_filter"),
    "log probabilities": (["hi"], "completed", None),
    "two choices": (["a"], "completed", None),
    "thoughts alone": (["hm"], "incomplete", "max_output_tokens"),
    "two calls": (['{"x":1}', '{"y":2}'], "completed", None),
    "unknown finish": (["a"], "completed", None),
}
GEMINI: dict[str, Any] = {
    "empty": ([], "STOP"),
    "finish alone": ([], "STOP"),
    "refusal": (["I will not."], "STOP"),
    "refusal, filtered": (["I will not."], "SAFETY"),
    "text, filtered": (["so"], "SAFETY"),
    "log probabilities": (["hi"], "STOP"),
    "two choices": (["a"], "STOP"),
    "thoughts alone": (["hm"], "MAX_TOKENS"),
    "two calls": ([{"x": 1}, {"y": 2}], "STOP"),
    "unknown finish": (["a"], "STOP"),
}


@pytest.mark.parametrize("case", CASES)
def test_anthropic_puts_it_together(case: str) -> None:
    events, _ = ran("messages", *CASES[case])
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in events:
        _MESSAGE_EVENT.validate_python(event)
        built: Any = construct_type(type_=RawMessageStreamEvent, value=event)
        snapshot = accumulate_event(event=built, current_snapshot=snapshot, json_bufs=buffers)
    said = [getattr(block, {"text": "text", "thinking": "thinking"}.get(block.type, "input")) for block in snapshot.content]
    assert (said, snapshot.stop_reason) == MESSAGES[case]
    if case == "refusal, filtered":
        assert snapshot.stop_details.explanation == "I will not."


@pytest.mark.parametrize("case", CASES)
def test_openai_puts_it_together(case: str) -> None:
    events, _ = ran("responses", *CASES[case])
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in events:
        state.handle_event(_RESPONSE_EVENT.validate_python(event))
    last = events[-1]["response"]
    said = [item.get("arguments") or item["content"][0].get("text") or item["content"][0]["refusal"] for item in last["output"]]
    assert (said, last["status"], (last["incomplete_details"] or {}).get("reason")) == RESPONSES[case]


@pytest.mark.parametrize("case", CASES)
def test_google_puts_it_together(case: str) -> None:
    events, _ = ran("gemini", *CASES[case])
    for event in events:
        read(event)
    said = [part["functionCall"]["args"] if "functionCall" in part else part["text"] for part in parts_of(events)]
    assert (said, events[-1]["candidates"][0]["finishReason"]) == GEMINI[case]


LISTED = {"citations": ["https://a.test/1", "https://b.test/2"]}
QUOTED = {"annotations": [{"type": "url_citation", "url_citation": {"url": "https://a.test/1", "title": "A"}}]}
PAGES = {"cohere": '"sources"', "gemini": '"web"', "responses": '"annotation_index"'}
"""Caller's format → what stands once beside each page in its stream."""


def with_list(line: bytes) -> bytes:
    return json.dumps(json.loads(line) | LISTED).encode()


@pytest.mark.parametrize("caller", PAGES)
@pytest.mark.parametrize(
    ("lines", "pages"),
    [
        ([with_list(chunk({"content": "a [1][2]"})), with_list(chunk(finish="stop")), with_list(USED)], 2),
        ([chunk({"content": "a [1][2]"}), chunk(finish="stop"), with_list(USED)], 2),
        ([with_list(chunk({"content": "a"})), with_list(chunk(QUOTED)), with_list(chunk(finish="stop")), USED], 1),
        ([chunk({"content": "a"}), chunk(finish="stop"), json.dumps(json.loads(USED) | {"citations": [1, None]}).encode()], 0),
        ([with_list(USED)], 0),
    ],
    ids=["in each chunk", "behind the end", "beside annotations", "no addresses", "without an answer"],
)
def test_listed_address_is_a_page_that_is_quoted(caller: str, lines: list[bytes], pages: int) -> None:
    """Once, whole and streamed; annotations say more, and count instead."""
    chain = streams.chain("chat", caller)
    sent = streams.run(chain, streams.framed("chat", lines)).decode()
    assert sent.count(PAGES[caller]) == pages
    assert [sent.count(page) > 0 for page in LISTED["citations"]] == [pages > 0, pages > 1]


def test_listed_addresses_stand_in_a_whole_answer() -> None:
    answer = {"id": "c", "choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}], **LISTED}
    made = json.loads(streams.whole_of(json.dumps(answer).encode(), "chat", "gemini"))
    assert [page["web"]["uri"] for page in made["candidates"][0]["groundingMetadata"]["groundingChunks"]] == LISTED["citations"]
