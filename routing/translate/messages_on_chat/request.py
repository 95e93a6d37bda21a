"""A Messages request → Chat's.

Rule: a block that Chat can say is said, at its place; what only another provider's format can say (cache marks, signatures) is
kept where a pair for that follows (`routing.translate.HUB`) and declined elsewhere.
"""

from typing import Any, Final

from msgspec import Raw

from routing.translate import Target, Translated
from routing.translate.chat_traits import traits_of
from routing.translate.messages_on_chat.parameters import LEDGER
from routing.translate.messages_on_chat.turns import Turns
from routing.translate.reader import QUOTE, Reader, encode, is_absent, kind_of
from routing.translate.tool_ids import named
from routing.wire.members import Members

_TOOL: Final = frozenset(("type", "name", "description", "input_schema", "strict", "cache_control"))
_TIERS: Final = {"auto": "auto", "standard_only": "default"}
USER_CHARS_MAX: Final = 64
"""Of `user` at OpenAI; what is longer (Claude Code's is a document) is declined."""
STOPS_MAX: Final = 4


def request(body: bytes, target: Target) -> Translated:
    """Invalid."""
    reader = Reader(target)
    members, copied = reader.top(body, LEDGER)
    traits = traits_of(target)
    names: dict[str, str] = {}
    sent: Members = {"model": members.get("model", Raw(b'""'))}
    if "messages" not in members:
        raise reader.wrong("messages", "a list of at least one message")
    turns = Turns(reader, traits, names)
    turns.instruct(members.get("system"))
    turns.read(members["messages"])
    sent["messages"] = Raw(b"[%b]" % b",".join(turns.out))
    _add_tools(sent, members, reader, traits, names)
    for name in ("max_tokens", "stream"):
        if name in members:
            sent[name] = members[name]
    if bytes(members.get("max_tokens", b"")) == b"0":
        raise reader.unsupported("max_tokens", "0 fills Anthropic's cache and answers nothing; send at least 1")
    if "cache_control" not in traits and copied.pop("cache_control", None) is not None:
        reader.decline("cache_control")
    sent |= copied
    _add_stops(sent, members, reader)
    _add_output(sent, members, reader)
    _add_user(sent, members, reader)
    if tier := reader.text(members.get("service_tier"), "service_tier"):
        if tier not in _TIERS:
            raise reader.wrong("service_tier", "'auto' or 'standard_only'")
        sent["service_tier"] = Raw(encode(_TIERS[tier]))
    return Translated(encode(sent), tuple(reader.ignored), names or None)


def _add_tools(sent: Members, members: Members, reader: Reader, traits: frozenset[str], names: dict[str, str]) -> None:
    tools: list[dict[str, Any]] = []
    for at, tool in enumerate(reader.objects(members["tools"], "tools") if "tools" in members else ()):
        path = f"tools[{at}]"
        if reader.text(tool.get("type"), f"{path}.type") not in ("", "custom"):
            # One that Anthropic runs, or describes: the model may do without.
            reader.decline(path)
            continue
        reader.rest(tool, _TOOL, "tools[]")
        function: dict[str, Any] = {"name": named(reader.text(tool.get("name"), f"{path}.name"), names)}
        function |= {name: tool[name] for name in ("description", "strict") if not is_absent(tool.get(name))}
        if not is_absent(schema := tool.get("input_schema")):
            function["parameters"] = schema
        made: dict[str, Any] = {"type": "function", "function": function}
        if not is_absent(mark := tool.get("cache_control")):
            if "cache_control" in traits:
                made["cache_control"] = mark
            else:
                reader.decline("tools[].cache_control")
        tools.append(made)
    _add_choice(sent, members, reader, names, has_tools=bool(tools))
    if tools:
        sent["tools"] = Raw(encode(tools))


