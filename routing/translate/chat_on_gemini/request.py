"""A Chat request → Gemini's generateContent. The model stands in the path, and whether it streams too.

Rule: schemas go out as they came, in the members for JSON schemas: Google's own `Schema` has no place for half of what they say.
"""

from typing import Any, Final

from msgspec import Raw

from routing.translate import Target, Translated
from routing.translate.chat_on_gemini.contents import Contents
from routing.translate.chat_on_gemini.parameters import CONFIG, LEDGER, traits_of
from routing.translate.chat_tools import choice_of, form_of, function_of
from routing.translate.reader import Reader, encode, is_absent
from routing.translate.thoughts import SHARES, effort_of, reasoning_of
from routing.wire.members import Members

_MODES: Final = {"none": "NONE", "auto": "AUTO", "required": "ANY", "function": "ANY"}
_LEVELS: Final = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "XHIGH", "max": "XHIGH"}
_TIERS: Final = {"flex": "FLEX", "priority": "PRIORITY"}
_FUNCTION: Final = frozenset(("name", "description", "parameters", "strict"))
BUDGET_MIN: Final = 128
BUDGET_MAX: Final = 24_576
CAP_UNKNOWN: Final = 65_536


def request(body: bytes, target: Target) -> Translated:
    """Invalid."""
    reader = Reader(target)
    members, _ = reader.top(body, LEDGER)
    traits = target.traits if target.traits is not None else traits_of(target.model)
    contents = Contents(reader, "signatures" in traits)
    contents.read(reader.needed(members, "messages"))
    sent: Members = {}
    if contents.system:
        sent["systemInstruction"] = Raw(b'{"parts":[%b]}' % b",".join(contents.system))
    sent["contents"] = Raw(b"[%b]" % b",".join(contents.out))
    _add_tools(sent, members, reader)
    config = _config(members, reader)
    _add_thinking(config, members, reader, traits)
    if config:
        sent["generationConfig"] = Raw(encode(config))
    tier = reader.text(members.get("service_tier"), "service_tier")
    if tier in _TIERS:
        sent["serviceTier"] = Raw(encode(_TIERS[tier]))
    elif tier:
        raise reader.unsupported("service_tier", "it knows 'default', 'flex' and 'priority'")
    return Translated(encode(sent), tuple(reader.ignored))


def _add_tools(sent: Members, members: Members, reader: Reader) -> None:
    declared: list[dict[str, Any]] = []
    choice = choice_of(members.get("tool_choice"), reader)
    for at, tool in enumerate(reader.objects(members["tools"], "tools") if "tools" in members else ()):
        path = f"tools[{at}]"
        function = function_of(tool, path, reader)
        if function is None or not choice.allows(reader.text(function.get("name"), f"{path}.function.name")):
            continue
        reader.rest(function, _FUNCTION, f"{path}.function")
        reader.rest(tool, frozenset(("type", "function")), path)
        made = {name: function[name] for name in ("name", "description") if not is_absent(function.get(name))}
        if bytes(function.get("strict", b"false")) == b"true":
            reader.decline("tools[].function.strict")
        schema = function.get("parameters")
        if schema is not None and bytes(schema) not in (b"null", b"{}"):
            made["parametersJsonSchema"] = schema
        declared.append(made)
    if not declared:
        return
    sent["tools"] = Raw(encode([{"functionDeclarations": declared}]))
    if choice.mode:
        calling: dict[str, Any] = {"mode": _MODES.get(choice.mode, "AUTO")}
        if choice.name:
            calling["allowedFunctionNames"] = [choice.name]
        sent["toolConfig"] = Raw(encode({"functionCallingConfig": calling}))


def _config(members: Members, reader: Reader) -> dict[str, Any]:
    config: dict[str, Any] = {there: members[here] for here, there in CONFIG.items() if here in members}
    cap = reader.cap(members)
    if cap is not None:
        config["maxOutputTokens"] = cap
    elif reader.target.max_output_tokens:
        config["maxOutputTokens"] = reader.target.max_output_tokens
    if (stop := members.get("stop")) is not None:
        config["stopSequences"] = reader.strings(stop, "stop")
    if (raw := members.get("modalities")) is not None:
        wanted = [each.upper() for each in reader.strings(raw, "modalities")]
        if not set(wanted) <= {"TEXT", "IMAGE"}:
            raise reader.unsupported("modalities", "it answers in text and pictures here")
        config["responseModalities"] = wanted
    if (raw := members.get("response_format")) is not None:
        _add_format(config, raw, reader)
    return config


def _add_format(config: dict[str, Any], raw: Raw, reader: Reader) -> None:
    form = form_of(raw, reader)
    match form.kind:
        case "text":
            return
        case "json_object":
            config["responseMimeType"] = "application/json"
        case "json_schema":
            config |= {"responseMimeType": "application/json", "responseJsonSchema": form.schema["schema"]}
        case _:
            raise reader.unsupported("response_format", f"it has no format of type '{form.kind[:40]}'")


def _add_thinking(config: dict[str, Any], members: Members, reader: Reader, traits: frozenset[str]) -> None:
    asked = reasoning_of(members, reader)
    path = "reasoning" if "reasoning" in members else "reasoning_effort"
    thinking: dict[str, Any] = {}
    cap = config.get("maxOutputTokens", CAP_UNKNOWN)
    if not traits & {"thinking_level", "thinking_budget"}:
        if not asked.says_nothing and not asked.is_off:
            reader.decline(path)
        return
    if asked.is_off:
        if "always_thinks" in traits:
            raise reader.unsupported(path, "this model always thinks; ask for 'minimal' or 'low'")
        thinking["thinkingBudget"] = 0
    elif "thinking_budget" in traits and not asked.says_nothing:
        wanted = asked.max_tokens if asked.max_tokens is not None else int(cap * SHARES[asked.effort or "medium"])
        thinking["thinkingBudget"] = max(min(wanted, BUDGET_MAX), BUDGET_MIN)
    elif asked.effort is not None:
        thinking["thinkingLevel"] = _LEVELS[asked.effort]
    elif asked.max_tokens is not None:
        thinking["thinkingLevel"] = _LEVELS[effort_of(asked.max_tokens, cap)]
    if not asked.is_off and (asked.exclude is not None or not asked.says_nothing):
        thinking["includeThoughts"] = not asked.exclude
    if thinking:
        config["thinkingConfig"] = thinking
