"""Every surface through the whole relay, with `echo` behind it: answers, names, cost, settlement, refusals in its own words."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from routing.surfaces import SURFACES, Entry
from routing.translate.chat_view import PIECES_MAX
from tests.edge.rig import JSON, SSE, Caller, Play, Rig

pytestmark = pytest.mark.anyio
ASKS: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "one two three"}]},
    "messages": {"max_tokens": 50, "messages": [{"role": "user", "content": "one two three"}]},
    "responses": {"input": "one two three"},
    "embeddings": {"input": ["one", "two"]},
    "completions": {"prompt": "one two three"},
    "moderations": {"input": "one"},
    "rerank": {"query": "a b", "documents": ["a", "b c", "d"]},
    "images": {"prompt": "a cat"},
    "speech": {"input": "one two three", "voice": "alloy"},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "one two three"}]}]},
    "gemini_count_tokens": {"contents": [{"role": "user", "parts": [{"text": "one two three"}]}]},
    "gemini_embeddings": {"content": {"parts": [{"text": "one"}]}},
    "gemini_batch_embeddings": {"requests": [{"model": "models/echo/echo-1", "content": {"parts": [{"text": "one"}]}}]},
    "cohere": {"messages": [{"role": "user", "content": "one two three"}]},
    "cohere_embeddings": {"texts": ["one", "two"], "input_type": "search_document", "embedding_types": ["float"]},
    "count_tokens": {"messages": [{"role": "user", "content": "one two three"}]},
}
FORMS: dict[str, dict[str, Any]] = {
    "image_edits": {"prompt": "a hat", "image": (b"a.png", b"\x89PNG")},
    "transcriptions": {"file": (b"a.wav", b"RIFF" + bytes(40)), "response_format": "json"},
    "translations": {"file": (b"a.wav", b"RIFF" + bytes(40))},
}
COUNTS = ("count_tokens", "gemini_count_tokens")
STREAMED = ("chat", "messages", "responses", "completions", "images", "gemini", "cohere")


EARS = """
[providers.ears]
base_url = "http://ears.test/v1"
api_key = "none"
serves = ["transcriptions", "translations"]
[providers.ears.models.by_seconds]
input = "0"
output = "0"
second = "0.0001"
serves = ["transcriptions", "translations"]
[providers.ears.models.by_tokens]
input = "2.5"
output = "10"
serves = ["transcriptions", "translations"]
"""
RATE = 16_000
SOUND = b"RIFF" + bytes(4) + b"WAVEfmt " + bytes(12) + RATE.to_bytes(4, "little") + bytes(3 * RATE - 32)
TEXT = [(b"content-type", b"text/plain")]
HEARD = [b'data: {"type":"transcript.text.delta","delta":"hi"}\n\n', b'data: {"type":"transcript.text.done","text":"hi"}\n\n']
SECONDS_NANO = 100_000


def form(fields: dict[str, Any]) -> tuple[bytes, bytes]:
    out = b""
    for name, value in fields.items():
        if isinstance(value, tuple):
            out += b'--b\r\nContent-Disposition: form-data; name="%b"; filename="%b"\r\n\r\n%b\r\n' % (name.encode(), *value)
        else:
            out += b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), value.encode())
    return out + b"--b--\r\n", b"multipart/form-data; boundary=b"


def asked(entry: Entry, **more: Any) -> tuple[bytes, bytes]:
    if entry.format in FORMS:
        return form({**FORMS[entry.format], "model": "echo/echo-1"})
    return json.dumps({"model": "echo/echo-1", **ASKS[entry.format], **more}).encode(), b"application/json"


async def ask_on(rig: Rig, entry: Entry, body: bytes, kind: bytes, path: str = "") -> Caller:
    headers = [(b"host", b"edge.test"), (b"authorization", b"Bearer " + rig.key.encode()), (b"content-type", kind)]
    caller = rig.caller_of(body, headers)
    caller.scope["path"] = "/v1" + entry.paths[-1].replace("{model:path}", "echo/echo-1")
    if b"stream" not in body and entry.format == "gemini":
        caller.scope["path"] = "/v1beta" + entry.paths[0].replace("{model:path}", "echo/echo-1")
    caller.scope["path"] = path or caller.scope["path"]
    caller.scope["query_string"] = b"alt=sse"
    return await rig.run(caller, entry)


@pytest.mark.parametrize("entry", SURFACES, ids=lambda entry: entry.format)
async def test_surface_answers_with_its_cost_and_settles(tmp_path: Path, entry: Entry) -> None:
    """Each one answers 200 by echo's name, tells its cost, and leaves one record that says the same."""
    async with Rig(tmp_path) as rig:
        body, kind = asked(entry)
        answer = await ask_on(rig, entry, body, kind)
        assert answer.status == 200, answer.body
        record = rig.records[-1]
        assert (record.end_reason, record.surface) == ("completed", entry.format)
        assert record.cost_nano > 0 or entry.format in ("moderations", *COUNTS) or record.tokens.total == 0
        if answer.headers[b"content-type"].startswith(b"application/json") and entry.format not in COUNTS:
            told = answer.json()
            usage = told.get("usage") or told["usageMetadata"]
            assert usage["cost"] * 1e9 == pytest.approx(record.cost_nano)
            if "model" in told:
                assert told["model"] == "echo/echo-1"
        elif entry.format not in COUNTS:
            assert float(answer.headers[b"x-tollway-cost"]) * 1e9 == pytest.approx(record.cost_nano)


