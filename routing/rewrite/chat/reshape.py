"""One answer in its two shapes, whole and streamed: for a provider that sends the other one than it was asked for.

Strategy: both ways lead through what a provider could have sent, so everything behind them (our names, usage, metering) is the
one path. `[DONE]` stands at the end of the events of a whole answer: that it is whole is known.
Limits: of a stream only chunks are read; texts of one name are joined, tool calls by their index, lists one behind the other.
"""

import re
from typing import Any, Literal

import msgspec
from msgspec import Raw

from routing.wire.lenient_view import dumped, loaded
from routing.wire.members import REFUSED, Members
from routing.wire.repair import BOM, Reading, sound_form

_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b"error:", b":")
_COMMON = ("id", "created", "model", "system_fingerprint", "service_tier")
_DATA = re.compile(rb"^data:[ ]?(\{.*\})[ \t]*\r?$", re.MULTILINE)
_encode = msgspec.json.encode
_decode_list = msgspec.json.Decoder(list[Members]).decode
_NULL = Raw(b"null")


def shape_of(head: bytes) -> Literal["stream", "whole", ""]:
    """What a body is that begins so; empty when more has to come to tell."""
    if head[:1] == b"{":
        return "whole"
    head = head.lstrip().removeprefix(BOM).lstrip()
    if not head or BOM.startswith(head):
        return ""
    if head.startswith(_FIELDS):
        return "stream"
    return "" if any(field.startswith(head) for field in _FIELDS) else "whole"


def events_of(body: bytes, reading: Reading) -> bytes:
    """The stream that says what a whole answer says. `reading` is the answer's, which has choices."""
    if reading.is_repaired:
        body = sound_form(body)
        reading = msgspec.structs.replace(reading, members=msgspec.json.decode(body, type=Members))
    members = reading.members
    common = {name: members[name] for name in _COMMON if name in members}
    common["object"] = Raw(b'"chat.completion.chunk"')
    rest = {name: raw for name, raw in members.items() if name not in (*_COMMON, "object", "choices", "usage")}
    said, ends = [], []
    try:
        choices = _decode_list(members["choices"])
    except REFUSED:
        choices = []
    for at, choice in enumerate(choices):
        index = choice.get("index", Raw(b"%d" % at))
        finish = choice.get("finish_reason", _NULL)
        more = {name: raw for name, raw in choice.items() if name not in ("index", "finish_reason", "message", "usage")}
        delta = _delta_of(choice.get("message", Raw(b"{}")))
        said.append({**more, "index": index, "delta": delta, "finish_reason": _NULL})
        ends.append(
            {"index": index, "delta": Raw(b"{}"), "finish_reason": Raw(b'"stop"') if bytes(finish) == b"null" else finish}
        )
    events = [{**common, **rest, "choices": [choice]} for choice in said] + [{**common, "choices": [choice]} for choice in ends]
    if usage := reading.usage:
        events.append({**common, "choices": [], "usage": Raw(usage)})
    # A line break in JSON is white space; in an event it would end the line.
    lines = [_encode(event).replace(b"\n", b" ").replace(b"\r", b" ") for event in events]
    return b"".join([b"data: %b\n\n" % line for line in lines]) + b"data: [DONE]\n\n"


def _delta_of(message: Raw) -> Raw:
    """A message as a delta: its tool calls are numbered."""
    try:
        members = msgspec.json.decode(message, type=Members)
        calls = members.get("tool_calls", _NULL)
        if bytes(calls) != b"null":
            numbered = [{"index": Raw(b"%d" % at)} | call for at, call in enumerate(_decode_list(calls))]
            members["tool_calls"] = Raw(_encode(numbered))
    except REFUSED:
        return message
    return Raw(_encode(members))


def answer_of(stream: bytes) -> bytes:
    """The whole answer that the chunks of a stream make."""
    answer: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for payload in _DATA.findall(stream):
        chunk = loaded(payload)
        if not isinstance(chunk, dict):
            continue
        for name, value in chunk.items():
            if name != "choices" and value is not None:
                answer[name] = value
        told = chunk.get("choices")
        for choice in told if isinstance(told, list) else ():
            if isinstance(choice, dict):
                index = choice.get("index")
                index = index if isinstance(index, int) else 0
                _add_choice(choices.setdefault(index, {"index": index, "message": {}, "finish_reason": None}), choice)
    answer["object"] = "chat.completion"
    answer["choices"] = [choices[index] for index in sorted(choices)]
    for choice in answer["choices"]:
        choice["message"] = {"role": "assistant", "content": None, **choice["message"]}
    # In ASCII: two halves of a surrogate pair are one character again.
    return dumped(answer)


def _add_choice(whole: dict[str, Any], choice: dict[str, Any]) -> None:
    for name, value in choice.items():
        if name == "delta" and isinstance(value, dict):
            _add(whole["message"], value)
        elif name == "logprobs" and isinstance(value, dict):
            _add(whole.setdefault("logprobs", {}), value)
        elif name not in ("index", "delta", "usage", "logprobs") and value is not None:
            whole[name] = value


def _add(whole: dict[str, Any], part: dict[str, Any]) -> None:
    for name, value in part.items():
        known = whole.get(name)
        if name == "tool_calls" and isinstance(value, list):
            _add_calls(whole.setdefault(name, []), value)
        elif isinstance(value, str) and isinstance(known, str) and name not in ("role", "id", "type"):
            whole[name] = known + value
        elif isinstance(value, list) and isinstance(known, list):
            known.extend(value)
        elif isinstance(value, dict) and isinstance(known, dict):
            _add(known, value)
        elif value is not None and (value != "" or known is None):
            whole[name] = value


def _add_calls(calls: list[dict[str, Any]], parts: list[Any]) -> None:
    for part in parts:
        if not isinstance(part, dict):
            continue
        index = part.get("index")
        # Gemini's layer sends whole calls without an index: each id is a call of its own.
        if not isinstance(index, int) or index < 0:
            index = len(calls) if part.get("id") or not calls else len(calls) - 1
        at = min(index, len(calls))
        if at == len(calls):
            calls.append({})
        _add(calls[at], {name: value for name, value in part.items() if name != "index"})
