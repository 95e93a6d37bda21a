"""A conversation with signed thoughts stays with who can read them, whoever of several targets stands first."""

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest

from routing.plan.plan import Attempt, Plan, plan
from routing.request.envelope import Envelope, read
from routing.request.signed import bound_to
from routing.surfaces import SURFACES, CallerRequest, Entry, surface_of
from routing.surfaces.admission import admit
from routing.table.config import parse
from routing.translate.thoughts import ANTHROPIC, GEMINI, OPENAI, Seal, sealed

TABLE = """
[providers.claude]
base_url = "https://claude.test"
api_key = "none"
serves = ["messages"]
unlisted = { input = "1", output = "2" }
[providers.gemini]
base_url = "https://gemini.test"
api_key = "none"
serves = ["gemini"]
unlisted = { input = "1", output = "2" }
[providers.openai]
base_url = "https://openai.test"
api_key = "none"
serves = ["responses"]
unlisted = { input = "1", output = "2" }
[providers.openrouter]
base_url = "https://router.test"
api_key = "none"
unlisted = { input = "1", output = "2" }
[providers.deep]
base_url = "https://deep.test"
api_key = "none"
serves = ["chat", "messages"]
unlisted = { input = "1", output = "2" }
[providers.plain]
base_url = "https://plain.test"
api_key = "none"
unlisted = { input = "1", output = "2" }
[providers.bedrock]
base_url = "https://bedrock.test"
api_key = "none"
serves = ["converse"]
unlisted = { input = "1", output = "2" }
[aliases]
any = ["plain/m", "openai/gpt-6", "gemini/gemini-4", "claude/claude-opus-5", "openrouter/m"]
few = ["plain/m", "plain/n"]
amazon = ["bedrock/amazon.nova", "bedrock/anthropic.claude-opus-5"]
thinkers = ["plain/m", "deep/deepseek-v4", "claude/claude-opus-5"]
"""
READERS = {
    ANTHROPIC: ["claude/claude-opus-5", "openrouter/m"],
    GEMINI: ["gemini/gemini-4", "openrouter/m"],
    OPENAI: ["openai/gpt-6", "openrouter/m"],
}
ENTRIES = {entry.format: entry for entry in SURFACES}
SIGNED: dict[str, Callable[[str], dict[str, Any]]] = {
    "messages": lambda text: {
        "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": text}]},
            {"role": "user", "content": "and?"},
        ],
    },
    "responses": lambda text: {
        "input": [
            {"role": "user", "content": "hi"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": text},
            {"role": "user", "content": "and?"},
        ]
    },
}  # fmt: skip


def chat(*details: dict[str, Any]) -> dict[str, Any]:
    said = [{"role": "assistant", "content": "so", "reasoning_details": [each]} for each in details]
    return {"messages": [{"role": "user", "content": "hi"}, *said, {"role": "user", "content": "and?"}]}


def asked(format: str, body: dict[str, Any], model: str = "any", **more: Any) -> list[str]:
    """The targets that a request is sent to, in order."""
    config = parse(TABLE)
    entry: Entry = ENTRIES[format]
    text = json.dumps({"model": model, **body, **more}).encode()
    envelope: Envelope = read(text) if format == "chat" else surface_of(entry).read(text, CallerRequest("", []))
    planned = plan(config, frozenset(), model, (), {}, 0.0, 0.0)
    assert isinstance(planned, Plan)
    admitted = admit(entry, envelope, planned)
    assert isinstance(admitted, tuple), admitted
    attempts: list[Attempt] = list(admitted[0])
    return list(dict.fromkeys(attempt.model.id for attempt in attempts))


@pytest.mark.parametrize("format", [ANTHROPIC, GEMINI, OPENAI])
def test_chat_stays_with_the_format_of_its_details(format: str) -> None:
    """In OpenRouter's words, as our own answers have them: the last one that is signed decides."""
    others = [{"type": "reasoning.encrypted", "data": "x", "format": each} for each in READERS if each != format]
    own = {"type": "reasoning.text", "text": "hm", "signature": "s", "format": format}
    unsigned = {"type": "reasoning.text", "text": "hm", "format": ANTHROPIC}
    assert asked("chat", chat(*others, own, unsigned)) == READERS[format]