@pytest.mark.parametrize("entry", [entry for entry in SURFACES if entry.format in STREAMED], ids=lambda entry: entry.format)
async def test_surface_streams_and_settles(tmp_path: Path, entry: Entry) -> None:
    """Streamed, the cost stands in the stream once."""
    async with Rig(tmp_path) as rig:
        body, kind = asked(entry, stream=True)
        answer = await ask_on(rig, entry, body, kind)
        assert answer.status == 200, answer.body
        assert answer.headers[b"content-type"] == b"text/event-stream"
        assert answer.body.count(b'"cost":') == 1
        assert rig.records[-1].end_reason == "completed"


@pytest.mark.parametrize(
    ("format", "status", "word"),
    [
        ("messages", 404, "not_found_error"),
        ("responses", 404, "model_not_found"),
        ("embeddings", 404, "model_not_found"),
    ],
)
async def test_surface_says_no_in_its_own_words(tmp_path: Path, format: str, status: int, word: str) -> None:
    """A model that is not there, as the clients of each surface read it."""
    entry = next(entry for entry in SURFACES if entry.format == format)
    async with Rig(tmp_path) as rig:
        body = json.dumps({"model": "nobody/nothing", **ASKS[format]}).encode()
        answer = await ask_on(rig, entry, body, b"application/json")
        assert answer.status == status
        error = answer.json()["error"]
        assert word in (error.get("type"), error.get("code"))
        if format == "messages":
            assert answer.json()["type"] == "error"
            assert answer.headers[b"request-id"]


BASE_MODEL = """
[providers.base]
base_url = "http://base.test/v1"
api_key = "none"
serves = ["completions"]
[providers.base.models.m]
input = "1"
output = "2"
serves = ["completions"]
"""


@pytest.mark.parametrize(("cap", "written", "is_told"), [(0, 0, True), (0, 0, False), (20, 2, True)])
async def test_prompt_that_is_streamed_back_uses_up_no_credit(tmp_path: Path, cap: int, written: int, is_told: bool) -> None:
    """`max_tokens` is of what the model writes, which may be nothing at all."""
    entry = next(entry for entry in SURFACES if entry.format == "completions")
    words = [f"word{number:02} " for number in range(60)]
    said = [{"index": 0, "text": word, "finish_reason": None} for word in [*words, *("it ", "was ")[:written]]]
    events: list[dict[str, Any]] = [
        {"choices": [choice]} for choice in [*said, {"index": 0, "text": "", "finish_reason": "length"}]
    ]
    counts = {"prompt_tokens": 120, "completion_tokens": written, "total_tokens": 120 + written}
    told = [{"choices": [], "usage": counts}] if is_told else []
    whole = [{"id": "x", "object": "text_completion", **event} for event in [*events, *told]]
    wire = [b"data: %b\n\n" % json.dumps(event).encode() for event in whole]
    async with Rig(tmp_path, more=BASE_MODEL) as rig:
        rig.stage.plays = [play := Play(200, SSE, [*wire, b"data: [DONE]\n\n"])]
        body = {"model": "base/m", "prompt": "".join(words), "echo": True, "logprobs": 1, "max_tokens": cap, "stream": True}
        answer = await ask_on(rig, entry, json.dumps(body).encode(), b"application/json")
        assert (answer.status, b"[DONE]" in answer.body) == (200, True), answer.body
        assert json.loads(play.asked)["max_tokens"] == cap
        record = rig.records[-1]
        assert (record.end_reason, record.usage_source) == ("completed", "provider" if is_told else "counted")
        assert record.tokens.completion == written


