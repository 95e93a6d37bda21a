"""A Chat request → Cohere's `/v2/chat`, whose messages are nearly Chat's: a thought before calls is their `tool_plan`.

Limits: a choice of one tool has no counterpart; "auto" is said by saying nothing.
"""

from typing import Any, Final

from msgspec import Raw

from routing.translate import Target, Translated
from routing.translate.chat_on_cohere.parameters import LEDGER
from routing.translate.chat_tools import choice_of, form_of, function_of
from routing.translate.conversation import Part, Turn, decline_thoughts, say_error, unmarked_turns_of
from routing.translate.reader import Reader, encode, is_absent, joined
from routing.translate.thoughts import SHARES, reasoning_of
from routing.wire.members import Members

_FUNCTION: Final = frozenset(("name", "description", "parameters", "strict"))
CAP_UNKNOWN: Final = 8_192


def request(body: bytes, target: Target) -> Translated:
    """Invalid."""
    reader = Reader(target)
    members, copied = reader.top(body, LEDGER)
    messages = [_message(turn, reader) for turn in unmarked_turns_of(reader.needed(members, "messages"), reader)]
    sent: Members = {"model": Raw(encode(target.model)), "messages": Raw(encode([each for each in messages if each]))}
    cap = reader.cap(members)
    if cap is not None:
        sent["max_tokens"] = Raw(b"%d" % cap)
    sent |= copied
    if "stop" in members:
        sent["stop_sequences"] = Raw(encode(reader.strings(members["stop"], "stop")))
    _add_tools(sent, members, reader)
    _add_format(sent, members, reader)
    asked = reasoning_of(members, reader, can_exclude=False)
    if asked.is_off:
        sent["thinking"] = Raw(b'{"type":"disabled"}')
    elif not asked.says_nothing:
        cap = cap or target.max_output_tokens or CAP_UNKNOWN
        budget = asked.max_tokens if asked.max_tokens is not None else int(cap * SHARES[asked.effort or "medium"])
        sent["thinking"] = Raw(b'{"type":"enabled","token_budget":%d}' % max(budget, 1))
    return Translated(encode(sent), tuple(reader.ignored))


def _message(turn: Turn, reader: Reader) -> dict[str, Any]:
    """Nothing for a message that says nothing."""
    if turn.role == "tool":
        if any(part.media is not None for part in turn.parts):
            raise reader.unsupported(f"{turn.path}.content", "a result there is text only")
        say_error(turn)
        text = joined(turn.texts) if turn.texts else b'""'
        return {"role": "tool", "tool_call_id": turn.call_id, "content": Raw(text)}
    message: dict[str, Any] = {"role": turn.role}
    if turn.parts:
        message["content"] = Raw(_content(turn, reader))
    if turn.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments.decode()}}
            for call in turn.calls
        ]
        if turn.thought:
            message["tool_plan"] = Raw(turn.thought)
            turn = Turn(turn.role, turn.path, turn.parts, turn.calls, [each for each in turn.details if each.format])
    decline_thoughts(turn, reader)
    return message if len(message) > 1 else {}


def _content(turn: Turn, reader: Reader) -> bytes:
    if len(turn.parts) == 1 and turn.parts[0].text:
        return turn.parts[0].text
    return b"[%b]" % b",".join([_part(part, reader) for part in turn.parts])


def _part(part: Part, reader: Reader) -> bytes:
    media = part.media
    if media is None:
        return b'{"type":"text","text":%b}' % part.text
    if media.kind != "image":
        raise reader.unsupported(part.path, f"it does not take {media.kind}")
    detail = b',"detail":%b' % media.detail if media.detail else b""
    if media.url and not reader.target.fetches_urls:
        raise reader.unsupported(part.path, "it fetches nothing; send the data itself as 'data:…;base64,…'")
    url = media.url or b'"data:%b;base64,%b"' % (media.mime.encode(), media.data[1:-1])
    return b'{"type":"image_url","image_url":{"url":%b%b}}' % (url, detail)


def _add_tools(sent: Members, members: Members, reader: Reader) -> None:
    tools: list[dict[str, Any]] = []
    is_strict = False
    choice = choice_of(members.get("tool_choice"), reader)
    for at, tool in enumerate(reader.objects(members["tools"], "tools") if "tools" in members else ()):
        path = f"tools[{at}]"
        function = function_of(tool, path, reader)
        if function is None or not choice.allows(reader.text(function.get("name"), f"{path}.function.name")):
            continue
        reader.rest(function, _FUNCTION, f"{path}.function")
        reader.rest(tool, frozenset(("type", "function")), path)
        is_strict = is_strict or bytes(function.get("strict", b"false")) == b"true"
        made = {name: function[name] for name in ("name", "description", "parameters") if not is_absent(function.get(name))}
        tools.append({"type": "function", "function": made})
    if not tools:
        return
    sent["tools"] = Raw(encode(tools))
    if is_strict:
        sent["strict_tools"] = Raw(b"true")
    if choice.mode == "function":
        raise reader.unsupported("tool_choice", "it cannot be told which tool; send that tool alone and 'required'")
    if choice.mode in ("none", "required"):
        sent["tool_choice"] = Raw(encode(choice.mode.upper()))


def _add_format(sent: Members, members: Members, reader: Reader) -> None:
    if (raw := members.get("response_format")) is None:
        return
    form = form_of(raw, reader)
    match form.kind:
        case "text":
            return
        case "json_object":
            sent["response_format"] = Raw(b'{"type":"json_object"}')
        case "json_schema":
            sent["response_format"] = Raw(b'{"type":"json_object","json_schema":%b}' % bytes(form.schema["schema"]))
        case _:
            raise reader.unsupported("response_format", f"it has no format of type '{form.kind[:40]}'")
