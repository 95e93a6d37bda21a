"""Every pair through the whole relay, with what a provider really sent: the answer, its cost, its settlement, its failure."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from routing.surfaces import SURFACES, Entry
from routing.translate import UPSTREAM, Format
from tests.edge.relay.test_surfaces import ASKS, ask_on
from tests.edge.rig import Caller, Play, Rig, Step
from tests.routing.translate import streams

pytestmark = pytest.mark.anyio
RECORDED: dict[Format, str] = {
    "chat": "groq-tool-call",
    "messages": "anthropic-clear-thinking.1",
    "responses": "responses-openai-reasoning-encrypted-content.1",
    "gemini": "google-tool-call-gemini3",
    "converse": "amazon-bedrock-reasoning",
    "cohere": "cohere-tool-call",
}
PROVIDERS: list[Format] = ["chat", *UPSTREAM]
CALLERS = [entry for entry in SURFACES if entry.format in ("chat", "messages", "responses", "gemini")]
PAIRS = [(entry, provider) for entry in CALLERS for provider in PROVIDERS if entry.format != provider]
TABLE = "".join(
    [
        f'[providers.{format}]\nbase_url = "http://{format}.test"\napi_key = "none"\nserves = ["{format}"]\n'
        f'[providers.{format}.models.m]\ninput = "1"\noutput = "2"\nmax_output_tokens = 4_000\ncontext_tokens = 200_000\n'
        for format in PROVIDERS
    ]
)
ENDS = {
    "chat": b"data: [DONE]",
    "messages": b"event: message_stop",
    "responses": b"event: response.completed",
    "gemini": b'"finishReason":"',
}


def play_of(provider: Format, data: bytes) -> Play:
    return play_in_steps(provider, [data[at : at + 700] for at in range(0, len(data), 700)])


def play_in_steps(provider: Format, steps: Sequence[Step]) -> Play:
    kind = b"application/vnd.amazon.eventstream" if provider == "converse" else b"text/event-stream"
    return Play(200, [(b"content-type", kind)], steps)


async def asked(rig: Rig, entry: Entry, provider: Format, play: Play, **more: Any) -> Caller:
    rig.stage.plays = [play]
    # As much as the longest recording has, and more.
    if entry.format == "gemini":
        action = "streamGenerateContent" if more.pop("stream", False) else "generateContent"
        body = json.dumps({**ASKS["gemini"], "generationConfig": {"maxOutputTokens": 2_000}, **more}).encode()
        return await ask_on(rig, entry, body, b"application/json", f"/v1beta/models/{provider}/m:{action}")
    cap = {"max_tokens": 2_000} if entry.format == "messages" else {}
    body = json.dumps({"model": f"{provider}/m", **ASKS[entry.format], **cap, **more}).encode()
    return await ask_on(rig, entry, body, b"application/json")


@pytest.mark.parametrize(("entry", "provider"), PAIRS, ids=lambda value: value if isinstance(value, str) else value.format)
async def test_translated_stream_is_told_and_settled(tmp_path: Path, entry: Entry, provider: Format) -> None:
    """In the caller's format to its own end, with the cost that the record has; the provider's usage is what counts."""
    async with Rig(tmp_path, more=TABLE) as rig:
        answer = await asked(rig, entry, provider, play_of(provider, streams.wire(RECORDED[provider])), stream=True)
        assert answer.status == 200, answer.body
        assert answer.headers[b"content-type"].startswith(b"text/event-stream")
        assert answer.body.count(ENDS[entry.format]) == 1
        record = rig.records[-1]
        assert (record.end_reason, record.usage_source, record.status) == ("completed", "provider", 200)
        assert record.tokens.completion > 0
        told = [event for event in streams.events(answer.body) if b'"cost":' in json.dumps(event).encode().replace(b" ", b"")]
        assert len(told) == 1
        usage = told[0].get("usage") or told[0].get("usageMetadata") or told[0]["response"]["usage"]
        assert usage["cost"] * 1e9 == pytest.approx(record.cost_nano)


@pytest.mark.parametrize("leaves_at", [None, 0, 40])
@pytest.mark.parametrize("entry", CALLERS, ids=lambda entry: entry.format)
async def test_head_goes_before_the_first_part_that_says_something(tmp_path: Path, entry: Entry, leaves_at: int | None) -> None:
    """Of every provider, in parts of a few bytes: what it says first may be nothing in the caller's format. Who has left by then
    is sent nothing."""
    async with Rig(tmp_path, more=TABLE) as rig:

        def leave() -> None:
            rig.look(0.5)
            for context in rig.watch.contexts:
                assert isinstance(context.caller, Caller)
                context.caller.leave()

        for provider in PROVIDERS:
            wire = streams.wire("openai-text" if provider == "chat" else RECORDED[provider])
            steps: list[Step] = [*(wire[at : at + 9] for at in range(0, 1_800, 9)), wire[1_800:]]
            if leaves_at is not None:
                steps.insert(leaves_at, leave)
            answer = await asked(rig, entry, provider, play_in_steps(provider, steps), stream=True)
            record = rig.records[-1]
            assert rig.held_nano == 0
            if leaves_at is not None:
                assert record.end_reason == "cancelled"
                assert leaves_at or not answer.sent
                assert not answer.is_complete
                continue
            assert (record.end_reason, record.status) == ("completed", 200)
            assert [message["type"] for message in answer.sent].index("http.response.start") == 0
            assert answer.body.count(ENDS[entry.format]) == 1


@pytest.mark.parametrize(("entry", "provider"), PAIRS, ids=lambda value: value if isinstance(value, str) else value.format)
async def test_translated_stream_that_is_cut_off_fails_in_its_own_words(tmp_path: Path, entry: Entry, provider: Format) -> None:
    """Half an answer is no answer: one event says so, no end is made up, and what came is charged."""
    async with Rig(tmp_path, more=TABLE) as rig:
        wire = streams.wire(RECORDED[provider])
        lines = streams.lines(RECORDED[provider])
        head = streams.framed(provider, lines[: len(lines) // 2]).removesuffix(b"data: [DONE]\n\n")
        assert len(head) < len(wire)
        answer = await asked(rig, entry, provider, play_of(provider, head), stream=True)
        assert ENDS[entry.format] not in answer.body
        assert b"error" in answer.body or b"failed" in answer.body
        if answer.status == 200:
            assert rig.records[-1].end_reason in ("truncated", "upstream_error")
            assert rig.records[-1].cost_nano > 0


WHOLE: dict[Format, str] = {
    "messages": "anthropic-clear-thinking.1",
    "responses": "responses-openai-reasoning-encrypted-content.1",
    "gemini": "google-tool-call-gemini3",
    "converse": "amazon-bedrock-text",
    "chat": "groq-tool-call",
}


@pytest.mark.parametrize(
    ("entry", "provider"),
    [(entry, provider) for entry, provider in PAIRS if provider in WHOLE],
    ids=lambda value: value if isinstance(value, str) else value.format,
)
async def test_translated_answer_is_told_and_settled(tmp_path: Path, entry: Entry, provider: Format) -> None:
    """Whole, with our id, the model that was asked for, and the cost."""
    async with Rig(tmp_path, more=TABLE) as rig:
        play = Play(200, [(b"content-type", b"application/json")], [streams.answer(WHOLE[provider])])
        answer = await asked(rig, entry, provider, play)
        assert answer.status == 200, answer.body
        told, record = answer.json(), rig.records[-1]
        id, model, usage = (
            ("responseId", "modelVersion", "usageMetadata") if entry.format == "gemini" else ("id", "model", "usage")
        )
        assert told[model] == f"{provider}/m"
        assert told[id] == record.gen_id
        assert told[usage]["cost"] * 1e9 == pytest.approx(record.cost_nano)
        assert record.end_reason == "completed"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("format", "provider", "more", "ignored"),
    [
        ("chat", "gemini", {"min_p": 0.5, "plugins": [{"id": "response-healing"}]}, b"plugins[0], min_p"),
        ("gemini", "messages", {"labels": {"a": "b"}}, b"labels"),
        ("messages", "responses", {"top_k": 5, "diagnostics": {"x": 1}}, b"diagnostics, top_k"),
    ],
)
async def test_record_names_what_the_header_names(
    tmp_path: Path, format: Format, provider: Format, more: dict[str, Any], ignored: bytes, stream: bool
) -> None:
    """What was left out of a request, through one translator or two: whoever reads the record reads what the caller read."""
    entry = next(each for each in CALLERS if each.format == format)

    def play() -> Play:
        if stream:
            return play_of(provider, streams.wire(RECORDED[provider]))
        return Play(200, [(b"content-type", b"application/json")], [streams.answer(WHOLE[provider])])

    async with Rig(tmp_path, more=TABLE) as rig:
        answer = await asked(rig, entry, provider, play(), stream=stream, **more)
        assert (answer.status, answer.headers[b"x-tollway-ignored"]) == (200, ignored), answer.body
        assert rig.records[-1].ignored.encode() == ignored
        plain = await asked(rig, entry, provider, play(), stream=stream)
        assert (plain.status, b"x-tollway-ignored" in plain.headers, rig.records[-1].ignored) == (200, False, "")


@pytest.mark.parametrize("entry", CALLERS, ids=lambda entry: entry.format)
async def test_demand_that_cannot_be_met_is_a_400_with_its_path(tmp_path: Path, entry: Entry) -> None:
    """In the caller's own family; nothing is sent and nothing charged."""
    demands: dict[str, dict[str, Any]] = {
        "chat": {"logit_bias": {"1": 5}},
        "messages": {"container": "c"},
        "responses": {"background": True},
        "gemini": {"modelSelection": {"x": 1}},
    }
    async with Rig(tmp_path, more=TABLE) as rig:
        provider: Format = "messages" if entry.format == "gemini" else "gemini"
        answer = await asked(rig, entry, provider, play_of(provider, b""), **demands[entry.format])
        assert answer.status == 400, answer.body
        assert next(iter(demands[entry.format])).encode() in answer.body
        if entry.format == "gemini":
            assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
        assert len(rig.stage.plays) == 1