@pytest.mark.parametrize("format", ["images", "image_edits"])
async def test_pictures_are_streamed_one_at_a_time(tmp_path: Path, format: str) -> None:
    """As at OpenAI: what several last events would charge is not told apart."""
    entry = next(entry for entry in SURFACES if entry.format == format)
    async with Rig(tmp_path) as rig:
        body, kind = asked(entry, **({"n": 2, "stream": True} if format == "images" else {}))
        if format == "image_edits":
            body, kind = form({**FORMS[format], "model": "echo/echo-1", "n": "2", "stream": "true"})
        answer = await ask_on(rig, entry, body, kind)
        assert (answer.status, answer.json()["error"]["param"]) == (400, "n")


async def test_surface_where_a_model_is_not_offered_names_those_where_it_is(tmp_path: Path) -> None:
    """A chat model on the embeddings: where it can be called is said."""
    entry = next(entry for entry in SURFACES if entry.format == "embeddings")
    async with Rig(tmp_path) as rig:
        answer = await ask_on(rig, entry, json.dumps({"model": "p/m", "input": "x"}).encode(), b"application/json")
        assert answer.status == 404
        assert "/v1/chat/completions and /v1/messages" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("model", "shape", "play", "cost_nano"),
    [
        ("by_seconds", "json", (JSON, [b'{"text":"hi"}']), 3 * SECONDS_NANO),
        ("by_seconds", "json", (JSON, [b'{"text":"hi","usage":{"type":"duration","seconds":1.2}}']), 2 * SECONDS_NANO),
        ("by_seconds", "verbose_json", (JSON, [b'{"text":"hi","duration":2.4,"segments":[]}']), 3 * SECONDS_NANO),
        ("by_seconds", "srt", (TEXT, [b"1\n00:00:00,000 --> 00:00:03,000\nhi\n"]), 3 * SECONDS_NANO),
        ("by_seconds", "stream", (SSE, HEARD), 3 * SECONDS_NANO),
        (
            "by_tokens",
            "json",
            (JSON, [b'{"text":"hi","usage":{"type":"tokens","input_tokens":30,"output_tokens":5,"total_tokens":35}}']),
            30 * 2_500 + 5 * 10_000,
        ),
        ("by_tokens", "text", (TEXT, [b"hi"]), None),
        ("by_tokens", "stream", (SSE, HEARD), None),
    ],
)
@pytest.mark.parametrize("format", ["transcriptions", "translations"])
async def test_sound_that_was_heard_is_charged(
    tmp_path: Path, format: str, model: str, shape: str, play: tuple[Any, list[bytes]], cost_nano: int | None
) -> None:
    """By its seconds or its tokens, in every shape of an answer; also where the provider tells neither."""
    entry = next(entry for entry in SURFACES if entry.format == format)
    wanted = {"stream": "true"} if shape == "stream" else {"response_format": shape}
    async with Rig(tmp_path, more=EARS) as rig:
        rig.stage.plays = [Play(200, *play)]
        answer = await ask_on(rig, entry, *form({"model": f"ears/{model}", "file": (b"a.wav", SOUND), **wanted}))
        assert answer.status == 200, answer.body
        (record,) = rig.records
        assert record.cost_nano > 0 if cost_nano is None else record.cost_nano == cost_nano


