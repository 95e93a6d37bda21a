"""A Gemini request → Chat's. `model` and `stream` are in it: who read the path has put them there.

Rule: a schema of Google's own kind (types in capitals, `nullable`) becomes a JSON schema; a JSON schema stays as it is.
"""

from typing import Any, Final

from msgspec import Raw

from routing.translate import Target, Translated
from routing.translate.chat_traits import traits_of
from routing.translate.gemini_on_chat.contents import Contents
from routing.translate.gemini_on_chat.parameters import CONFIG, LEDGER, SAME
from routing.translate.reader import Object, Reader, encode, is_absent
from routing.translate.tool_ids import named
from routing.wire.members import Members

_FUNCTION: Final = frozenset(
    ("name", "description", "parameters", "parametersJsonSchema", "response", "responseJsonSchema", "behavior")
)
_SCHEMA_ONLY: Final = frozenset(("propertyOrdering", "nullable"))
_MODES: Final = {"AUTO": "auto", "ANY": "required", "NONE": "none", "VALIDATED": "auto", "MODE_UNSPECIFIED": "auto", "": "auto"}
_LEVELS: Final = frozenset(("MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"))


def request(body: bytes, target: Target) -> Translated:
    """Invalid."""
    reader = Reader(target)
    members, copied = reader.top(body, LEDGER)
    names: dict[str, str] = {}
    contents = Contents(reader, traits_of(target), names)
    contents.instruct(members.get("systemInstruction"))
    contents.read(reader.needed(members, "contents"))
    sent: Members = {"model": members.get("model", Raw(b'""')), "messages": Raw(b"[%b]" % b",".join(contents.out))}
    if "stream" in members:
        sent["stream"] = members["stream"]
    sent |= copied
    has_tools = _add_tools(sent, members, reader, names)
    _add_choice(sent, members, reader, names, has_tools=has_tools)
    if not is_absent(raw := members.get("generationConfig")):
        assert raw is not None
        _add_config(sent, reader.object(raw, "generationConfig"), reader)
    tier = reader.text(members.get("serviceTier"), "serviceTier").lower()
    if tier not in ("", "standard", "unspecified"):
        sent["service_tier"] = Raw(encode(tier))
    return Translated(encode(sent), tuple(reader.ignored), names or None)


def _add_tools(sent: Members, members: Members, reader: Reader, names: dict[str, str]) -> bool:
    tools: list[dict[str, Any]] = []
    for at, tool in enumerate(reader.objects(members["tools"], "tools") if not is_absent(members.get("tools")) else ()):
        reader.rest(tool, frozenset(("functionDeclarations",)), f"tools[{at}]")
        if is_absent(raw := tool.get("functionDeclarations")):
            continue
        assert raw is not None
        path = f"tools[{at}].functionDeclarations"
        for number, declared in enumerate(reader.objects(raw, path)):
            tools.append({"type": "function", "function": _function(declared, f"{path}[{number}]", reader, names)})
    if tools:
        sent["tools"] = Raw(encode(tools))
    return bool(tools)


def _function(declared: Object, path: str, reader: Reader, names: dict[str, str]) -> dict[str, Any]:
    reader.rest(declared, _FUNCTION, path)
    for name in ("response", "responseJsonSchema", "behavior"):
        if not is_absent(declared.get(name)):
            reader.decline(f"{path}.{name}")
    function: dict[str, Any] = {"name": named(reader.text(declared.get("name"), f"{path}.name"), names)}
    if not is_absent(declared.get("description")):
        function["description"] = declared["description"]
    if not is_absent(raw := declared.get("parametersJsonSchema")):
        function["parameters"] = raw
    elif not is_absent(raw := declared.get("parameters")):
        function["parameters"] = _schema(raw, f"{path}.parameters", reader)
    return function


def _schema(raw: Raw | None, path: str, reader: Reader) -> Raw:
    """One of Google's kind as a JSON schema. Invalid."""
    schema = reader.value(raw or Raw(b"null"), path)
    if not isinstance(schema, dict):
        raise reader.wrong(path, "an object")
    try:
        return Raw(encode(json_schema_of(schema)))
    except RecursionError:
        raise reader.wrong(path, "a schema that is nested less deeply") from None