def _add_choice(sent: Members, members: Members, reader: Reader, names: dict[str, str], *, has_tools: bool) -> None:
    if is_absent(raw := members.get("tool_choice")):
        return
    assert raw is not None
    asked = reader.object(raw, "tool_choice")
    reader.rest(asked, frozenset(("type", "name", "disable_parallel_tool_use")), "tool_choice")
    kind = reader.text(asked.get("type"), "tool_choice.type")
    said: Any = {"auto": "auto", "any": "required", "none": "none", "tool": "function"}.get(kind)
    if said is None:
        raise reader.wrong("tool_choice.type", "'auto', 'any', 'tool' or 'none'")
    if not has_tools:
        if said in ("required", "function"):
            raise reader.unsupported("tool_choice", "none of the tools that it could choose is known there")
        return
    if said == "function":
        name = named(reader.text(asked.get("name"), "tool_choice.name"), names)
        said = {"type": "function", "function": {"name": name}}
    sent["tool_choice"] = Raw(encode(said))
    if bytes(asked.get("disable_parallel_tool_use", b"false")) == b"true":
        sent["parallel_tool_calls"] = Raw(b"false")


def _add_stops(sent: Members, members: Members, reader: Reader) -> None:
    if is_absent(raw := members.get("stop_sequences")):
        return
    assert raw is not None
    stops = reader.strings(raw, "stop_sequences")
    if len(stops) > STOPS_MAX:
        raise reader.unsupported("stop_sequences", f"it takes up to {STOPS_MAX}")
    if stops:
        sent["stop"] = Raw(encode(stops))


def _add_output(sent: Members, members: Members, reader: Reader) -> None:
    """How hard to think, and the form of the answer."""
    reasoning: dict[str, Any] = {}
    config = reader.object(members["output_config"], "output_config") if not is_absent(members.get("output_config")) else {}
    reader.rest(config, frozenset(("effort", "format")), "output_config")
    if not is_absent(raw := members.get("thinking")):
        assert raw is not None
        asked = reader.object(raw, "thinking")
        reader.rest(asked, frozenset(("type", "budget_tokens", "display")), "thinking")
        kind = reader.text(asked.get("type"), "thinking.type")
        if kind != "enabled" and not is_absent(asked.get("budget_tokens")):
            reader.decline("thinking.budget_tokens")
        if reader.text(asked.get("display"), "thinking.display") == "omitted":
            reasoning["exclude"] = True
        if kind == "enabled":
            reasoning["max_tokens"] = 1_024 if is_absent(asked.get("budget_tokens")) else asked["budget_tokens"]
        elif kind in ("adaptive", "between_tools"):
            reasoning["enabled"] = True
            if kind == "between_tools":
                reader.decline("thinking.type")
        elif kind == "disabled":
            # As without the member: a model that always thinks is not refused for it.
            reasoning.clear()
            reader.decline("thinking.type")
        else:
            raise reader.wrong("thinking.type", "'enabled', 'adaptive' or 'disabled'")
    if effort := reader.text(config.get("effort"), "output_config.effort"):
        if isinstance(reasoning.pop("max_tokens", None), Raw):
            reader.decline("thinking.budget_tokens")
        reasoning["effort"] = effort
    if reasoning.keys() - {"exclude"}:
        sent["reasoning"] = Raw(encode(reasoning))
    form = config.get("format") if not is_absent(config.get("format")) else members.get("output_format")
    if form is not None and not is_absent(form):
        asked = reader.object(form, "output_config.format")
        reader.rest(asked, frozenset(("type", "schema")), "output_config.format")
        if reader.text(asked.get("type"), "output_config.format.type") != "json_schema":
            raise reader.unsupported("output_config.format", "it takes a 'json_schema'")
        schema = bytes(asked.get("schema", b"{}"))
        named_schema = b'{"type":"json_schema","json_schema":{"name":"answer","strict":true,"schema":%b}}' % schema
        sent["response_format"] = Raw(named_schema)


def _add_user(sent: Members, members: Members, reader: Reader) -> None:
    if is_absent(raw := members.get("metadata")):
        return
    assert raw is not None
    metadata = reader.object(raw, "metadata")
    reader.rest(metadata, frozenset(("user_id",)), "metadata")
    user = metadata.get("user_id")
    if user is not None and kind_of(user) == QUOTE and len(user) <= USER_CHARS_MAX + 2:
        sent["user"] = user
    elif not is_absent(user):
        reader.decline("metadata.user_id")