JSON_SURFACES = [entry for entry in SURFACES if entry.format in ASKS]


@pytest.mark.parametrize("entry", JSON_SURFACES, ids=lambda entry: entry.format)
async def test_surface_obeys_what_its_caller_says_of_providers(tmp_path: Path, entry: Entry) -> None:
    """`provider` means the same beside every format's own members: obeyed, a slip in it refused, and told to no provider."""
    async with Rig(tmp_path) as rig:
        for wish, status, word in (
            ({"only": ["nobody"]}, 404, b"leaves nobody to ask"),
            ({"onyl": ["echo"]}, 400, b"'provider' has no member 'onyl'"),
            ({"zdr": True, "data_collection": "deny", "only": ["echo"]}, 200, b""),
        ):
            answer = await ask_on(rig, entry, *asked(entry, provider=wish))
            assert (answer.status, word in answer.body) == (status, True), answer.body


OTHER_SHAPE = """
[providers.odd]
base_url = "http://odd.test/v1"
api_key = "none"
serves = ["messages", "responses", "gemini", "cohere", "completions"]
models.m = { input = "1", output = "2", serves = ["messages", "responses", "gemini", "cohere", "completions"] }
"""
WHOLE: dict[str, dict[str, Any]] = {
    "messages": {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "content": [{"type": "text", "text": "hello"}],
        "usage": {"input_tokens": 9, "output_tokens": 3},
    },
    "responses": {
        "id": "r1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "m",
        "error": None,
        "output": [
            {
                "type": "message",
                "id": "i1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "hello", "annotations": []}],
            }
        ],
        "usage": {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12},
    },
    "gemini": {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "hello"}]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12},
        "modelVersion": "m",
        "responseId": "g1",
    },
    "cohere": {
        "id": "c1",
        "finish_reason": "COMPLETE",
        "message": {"role": "assistant", "content": [{"type": "text", "text": "hello"}]},
        "usage": {"billed_units": {"input_tokens": 9, "output_tokens": 3}, "tokens": {"input_tokens": 9, "output_tokens": 3}},
    },
    "completions": {
        "id": "l1",
        "object": "text_completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "text": "hello", "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
    },
}
COST_NANO = 9 * 1_000 + 3 * 2_000


async def ask_odd(rig: Rig, format: str, *, stream: bool) -> Caller:
    entry = next(entry for entry in SURFACES if entry.format == format)
    body = json.dumps({"model": "odd/m", **ASKS[format], **({"stream": True} if stream and format != "gemini" else {})})
    path = ""
    if format == "gemini":
        path = f"/v1beta/models/odd/m:{'streamGenerateContent' if stream else 'generateContent'}"
    return await ask_on(rig, entry, body.encode(), b"application/json", path)


@pytest.mark.parametrize("kind", [JSON, SSE], ids=["told", "labelled a stream"])
@pytest.mark.parametrize("format", WHOLE)
async def test_whole_answer_where_a_stream_was_asked_for(tmp_path: Path, format: str, kind: Any) -> None:
    """It was paid for: its caller gets it as the stream that was asked for, with its text, its cost and one regular end."""
    async with Rig(tmp_path, more=OTHER_SHAPE) as rig:
        rig.stage.plays = [Play(200, kind, [json.dumps(WHOLE[format], indent=1).encode()])]
        answer = await ask_odd(rig, format, stream=True)
        assert answer.status == 200, answer.body
        assert answer.headers[b"content-type"] == b"text/event-stream"
        assert b"hello" in answer.body
        assert answer.body.count(b'"cost":') == 1
        (record,) = rig.records
        assert (record.end_reason, record.cost_nano, record.usage_source) == ("completed", COST_NANO, "provider")
        ends = {"messages": b"message_stop", "responses": b"response.completed", "gemini": b'"STOP"', "cohere": b"message-end"}
        assert ends.get(format, b'"stop"') in answer.body
        assert rig.held_nano == 0


