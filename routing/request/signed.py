"""Whose signed thoughts a conversation carries, and which targets can read them.

Rule: what a model thought comes back signed or encrypted for the one who made it: Claude's signatures, Gemini's thought
signatures, OpenAI's encrypted reasoning. Elsewhere they are a 400, or are left out, and what they led to is not understood. So of
several targets those are asked that can read the last of them; where none can, all are, and what nobody reads is reported.
Limits: two providers that sign in one format (OpenAI and Azure, AI Studio and Vertex, Claude and who else speaks Messages) are
told apart by nothing in a request: there the 400 of the one moves on to the other (`routing.failures.cause_table`).
Source: the providers' references; OpenRouter's `reasoning_details` and their `format`.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from routing.table.endpoint import Endpoint
from routing.table.provider import Model, Provider
from routing.translate import Target
from routing.translate.chat_traits import traits_of
from routing.translate.gemini_on_chat.contents import opened_bytes
from routing.translate.thoughts import ANTHROPIC, GEMINI, OPENAI, opened
from routing.wire.members import REFUSED, Members

_TURNS: Final = {"chat": "messages", "messages": "messages", "responses": "input", "gemini": "contents"}
"""A caller's format → where its conversation stands."""
_MARKS: Final = (
    *(b'"signature"', b'"thoughtSignature"', b'"thought_signature"', b'"encrypted_content"'),
    *(b'"redacted_thinking"', b'"reasoning_details"'),
)
"""Names with their quotes: in what somebody wrote about signatures they have backslashes."""
_decode: Final = msgspec.json.Decoder().decode


def bound_to(format: str, members: Members) -> str:
    """The format of the last signed thought of a conversation; empty where there is none, or it cannot be read."""
    raw = bytes(members.get(_TURNS.get(format, ""), b""))
    if not any(mark in raw for mark in _MARKS):
        return ""
    try:
        turns = _decode(raw)
    except REFUSED:
        return ""
    found = ""
    for turn in turns if isinstance(turns, list) else ():
        for each in _SIGNED[format](turn) if isinstance(turn, dict) else ():
            found = each or found
    return found


def can_read(signed: str, provider: Provider, model: Model, endpoint: Endpoint) -> bool:
    """Whether a model that is asked at that endpoint reads what was signed in that format."""
    name = f"{provider.name}/{model.name}".lower()
    match endpoint.format:
        case "messages":
            # Others than Claude's sign there as well (DeepSeek's, Moonshot's), and whose a signature is, it does not say.
            return signed == ANTHROPIC
        case "converse":
            return signed == ANTHROPIC and ("claude" in name or "anthropic" in name)
        case "gemini":
            return signed == GEMINI
        case "responses":
            return signed == OPENAI
        case _:
            traits = traits_of(Target(provider.name, model.name, traits=model.traits))
            return "reasoning_details" in traits or (signed == GEMINI and "gemini" in name)


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    return (each for each in value if isinstance(each, dict)) if isinstance(value, list) else iter(())


def _format_of(text: Any, own: str) -> str:
    """In whose format a text is that the caller's format has as its own: what is sealed here names it."""
    if not isinstance(text, str) or not text:
        return ""
    seal = opened(text)
    return own if seal is None else seal.format


def _in_chat(turn: dict[str, Any]) -> Iterator[str]:
    for detail in _dicts(turn.get("reasoning_details")):
        if detail.get("signature") or detail.get("data"):
            yield detail["format"] if isinstance(detail.get("format"), str) else ANTHROPIC
    for call in _dicts(turn.get("tool_calls")):
        extra = call.get("extra_content")
        google = extra.get("google") if isinstance(extra, dict) else None
        yield GEMINI if isinstance(google, dict) and google.get("thought_signature") else ""


def _in_messages(turn: dict[str, Any]) -> Iterator[str]:
    for block in _dicts(turn.get("content")):
        if block.get("type") == "thinking":
            yield _format_of(block.get("signature"), ANTHROPIC)
        elif block.get("type") == "redacted_thinking":
            yield _format_of(block.get("data"), ANTHROPIC)


def _in_responses(item: dict[str, Any]) -> Iterator[str]:
    if item.get("type") == "reasoning":
        yield _format_of(item.get("encrypted_content"), OPENAI)


def _in_gemini(content: dict[str, Any]) -> Iterator[str]:
    for part in _dicts(content.get("parts")):
        signature = part.get("thoughtSignature")
        yield opened_bytes(signature).format if isinstance(signature, str) and signature else ""


_SIGNED: Final = {"chat": _in_chat, "messages": _in_messages, "responses": _in_responses, "gemini": _in_gemini}
