"""A Chat request → Converse's. The model stands in the path, and whether it streams too."""

from typing import Any, Final

from msgspec import Raw

from routing.translate import Target, Translated
from routing.translate.chat_on_converse.messages import Conversation, cache_point
from routing.translate.chat_on_converse.parameters import LEDGER
from routing.translate.chat_on_messages.parameters import traits_of
from routing.translate.chat_on_messages.thinking import thinking_of
from routing.translate.chat_tools import choice_of, form_of, function_of
from routing.translate.reader import Reader, encode, is_absent
from routing.translate.thoughts import reasoning_of
from routing.wire.members import Members

_FUNCTION: Final = frozenset(("name", "description", "parameters", "strict"))
_TIERS: Final = frozenset(("flex", "priority"))
CAP_UNKNOWN: Final = 8_192


def request(body: bytes, target: Target) -> Translated:
    """Invalid."""
    reader = Reader(target)
    members, sent = reader.top(body, LEDGER)
    conversation = Conversation(reader)
    conversation.read(reader.needed(members, "messages"))
    if conversation.system:
        sent["system"] = Raw(b"[%b]" % b",".join(conversation.system))
    sent["messages"] = Raw(conversation.json())
    _add_tools(sent, members, reader, has_calls=conversation.has_calls)
    _add_config(sent, members, reader)
    _add_own_fields(sent, members, reader)
    _add_format(sent, members, reader)
    tier = reader.text(members.get("service_tier"), "service_tier")
    if tier in _TIERS:
        sent["serviceTier"] = Raw(b'{"type":"%b"}' % tier.encode())
    elif tier:
        raise reader.unsupported("service_tier", "it knows 'default', 'flex' and 'priority'")
    return Translated(encode(sent), tuple(reader.ignored))


def _cap(members: Members, reader: Reader) -> int | None:
    cap = reader.cap(members)
    return cap or reader.target.max_output_tokens


def _add_tools(sent: Members, members: Members, reader: Reader, *, has_calls: bool) -> None:
    tools: list[dict[str, Any]] = []
    choice = choice_of(members.get("tool_choice"), reader)
    for at, tool in enumerate(reader.objects(members["tools"], "tools") if "tools" in members else ()):
        path = f"tools[{at}]"
        function = function_of(tool, path, reader)
        if function is None or not choice.allows(reader.text(function.get("name"), f"{path}.function.name")):
            continue
        reader.rest(function, _FUNCTION, f"{path}.function")
        reader.rest(tool, frozenset(("type", "function", "cache_control")), path)
        spec: dict[str, Any] = {name: function[name] for name in ("name", "description") if not is_absent(function.get(name))}
        schema = function.get("parameters")
        empty = schema is None or bytes(schema) in (b"null", b"{}")
        spec["inputSchema"] = {"json": Raw(b'{"type":"object","properties":{}}') if empty else schema}
        if bytes(function.get("strict", b"false")) == b"true":
            spec["strict"] = True
        tools.append({"toolSpec": spec})
        tools += [Raw(point) for point in cache_point(tool.get("cache_control"))]  # type: ignore[misc]
    if choice.mode == "none" and not has_calls:
        # It has no way to say so; without tools nothing can be called.
        tools = []
    elif choice.mode == "none" and tools:
        raise reader.unsupported(
            "tool_choice", "with calls in the history it wants the tools, and then may call them; send 'auto'"
        )
    if not tools:
        if has_calls:
            raise reader.unsupported("tools", "with calls in the history it wants the tools that were called; send them")
        return
    config: dict[str, Any] = {"tools": tools}
    if choice.mode in ("auto", "required"):
        config["toolChoice"] = {"auto" if choice.mode == "auto" else "any": {}}
    elif choice.mode == "function":
        config["toolChoice"] = {"tool": {"name": choice.name}}
    sent["toolConfig"] = Raw(encode(config))


def _add_config(sent: Members, members: Members, reader: Reader) -> None:
    config: dict[str, Any] = {}
    if (cap := _cap(members, reader)) is not None:
        config["maxTokens"] = cap
    if "temperature" in members:
        if reader.number(members["temperature"], "temperature") > 1:
            raise reader.unsupported(
                "temperature", "it takes 0 to 1, and a smaller value than was asked for would be another answer"
            )
        config["temperature"] = members["temperature"]
    if "top_p" in members:
        config["topP"] = members["top_p"]
    if "stop" in members:
        config["stopSequences"] = reader.strings(members["stop"], "stop")
    if config:
        sent["inferenceConfig"] = Raw(encode(config))


def _add_own_fields(sent: Members, members: Members, reader: Reader) -> None:
    """What only some models know: Claude's are Anthropic's own members."""
    is_claude = "claude" in reader.target.model
    fields: Members = {}
    if "top_k" in members:
        if not is_claude:
            raise reader.unsupported("top_k", "leave it out")
        fields["top_k"] = members["top_k"]
    if is_claude:
        traits = reader.target.traits if reader.target.traits is not None else traits_of(reader.target.model)
        thinking: Members = {"max_tokens": Raw(b"%d" % (_cap(members, reader) or CAP_UNKNOWN))}
        thinking_of(thinking, members, reader, traits)
        fields |= {name: raw for name, raw in thinking.items() if name != "max_tokens"}
    else:
        asked = reasoning_of(members, reader, can_exclude=False)
        if not asked.says_nothing and not asked.is_off:
            reader.decline("reasoning" if "reasoning" in members else "reasoning_effort")
    if fields:
        sent["additionalModelRequestFields"] = Raw(encode(fields))


def _add_format(sent: Members, members: Members, reader: Reader) -> None:
    if (raw := members.get("response_format")) is None:
        return
    form = form_of(raw, reader, frozenset(("description",)))
    match form.kind:
        case "text":
            return
        case "json_schema":
            given = form.schema
            schema: dict[str, Any] = {"schema": reader.written(given["schema"], "response_format.json_schema.schema")}
            schema |= {name: given[name] for name in ("name", "description") if not is_absent(given.get(name))}
            text = {"type": "json_schema", "structure": {"jsonSchema": schema}}
            sent["outputConfig"] = Raw(encode({"textFormat": text}))
        case _:
            raise reader.unsupported("response_format", "send a 'json_schema', which it takes")