async def test_list_of_answers_where_a_stream_was_asked_for(tmp_path: Path) -> None:
    """Google's stream without `alt=sse` is a list: each of it is an event."""
    async with Rig(tmp_path, more=OTHER_SHAPE) as rig:
        part = {"candidates": [{"content": {"role": "model", "parts": [{"text": "oh "}]}, "index": 0}]}
        rig.stage.plays = [Play(200, JSON, [json.dumps([part, WHOLE["gemini"]]).encode()])]
        answer = await ask_odd(rig, "gemini", stream=True)
        assert answer.status == 200, answer.body
        assert (answer.body.count(b"data: "), b"oh " in answer.body, b"hello" in answer.body) == (2, True, True)
        assert rig.records[0].cost_nano == COST_NANO


@pytest.mark.parametrize("format", ["messages", "responses", "gemini", "cohere"])
async def test_stream_where_a_whole_answer_was_asked_for(tmp_path: Path, format: str) -> None:
    """The reverse: what a stream of the format says, as one answer of it."""
    async with Rig(tmp_path, more=OTHER_SHAPE) as rig:
        rig.stage.plays = [Play(200, JSON, [json.dumps(WHOLE[format]).encode()])]
        said = (await ask_odd(rig, format, stream=True)).body
        rig.stage.plays = [Play(200, SSE, [said])]
        answer = await ask_odd(rig, format, stream=False)
        assert answer.status == 200, answer.body
        assert "hello" in str(answer.json())
        record = rig.records[1]
        assert (record.end_reason, record.cost_nano) == ("completed", COST_NANO)


@pytest.mark.parametrize("format", WHOLE)
@pytest.mark.parametrize("body", [b'{"foo":1}', b"{}", b"[]", b"<html>", b'{"error":{"message":"busy","code":503}}'])
async def test_what_is_no_answer_in_another_shape(tmp_path: Path, format: str, body: bytes) -> None:
    """It stays a failure, and costs nothing."""
    async with Rig(tmp_path, more=OTHER_SHAPE) as rig:
        rig.stage.plays = [Play(200, JSON, [body])]
        answer = await ask_odd(rig, format, stream=True)
        assert answer.status in (502, 503, 529), answer.body
        assert [record.cost_nano for record in rig.records] == [0]
        assert rig.held_nano == 0


@pytest.mark.parametrize(
    ("format", "goodbye"),
    [
        ("messages", b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"busy"}}\n\n'),
        ("gemini", b'data: {"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}\r\n\r\n'),
        ("completions", b'data: {"error":{"message":"busy","code":503}}\n\n'),
    ],
)
async def test_error_behind_the_finish_breaks_nothing(tmp_path: Path, format: str, goodbye: bytes) -> None:
    """The answer is there, and is charged as one; its provider's last words are nobody's trouble."""
    async with Rig(tmp_path, more=OTHER_SHAPE) as rig:
        rig.stage.plays = [Play(200, JSON, [json.dumps(WHOLE[format]).encode()])]
        said = (await ask_odd(rig, format, stream=True)).body
        said = said.partition(b"event: message_stop")[0].partition(b"data: [DONE]")[0]
        rig.stage.plays = [Play(200, SSE, [said, goodbye])]
        answer = await ask_odd(rig, format, stream=True)
        assert (answer.status, b"busy" in answer.body, b"hello" in answer.body) == (200, False, True)
        record = rig.records[1]
        assert (record.end_reason, record.cost_nano, record.status) == ("completed", COST_NANO, 200)


@pytest.mark.parametrize("format", ["messages", "gemini", "completions"])
async def test_error_beside_a_text_passes_with_it(tmp_path: Path, format: str) -> None:
    """A whole answer that has both was paid for."""
    async with Rig(tmp_path, more=OTHER_SHAPE) as rig:
        both = {**WHOLE[format], "error": {"message": "a part of it failed", "code": 500}}
        rig.stage.plays = [Play(200, JSON, [json.dumps(both).encode()])]
        answer = await ask_odd(rig, format, stream=False)
        assert (answer.status, b"hello" in answer.body, b"a part of it failed" in answer.body) == (200, True, True)
        assert rig.records[0].cost_nano == COST_NANO