def test_chat_stays_with_google_for_its_own_accent() -> None:
    """Google's layer of Chat has the signature in the call."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    signed = call | {"extra_content": {"google": {"thought_signature": "s"}}}
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [signed]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    ]
    assert asked("chat", {"messages": turns}) == READERS[GEMINI]


@pytest.mark.parametrize(("surface", "own"), [("messages", ANTHROPIC), ("responses", OPENAI)])
@pytest.mark.parametrize("format", [ANTHROPIC, GEMINI, OPENAI])
def test_other_surfaces_stay_by_the_seal(surface: str, own: str, format: str) -> None:
    """What a translator sealed says whose it is; what is not sealed is the surface's own."""
    text = "EqQBCgIYAhIM" if format == own else sealed(Seal(format, "encrypted", "i", "x"))
    assert asked(surface, SIGNED[surface](text)) == READERS[format]


def test_conversation_stays_with_another_who_signs_as_claude_does() -> None:
    """DeepSeek's thoughts come back to it, in its own Messages API, and are not sent to Claude alone, which would refuse them."""
    assert asked("messages", SIGNED["messages"]("0b1f"), model="thinkers") == ["deep/deepseek-v4", "claude/claude-opus-5"]
    thought = {"type": "reasoning.text", "text": "hm", "signature": "s", "format": ANTHROPIC}
    assert asked("chat", chat(thought), model="thinkers") == ["claude/claude-opus-5"]


def test_conversation_that_nobody_reads_is_sent_to_all() -> None:
    """It is the caller who changed the model; what is left out is reported."""
    thought = {"type": "reasoning.encrypted", "data": "x", "format": ANTHROPIC}
    assert asked("chat", chat(thought), model="few") == ["plain/m", "plain/n"]


@pytest.mark.parametrize(
    "body",
    [
        chat(),
        chat({"type": "reasoning.text", "text": "hm", "format": ANTHROPIC}),
        {"messages": [{"role": "user", "content": 'of "signature" and "encrypted_content"'}]},
    ],
)
def test_conversation_without_signatures_is_sent_to_all(body: dict[str, Any]) -> None:
    """In the table's order."""
    assert len(asked("chat", body)) == 5


@pytest.mark.parametrize(
    ("format", "raw"),
    [
        ("chat", '[{"role":"assistant","reasoning_details":[{"signature":'),
        ("chat", '[{"role":"assistant","reasoning_details":{"signature":1}}]'),
        ("messages", '[{"role":"assistant","content":"signature"}, 5, null]'),
        ("messages", '[{"content":[null,{"type":"thinking","signature":5}]}]'),
        ("responses", '"encrypted_content"'),
        ("gemini", '[{"parts":{"thoughtSignature":"x"}}]'),
        ("embeddings", '"signature"'),
    ],
)
def test_what_cannot_be_read_binds_nothing(format: str, raw: str) -> None:
    """Whatever stands there; the request is refused or passed by who reads it."""
    name = {"responses": "input", "gemini": "contents"}.get(format, "messages")
    assert bound_to(format, {name: raw.encode()}) == ""  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("format", "turn", "found"),
    [
        ("messages", {"content": [{"type": "redacted_thinking", "data": "x"}]}, ANTHROPIC),
        ("messages", {"content": [{"type": "redacted_thinking", "data": sealed(Seal(OPENAI, "encrypted", "i", "x"))}]}, OPENAI),
        ("messages", {"content": [{"type": "text", "signature": "x"}]}, ""),
        ("gemini", {"parts": [{"text": "a"}, {"thoughtSignature": "x"}]}, GEMINI),
        ("gemini", {"parts": [{"thoughtSignature": ""}, {"thoughtSignature": 5}]}, ""),
        (
            "gemini",
            {"parts": [{"thoughtSignature": b64encode(sealed(Seal(ANTHROPIC, "text", "i", "x")).encode()).decode()}]},
            ANTHROPIC,
        ),
        ("responses", {"type": "message", "encrypted_content": "x"}, ""),
        ("chat", {"reasoning_details": [{"data": "x"}]}, ANTHROPIC),
        ("chat", {"tool_calls": [{"extra_content": {"google": {"thought_signature": ""}}}, 5]}, ""),
    ],
)
def test_format_of_a_signed_thought(format: str, turn: dict[str, Any], found: str) -> None:
    """In the words of each format: its own, or whose the seal says that it is."""
    name = {"responses": "input", "gemini": "contents"}.get(format, "messages")
    assert bound_to(format, {name: json.dumps([turn]).encode()}) == found  # type: ignore[dict-item]


def test_claude_at_amazon_reads_what_claude_signed() -> None:
    """Other models that are asked in Converse do not."""
    thought = {"type": "reasoning.text", "text": "hm", "signature": "s", "format": ANTHROPIC}
    assert asked("chat", chat(thought), model="amazon") == ["bedrock/anthropic.claude-opus-5"]
