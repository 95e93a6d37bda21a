"""A Chat request → Responses, which keeps nothing: `store` is always false."""

from typing import Any, Final

from msgspec import Raw

from routing.translate import Target, Translated
from routing.translate.chat_on_responses.items import Items
from routing.translate.chat_on_responses.parameters import LEDGER
from routing.translate.chat_tools import choice_of, form_of, function_of
from routing.translate.reader import Reader, encode, is_absent
from routing.translate.thoughts import effort_of, reasoning_of
from routing.wire.members import Members

_FUNCTION: Final = frozenset(("name", "description", "parameters", "strict"))
_SCHEMA: Final = ("name", "description", "schema", "strict")
CAP_UNKNOWN: Final = 16_384


def request(body: bytes, target: Target) -> Translated:
    """Invalid."""
    reader = Reader(target)
    members, copied = reader.top(body, LEDGER)
    items = Items(reader)
    items.read(reader.needed(members, "messages"))
    sent: Members = {"model": Raw(encode(target.model)), "input": Raw(b"[%b]" % b",".join(items.out)), "store": Raw(b"false")}
    cap = reader.cap(members)
    if cap is not None:
        sent["max_output_tokens"] = Raw(b"%d" % cap)
    _add_tools(sent, members, reader)
    if "tools" not in sent:
        copied.pop("parallel_tool_calls", None)
    sent |= copied
    _add_text(sent, members, reader)
    _add_reasoning(sent, members, reader, cap or target.max_output_tokens or CAP_UNKNOWN)
    return Translated(encode(sent), tuple(reader.ignored))


def _add_tools(sent: Members, members: Members, reader: Reader) -> None:
    tools: list[dict[str, Any]] = []
    choice = choice_of(members.get("tool_choice"), reader)
    for at, tool in enumerate(reader.objects(members["tools"], "tools") if "tools" in members else ()):
        path = f"tools[{at}]"
        function = function_of(tool, path, reader)
        if function is None or not choice.allows(reader.text(function.get("name"), f"{path}.function.name")):
            continue
        reader.rest(function, _FUNCTION, f"{path}.function")
        reader.rest(tool, frozenset(("type", "function")), path)
        made: dict[str, Any] = {"type": "function"}
        made |= {name: function[name] for name in ("name", "description", "parameters") if not is_absent(function.get(name))}
        made.setdefault("parameters", None)
        # There, what is not said is strict; in Chat it is not.
        made["strict"] = bytes(function.get("strict", b"false")) == b"true"
        tools.append(made)
    if not tools:
        return
    sent["tools"] = Raw(encode(tools))
    if choice.mode == "function":
        sent["tool_choice"] = Raw(encode({"type": "function", "name": choice.name}))
    elif choice.mode:
        sent["tool_choice"] = Raw(encode(choice.mode))


def _add_text(sent: Members, members: Members, reader: Reader) -> None:
    text: dict[str, Any] = {}
    if "verbosity" in members:
        text["verbosity"] = members["verbosity"]
    if (raw := members.get("response_format")) is not None:
        form = form_of(raw, reader, frozenset(("description",)))
        if form.kind not in ("text", "json_object", "json_schema"):
            raise reader.unsupported("response_format", f"it has no format of type '{form.kind[:40]}'")
        schema = {name: form.schema[name] for name in _SCHEMA if not is_absent(form.schema.get(name))}
        text["format"] = {"type": form.kind, **schema}
    if text:
        sent["text"] = Raw(encode(text))


def _add_reasoning(sent: Members, members: Members, reader: Reader, cap: int) -> None:
    asked = reasoning_of(members, reader, has_summary=True)
    if asked.says_nothing and not asked.is_off:
        return
    reasoning: dict[str, Any] = {}
    if asked.is_off:
        reasoning["effort"] = "none"
    elif asked.effort is not None:
        reasoning["effort"] = "xhigh" if asked.effort == "max" else asked.effort
    elif asked.max_tokens is not None:
        reasoning["effort"] = effort_of(asked.max_tokens, cap)
    if not asked.is_off:
        if not asked.exclude:
            reasoning["summary"] = asked.summary or "auto"
        sent["include"] = Raw(b'["reasoning.encrypted_content"]')
    sent["reasoning"] = Raw(encode(reasoning))
