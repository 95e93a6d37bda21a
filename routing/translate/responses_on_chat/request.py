"""A Responses request → Chat's.

Rule: nothing is kept here or at a provider: what refers to an earlier answer is refused, and so is `store: true`.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from routing.translate import Target, Translated
from routing.translate.chat_traits import traits_of
from routing.translate.reader import Reader, encode, is_absent
from routing.translate.responses_on_chat.items import Items
from routing.translate.responses_on_chat.parameters import LEDGER
from routing.translate.responses_on_chat.tools import Origin, Tools
from routing.wire.members import Members

_TEXT: Final = frozenset(("format", "verbosity"))
_FORMAT: Final = frozenset(("type", "name", "description", "schema", "strict"))
_REASONING: Final = frozenset(("effort", "summary", "generate_summary", "mode", "max_tokens", "enabled", "exclude"))
_ECHOED: Final = (
    "instructions",
    "metadata",
    "parallel_tool_calls",
    "temperature",
    "frequency_penalty",
    "presence_penalty",
    "tool_choice",
    "tools",
    "top_p",
    "max_output_tokens",
    "reasoning",
    "text",
    "user",
    "safety_identifier",
    "prompt_cache_key",
)
ECHO_BYTES_MAX: Final = 2_048
"""Of one member of the request that the response repeats; a longer one is left at its default: it would go out three times."""


class Memo(msgspec.Struct, frozen=True):
    """`tools`: what a function was in the request. `echo`: the members of the request that the response repeats."""

    tools: dict[str, Origin] = {}
    echo: Members = {}


def request(body: bytes, target: Target) -> Translated:
    """Invalid."""
    reader = Reader(target)
    members, copied = reader.top(body, LEDGER)
    traits = traits_of(target)
    tools = Tools(reader)
    tools.read(members.get("tools"))
    items = Items(reader, traits, tools)
    if (instructions := reader.literal(members.get("instructions"), "instructions")) not in (b"", b'""'):
        items.out.append(b'{"role":"system","content":%b}' % instructions)
    if is_absent(members.get("input")):
        raise reader.wrong("input", "a text or a list of at least one item")
    items.read(members["input"])
    sent: Members = {"model": members.get("model", Raw(b'""')), "messages": Raw(b"[%b]" % b",".join(items.out))}
    sent |= tools.members(members.get("tool_choice"))
    if not is_absent(cap := members.get("max_output_tokens")):
        sent["max_tokens"] = cap  # type: ignore[assignment]
    if "stream" in members:
        sent["stream"] = members["stream"]
    if "tools" not in sent:
        copied.pop("parallel_tool_calls", None)
    sent |= copied
    _add_text(sent, members, reader)
    _add_reasoning(sent, members, reader)
    _check_include(members, reader)
    echo = {name: raw for name in _ECHOED if (raw := {**members, **copied}.get(name)) is not None and len(raw) <= ECHO_BYTES_MAX}
    if "metadata" in members and "metadata" not in echo:
        reader.decline("metadata")
    return Translated(encode(sent), tuple(reader.ignored), Memo(tools.memo, echo))


def _add_text(sent: Members, members: Members, reader: Reader) -> None:
    if is_absent(members.get("text")):
        return
    text = reader.object(members["text"], "text")
    reader.rest(text, _TEXT, "text")
    if not is_absent(verbosity := text.get("verbosity")):
        sent["verbosity"] = verbosity  # type: ignore[assignment]
    if is_absent(text.get("format")):
        return
    form = reader.object(text["format"], "text.format")
    match kind := reader.text(form.get("type"), "text.format.type"):
        case "text":
            return
        case "json_object":
            sent["response_format"] = Raw(b'{"type":"json_object"}')
        case "json_schema":
            reader.rest(form, _FORMAT, "text.format")
            schema = {name: raw for name, raw in form.items() if name != "type" and name in _FORMAT and not is_absent(raw)}
            sent["response_format"] = Raw(encode({"type": "json_schema", "json_schema": schema}))
        case _:
            raise reader.unsupported("text.format", f"it has no format of type '{kind[:40]}'")


def _add_reasoning(sent: Members, members: Members, reader: Reader) -> None:
    if is_absent(members.get("reasoning")):
        return
    asked = reader.object(members["reasoning"], "reasoning")
    reader.rest(asked, _REASONING, "reasoning")
    if reader.text(asked.get("mode"), "reasoning.mode") not in ("", "standard"):
        raise reader.unsupported("reasoning.mode", "leave it out")
    given = {name: asked[name] for name in ("effort", "max_tokens", "enabled", "exclude") if not is_absent(asked.get(name))}
    reasoning: dict[str, Any] = {**given}
    summary = asked.get("summary") if not is_absent(asked.get("summary")) else asked.get("generate_summary")
    if not is_absent(summary):
        reasoning["summary"] = summary
        if bytes(asked.get("generate_summary", b"null")) not in (b"null", bytes(summary or b"")):
            reader.decline("reasoning.generate_summary")
    if reasoning:
        sent["reasoning"] = Raw(encode(reasoning))


def _check_include(members: Members, reader: Reader) -> None:
    """What the answer should have beside itself. Encrypted thoughts it has anyway."""
    if is_absent(raw := members.get("include")):
        return
    assert raw is not None
    wanted = reader.strings(raw, "include")
    for at, each in enumerate(wanted):
        if each == "message.output_text.logprobs":
            raise reader.unsupported(f"include[{at}]", "log probabilities are not told")
        if each != "reasoning.encrypted_content":
            reader.decline(f"include[{at}]")