def json_schema_of(schema: Any) -> Any:
    """Of a schema of Google's kind."""
    if isinstance(schema, list):
        return [json_schema_of(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made: dict[str, Any] = {}
    for name, value in schema.items():
        if name == "type" and isinstance(value, str):
            kind = value.lower()
            made["type"] = [kind, "null"] if schema.get("nullable") is True else kind
        elif name == "properties" and isinstance(value, dict):
            order = schema.get("propertyOrdering")
            first = [key for key in order if isinstance(key, str) and key in value] if isinstance(order, list) else []
            made[name] = {key: json_schema_of(value[key]) for key in dict.fromkeys([*first, *value])}
        elif name == "example":
            made["examples"] = [value]
        elif name in ("items", "anyOf", "additionalProperties", "prefixItems", "defs", "$defs"):
            made[name] = json_schema_of(value)
        elif name in ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"):
            # Google's clients write these as texts: they are int64.
            made[name] = int(value) if isinstance(value, str) and value.isdecimal() else value
        elif name not in _SCHEMA_ONLY:
            made[name] = value
    return made


def _add_choice(sent: Members, members: Members, reader: Reader, names: dict[str, str], *, has_tools: bool) -> None:
    if is_absent(raw := members.get("toolConfig")):
        return
    assert raw is not None
    config = reader.object(raw, "toolConfig")
    reader.rest(config, frozenset(("functionCallingConfig",)), "toolConfig")
    if is_absent(raw := config.get("functionCallingConfig")):
        return
    assert raw is not None
    path = "toolConfig.functionCallingConfig"
    asked = reader.object(raw, path)
    reader.rest(asked, frozenset(("mode", "allowedFunctionNames")), path)
    word = reader.text(asked.get("mode"), f"{path}.mode").upper()
    mode: Any = _MODES.get(word)
    if mode is None:
        raise reader.wrong(f"{path}.mode", "'AUTO', 'ANY' or 'NONE'")
    if word == "VALIDATED":
        reader.decline(f"{path}.mode")
    if not has_tools:
        if mode == "required":
            raise reader.unsupported(path, "none of the tools that it could choose is known there")
        return
    given = reader.strings(asked["allowedFunctionNames"], path) if not is_absent(asked.get("allowedFunctionNames")) else []
    chosen = [named(name, names) for name in given]
    if len(chosen) == 1 and mode == "required":
        mode = {"type": "function", "function": {"name": chosen[0]}}
    elif chosen:
        allowed = [{"type": "function", "function": {"name": name}} for name in chosen]
        mode = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": allowed}}
    if mode != "auto":
        sent["tool_choice"] = Raw(encode(mode))


def _add_config(sent: Members, config: Object, reader: Reader) -> None:
    for name, value in config.items():
        path = f"generationConfig.{name}"
        rule = CONFIG.get(name)
        if is_absent(value):
            continue
        if name in SAME:
            sent[SAME[name]] = value
        elif rule is None:
            raise reader.unsupported(path, "leave it out, or call a model whose provider is spoken to in this format")
        elif rule.kind == "offer":
            reader.decline(path)
        elif rule.kind == "demand":
            raise reader.unsupported(path, rule.hint)
    if not is_absent(raw := config.get("maxOutputTokens")):
        assert raw is not None
        sent["max_tokens"] = raw
    if not is_absent(raw := config.get("stopSequences")):
        assert raw is not None
        if stops := reader.strings(raw, "generationConfig.stopSequences"):
            sent["stop"] = Raw(encode(stops))
    if bytes(config.get("candidateCount", b"1")) not in (b"1", b"null"):
        raise reader.unsupported("generationConfig.candidateCount", "one answer is translated; ask again for another")
    _add_form(sent, config, reader)
    _add_logprobs(sent, config, reader)
    _add_thinking(sent, config, reader)


def _add_form(sent: Members, config: Object, reader: Reader) -> None:
    if not is_absent(raw := config.get("responseModalities")):
        assert raw is not None
        if set(reader.strings(raw, "generationConfig.responseModalities")) - {"TEXT", "text", "MODALITY_UNSPECIFIED"}:
            raise reader.unsupported("generationConfig.responseModalities", "only text is translated")
    mime = reader.text(config.get("responseMimeType"), "generationConfig.responseMimeType")
    schema = config.get("responseJsonSchema")
    if is_absent(schema) and not is_absent(raw := config.get("responseSchema")):
        schema = _schema(raw, "generationConfig.responseSchema", reader)
    if mime not in ("", "text/plain", "application/json"):
        raise reader.unsupported("generationConfig.responseMimeType", "it takes 'application/json' and 'text/plain'")
    if not is_absent(schema):
        sent["response_format"] = Raw(encode({"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}))
    elif mime == "application/json":
        sent["response_format"] = Raw(b'{"type":"json_object"}')


def _add_logprobs(sent: Members, config: Object, reader: Reader) -> None:
    if bytes(config.get("responseLogprobs", b"false")) == b"true" or not is_absent(config.get("logprobs")):
        raise reader.unsupported("generationConfig.responseLogprobs", "log probabilities are not translated")


def _add_thinking(sent: Members, config: Object, reader: Reader) -> None:
    if is_absent(raw := config.get("thinkingConfig")):
        return
    assert raw is not None
    path = "generationConfig.thinkingConfig"
    asked = reader.object(raw, path)
    reader.rest(asked, frozenset(("includeThoughts", "thinkingBudget", "thinkingLevel")), path)
    reasoning: dict[str, Any] = {}
    if level := reader.text(asked.get("thinkingLevel"), f"{path}.thinkingLevel").upper():
        if level not in _LEVELS:
            raise reader.wrong(f"{path}.thinkingLevel", "'MINIMAL', 'LOW', 'MEDIUM', 'HIGH' or 'XHIGH'")
        reasoning["effort"] = level.lower()
        if not is_absent(asked.get("thinkingBudget")):
            reader.decline(f"{path}.thinkingBudget")
    elif not is_absent(raw := asked.get("thinkingBudget")):
        assert raw is not None
        budget = reader.number(raw, f"{path}.thinkingBudget")
        # -1 leaves it to the model, 0 is not to think.
        reasoning |= {"enabled": True} if budget < 0 else {"max_tokens": int(budget)} if budget else {"effort": "none"}
    shown = bytes(asked.get("includeThoughts", b"null"))
    if reasoning:
        if shown != b"true":
            reasoning["exclude"] = True
        sent["reasoning"] = Raw(encode(reasoning))
    elif shown != b"null":
        sent["reasoning"] = Raw(b'{"enabled":true}' if shown == b"true" else b'{"exclude":true}')