TWO_TARGETS = """
[providers.plain]
base_url = "http://plain.test"
api_key = "none"
unlisted = { input = "1", output = "2" }
[providers.claude]
base_url = "http://claude.test"
api_key = "none"
serves = ["messages"]
unlisted = { input = "1", output = "2" }
[providers.other]
base_url = "http://other.test"
api_key = "none"
serves = ["messages"]
unlisted = { input = "1", output = "2" }
[routes.mixed]
balance = "in_order"
targets = [{ to = "plain/m" }, { to = "claude/claude-opus-5" }]
[routes.twice]
balance = "in_order"
targets = [{ to = "claude/claude-opus-5" }, { to = "other/claude-opus-5" }]
"""
SIGNED_TURNS = [
    {"role": "user", "content": "hi"},
    {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "hm", "signature": "EqQB"}, {"type": "text", "text": "so"}],
    },
    {"role": "user", "content": "and?"},
]
WRONG = {"type": "invalid_request_error", "message": "messages.1: Invalid `signature` in `thinking` block"}
CANNOT_READ = json.dumps({"type": "error", "error": WRONG}).encode()


@pytest.mark.parametrize("how", ["alias", "models"])
async def test_signed_conversation_stays_with_its_provider(tmp_path: Path, how: str) -> None:
    """Whoever stands first in an alias, or in the caller's own list of models."""
    (entry,) = (each for each in SURFACES if each.format == "messages")
    async with Rig(tmp_path, more=TWO_TARGETS) as rig:
        rig.stage.plays = [play_of("messages", streams.wire("anthropic-text"))]
        wanted = {"model": "mixed"} if how == "alias" else {"model": "plain/m", "models": ["claude/claude-opus-5"]}
        body = {"max_tokens": 500, "messages": SIGNED_TURNS, "stream": True, **wanted}
        answer = await ask_on(rig, entry, json.dumps(body).encode(), b"application/json")
        assert answer.status == 200, answer.body
        assert rig.records[-1].provider == "claude"


async def test_signature_that_one_cannot_read_goes_to_the_next(tmp_path: Path) -> None:
    """Two who sign alike are told apart by nothing in the request; a 400 for it costs nothing."""
    (entry,) = (each for each in SURFACES if each.format == "messages")
    async with Rig(tmp_path, more=TWO_TARGETS) as rig:
        refused = Play(400, [(b"content-type", b"application/json")], [CANNOT_READ])
        rig.stage.plays = [refused, play_of("messages", streams.wire("anthropic-text"))]
        body = {"model": "twice", "max_tokens": 500, "messages": SIGNED_TURNS, "stream": True}
        answer = await ask_on(rig, entry, json.dumps(body).encode(), b"application/json")
        assert answer.status == 200, answer.body
        assert rig.records[-1].provider == "other"
