"""What OpenRouter's clients read in an answer and OpenAI's do not, and what their schemas forbid.

Added: `provider`, `native_finish_reason` (the provider's own word beside the one of OpenRouter's five), `reasoning` beside
`reasoning_content`, and what their SDKs require and some providers leave out (`finish_reason`, `index`, `object`, `created`).
Left out: members that are null where the schema has no null, such as `"tool_calls": null`.
Strategy: objects are opened only as far as something changes; every value that is not ours is copied as raw bytes.
Source: openapi.yaml, as `@openrouter/sdk` 1.3 and `openrouter` 1.2 check it.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from routing.wire.members import REFUSED, Members, decode_members

_FINISHES: Final = {
    "model_length": "length",
    "max_tokens": "length",
    "MAX_TOKENS": "length",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "complete": "stop",
    "COMPLETE": "stop",
    "STOP": "stop",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "safety": "content_filter",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "refusal": "content_filter",
    "insufficient_system_resource": "error",
}
"""A provider's finish → OpenRouter's. One that is not known stays as it is: their SDKs take any word."""

_NO_NULL_IN_MESSAGE: Final = ("role", "tool_calls", "audio", "images", "reasoning_details", "annotations", "name")
_NO_NULL_IN_CALL: Final = ("id", "type", "function")
_NO_NULL_IN_FUNCTION: Final = ("name", "arguments")
_NULL: Final = Raw(b"null")
_encode: Final = msgspec.json.Encoder().encode
_decode_list: Final = msgspec.json.Decoder(list[Raw]).decode


def is_null(raw: Raw | None) -> bool:
    return raw is None or bytes(raw) == b"null"


def answer_members(members: Members, provider: str, created: int) -> Members:
    """What a whole answer gets: to be put over its top-level members. Whatever cannot be read is left as it is."""
    values: Members = {"provider": Raw(_encode(provider))}
    if is_null(members.get("system_fingerprint")):
        values["system_fingerprint"] = _NULL
    if is_null(members.get("object")):
        values["object"] = Raw(b'"chat.completion"')
    if is_null(members.get("created")):
        values["created"] = Raw(b"%d" % created)
    values["choices"] = choices_of(members["choices"], "message")
    return values


def chunk_members(members: Members, provider: Raw, created: int) -> Members:
    """A chunk's members as they go out, in order, but for `id`, `model` and `usage`."""
    found = members.get("choices")
    kept = members.copy()
    for name in ("usage", "system_fingerprint"):
        if is_null(kept.get(name)):
            kept.pop(name, None)
    if is_null(kept.get("object")):
        kept["object"] = Raw(b'"chat.completion.chunk"')
    if is_null(kept.get("created")) or bytes(kept["created"]) == b"0":
        kept["created"] = Raw(b"%d" % created)
    kept["provider"] = provider
    kept["choices"] = Raw(b"[]") if found is None or is_null(found) else choices_of(found, "delta")
    return kept


def usage_member(usage: bytes) -> Raw:
    """The usage (`routing.metering.bill.usage_object`) as their schema has it: a count of the prompt's parts is a number or is
    not there."""
    members = decode_members(usage)
    details = members.get("prompt_tokens_details")
    if details is not None and not is_null(details):
        counts = decode_members(details)
        members["prompt_tokens_details"] = Raw(_encode({name: raw for name, raw in counts.items() if not is_null(raw)}))
    members.setdefault("is_byok", Raw(b"false"))
    return Raw(_encode(members))


def choices_of(choices: Raw, part: str) -> Raw:
    """The choices, each with its finish in both words and its `part` ("message" or "delta") as the schema has it."""
    try:
        return Raw(b"[%b]" % b",".join([_choice(at, raw, part) for at, raw in enumerate(_decode_list(choices))]))
    except REFUSED:
        return choices


def _choice(at: int, raw: Raw, part: str) -> bytes:
    members = decode_members(raw)
    finish = members.get("finish_reason", _NULL)
    members["finish_reason"] = _finish(finish)
    if is_null(members.get("index")):
        members["index"] = Raw(b"%d" % at)
    if not is_null(finish):
        members.setdefault("native_finish_reason", finish)
    said = members.get(part)
    members[part] = Raw(b"{}") if said is None or is_null(said) else _message(said, is_delta=part == "delta")
    return _encode(members)


def _finish(raw: Raw) -> Raw:
    try:
        word: Any = msgspec.json.decode(raw)
    except REFUSED:
        return raw
    known = _FINISHES.get(word) if isinstance(word, str) else None
    return raw if known is None else Raw(_encode(known))


def _message(raw: Raw, *, is_delta: bool) -> Raw:
    members = decode_members(raw)
    for name in _NO_NULL_IN_MESSAGE:
        if name in members and is_null(members[name]):
            del members[name]
    thought = members.get("reasoning_content")
    if thought is not None and is_null(members.get("reasoning")):
        members["reasoning"] = thought
    if "tool_calls" in members:
        calls = _decode_list(members["tool_calls"])
        members["tool_calls"] = Raw(b"[%b]" % b",".join([_call(at if is_delta else None, call) for at, call in enumerate(calls)]))
    return Raw(_encode(members))


def _call(at: int | None, raw: Raw) -> bytes:
    """`at`: the index that a fragment of a call gets if it has none."""
    members = decode_members(raw)
    for name in _NO_NULL_IN_CALL:
        if name in members and is_null(members[name]):
            del members[name]
    if at is not None and is_null(members.get("index")):
        members["index"] = Raw(b"%d" % at)
    if "function" in members:
        function = decode_members(members["function"])
        members["function"] = Raw(
            _encode({name: value for name, value in function.items() if name not in _NO_NULL_IN_FUNCTION or not is_null(value)})
        )
    return _encode(members)