async def test_stream_that_begins_with_its_prompt_is_not_cut_for_it(tmp_path: Path) -> None:
    """What is echoed was written by nobody: it takes nothing of what is reserved for the answer, and the provider's end is the
    end."""
    prompt = "Once upon a time. " * 100
    texts = [(prompt, "null"), *[("so ", "null")] * 20, ("", '"length"')]
    said = [f'{{"id":"l1","choices":[{{"index":0,"text":{json.dumps(text)},"finish_reason":{end}}}]}}' for text, end in texts]
    async with Rig(tmp_path, more=OTHER_SHAPE) as rig:
        rig.stage.plays = [Play(200, SSE, [*(b"data: %b\n\n" % each.encode() for each in said), b"data: [DONE]\n\n"])]
        asks = {"model": "odd/m", "prompt": prompt, "echo": True, "max_tokens": 20, "stream": True}
        entry = next(entry for entry in SURFACES if entry.format == "completions")
        answer = await ask_on(rig, entry, json.dumps(asks).encode(), b"application/json")
        assert (answer.body.count(b'"so "'), b"[DONE]" in answer.body, b"ended_by" in answer.body) == (20, True, False)
        (record,) = rig.records
        assert (record.end_reason, record.tokens.completion) == ("completed", 20)


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206, 226, 299])
async def test_answer_under_any_2xx_is_a_200(tmp_path: Path, status: int) -> None:
    """What was read is a whole answer; 206 would say that it is a part."""
    async with Rig(tmp_path, more=OTHER_SHAPE) as rig:
        rig.stage.plays = [Play(status, JSON, [json.dumps(WHOLE["messages"]).encode()])]
        answer = await ask_odd(rig, "messages", stream=False)
        assert (answer.status, rig.records[0].status, rig.records[0].cost_nano) == (200, 200, COST_NANO)


WIDE = {"type": "object", "properties": {f"p{at}": {"type": "string"} for at in range(40_000)}}
HEAVY: dict[str, dict[str, Any]] = {
    "messages": {"tools": [{"name": "f", "input_schema": WIDE}]},
    "responses": {"input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]}] * 25_000},
    "gemini": {"tools": [{"functionDeclarations": [{"name": "f", "parameters": WIDE}]}]},
}
BLOCK_S_MAX = 0.1


@pytest.mark.parametrize("name", HEAVY)
async def test_large_request_does_not_hold_the_loop(tmp_path: Path, name: str) -> None:
    """A megabyte of many values is read, and said in Chat's format, beside it: between two turns the loop's thread computes
    little. In its own seconds, whatever else the machine does."""
    entry = next(entry for entry in SURFACES if entry.format == name)
    body = json.dumps({"model": "p/m", **ASKS[name], **HEAVY[name]}, separators=(",", ":")).encode()
    blocks_s: list[float] = []

    async def look() -> None:
        last_s = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now_s = time.thread_time()
            blocks_s.append(now_s - last_s)
            last_s = now_s

    async with Rig(tmp_path) as rig:
        rig.stage.plays = [Play(200, JSON, [b"{}"])]
        looks = asyncio.create_task(look())
        caller = await ask_on(rig, entry, body, b"application/json")
        looks.cancel()
    assert caller.status != 500
    assert len(blocks_s) > 10
    assert max(blocks_s) < BLOCK_S_MAX


async def test_answer_that_cannot_be_said_is_the_providers_failure(tmp_path: Path) -> None:
    """More calls than are told: 502, charged nothing, and no fault of ours."""
    calls = [{"id": f"c{at}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for at in range(PIECES_MAX + 1)]
    choice = {"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}
    answer = json.dumps({"id": "c", "object": "chat.completion", "model": "m", "choices": [choice]}).encode()
    entry = next(entry for entry in SURFACES if entry.format == "responses")
    body = json.dumps({"model": "p/m", **ASKS["responses"], "store": False}).encode()
    async with Rig(tmp_path) as rig:
        rig.stage.plays = [Play(200, JSON, [answer])]
        caller = await ask_on(rig, entry, body, b"application/json")
        assert (caller.status, caller.json()["error"]["code"]) == (502, "provider_response_too_large")
        assert [(record.error, record.cost_nano) for record in rig.records] == [("too_large", 0)]
        assert rig.held_nano == 0
