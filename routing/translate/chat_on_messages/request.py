"""A Chat request → Anthropic's Messages.

Source: Anthropic's Messages reference, version 2023-06-01, which translated requests are sent with.
Traps: `max_tokens` is required, and 0 means "fill the cache and answer nothing"; all results of one turn's tools stand in one
user turn; empty texts are refused; thinking blocks stand first, in order, with their signatures.
"""

from typing import Any, Final

from msgspec import Raw

from routing.translate import Target, Translated
from routing.translate.chat_on_messages.messages import Conversation
from routing.translate.chat_on_messages.parameters import LEDGER, traits_of
from routing.translate.chat_on_messages.thinking import thinking_of
from routing.translate.chat_tools import Choice, choice_of, form_of, function_of
from routing.translate.reader import Reader, encode, is_absent
from routing.wire.members import Members

MAX_TOKENS_UNKNOWN: Final = 8_192
"""Of a model whose own maximum the table does not say: what every Claude since 3.5 gives."""
_NO_PARAMETERS: Final = Raw(b'{"type":"object","properties":{}}')
_TOOL: Final = frozenset(("type", "function", "cache_control"))
_FUNCTION: Final = frozenset(("name", "description", "parameters", "strict"))


def request(body: bytes, target: Target) -> Translated:
    """Invalid."""
    reader = Reader(target)
    members, sent = reader.top(body, LEDGER)
    traits = target.traits if target.traits is not None else traits_of(target.model)
    sent = {"model": Raw(encode(target.model)), "max_tokens": Raw(b"%d" % _cap(members, target, reader)), **sent}
    conversation = Conversation(reader, "mid_system" in traits)
    conversation.read(reader.needed(members, "messages"))
    if conversation.system:
        sent["system"] = Raw(b"[%b]" % b",".join(conversation.system))
    sent["messages"] = Raw(conversation.json())
    _add_tools(sent, members, reader, traits)
    _add_sampling(sent, members, reader, traits)
    _add_format(sent, members, reader, traits)
    thinking_of(sent, members, reader, traits)
    named = {name: reader.literal(members[name], name) for name in ("safety_identifier", "user") if name in members}
    if named:
        sent["metadata"] = Raw(b'{"user_id":%b}' % next(iter(named.values())))
    if len(set(named.values())) > 1:
        reader.decline("user")
    if reader.text(members.get("service_tier"), "service_tier"):
        # Those that mean the plain price say nothing, and are gone by here.
        raise reader.unsupported("service_tier", "it knows 'auto' and 'default'")
    return Translated(encode(sent), tuple(reader.ignored))


def _cap(members: Members, target: Target, reader: Reader) -> int:
    """The output cap, which has to be there and must not be 0."""
    cap = reader.cap(members)
    return cap or target.max_output_tokens or MAX_TOKENS_UNKNOWN


def _add_tools(sent: Members, members: Members, reader: Reader, traits: frozenset[str]) -> None:
    tools: list[dict[str, Any]] = []
    choice = choice_of(members.get("tool_choice"), reader)
    for at, tool in enumerate(reader.objects(members["tools"], "tools") if "tools" in members else ()):
        path = f"tools[{at}]"
        function = function_of(tool, path, reader)
        if function is None or not choice.allows(reader.text(function.get("name"), f"{path}.function.name")):
            continue
        reader.rest(tool, _TOOL, path)
        reader.rest(function, _FUNCTION, f"{path}.function")
        made: dict[str, Any] = {
            name: function[name] for name in ("name", "description", "strict") if not is_absent(function.get(name))
        }
        schema = function.get("parameters")
        made["input_schema"] = _NO_PARAMETERS if schema is None or bytes(schema) in (b"null", b"{}") else schema
        if not is_absent(mark := tool.get("cache_control")):
            made["cache_control"] = mark
        tools.append(made)
    if "web_search_options" in members:
        if "web_search" not in traits:
            raise reader.unsupported("web_search_options", "leave it out")
        tools.append({"type": "web_search_20250305", "name": "web_search", "max_uses": 5})
    if tools:
        sent["tools"] = Raw(encode(tools))
        _add_choice(sent, members, choice)


def _add_choice(sent: Members, members: Members, choice: Choice) -> None:
    is_serial = bytes(members.get("parallel_tool_calls", b"true")) == b"false"
    kind = {"none": "none", "required": "any", "function": "tool"}.get(choice.mode, "auto")
    said: dict[str, Any] = {"type": kind}
    if choice.mode == "function":
        said["name"] = choice.name
    if is_serial and kind != "none":
        said["disable_parallel_tool_use"] = True
    if choice.mode or is_serial:
        sent["tool_choice"] = Raw(encode(said))


def _add_sampling(sent: Members, members: Members, reader: Reader, traits: frozenset[str]) -> None:
    for name in ("temperature", "top_p"):
        raw = members.get(name)
        if raw is None:
            continue
        value = reader.number(raw, name)
        if "no_sampling" in traits:
            if value == 1:
                continue
            raise reader.unsupported(name, "this model samples in its own way; leave it out")
        if name == "temperature" and value > 1:
            raise reader.unsupported(name, "it takes 0 to 1, and a smaller value than was asked for would be another answer")
        sent[name] = raw
    if "top_k" in sent and "no_sampling" in traits:
        raise reader.unsupported("top_k", "this model samples in its own way; leave it out")
    if (stop := members.get("stop")) is not None:
        stops = reader.strings(stop, "stop")
        if any(not each.strip() for each in stops):
            raise reader.unsupported("stop", "a stop sequence there must not be white space only")
        sent["stop_sequences"] = Raw(encode(stops))


def _add_format(sent: Members, members: Members, reader: Reader, traits: frozenset[str]) -> None:
    if (raw := members.get("response_format")) is None:
        return
    form = form_of(raw, reader)
    match form.kind:
        case "text":
            return
        case "json_schema" if "structured" in traits:
            sent["output_config"] = Raw(b'{"format":{"type":"json_schema","schema":%b}}' % bytes(form.schema["schema"]))
        case "json_schema":
            raise reader.unsupported("response_format", "this model takes no schema; ask for a tool with that schema instead")
        case _:
            raise reader.unsupported("response_format", "send a 'json_schema', which it takes")
