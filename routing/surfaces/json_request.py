"""What the surfaces with a JSON body share: members that are checked, and the body that is rebuilt from them.

Rule: what was read is what is sent: one name, one member, in the order and the bytes that came.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from routing.plan.preferences import Preferences
from routing.request.body import encoded
from routing.request.envelope import FILLED_LIST, Envelope, model_of
from routing.request.invalid import Invalid
from routing.request.options import Options
from routing.request.parameters import OURS
from routing.request.prompt import Prompt
from routing.surfaces import Asked
from routing.table.endpoint import Endpoint
from routing.wire.members import Members, decode_members
from routing.wire.objects import decode_objects

Checks = Mapping[str, tuple[Any, str]]
"""Member → (its decoder, what it must be)."""
NULL = Raw(b"null")
ENDS_HERE = (*OURS, "plugins")
"""What is said to a router, which no provider has a member for."""
_encode = msgspec.json.Encoder().encode


def checks(*rules: tuple[str, Any, str]) -> Checks:
    """From (name, type, what it must be)."""
    return {name: (msgspec.json.Decoder(kind | None).decode, expected) for name, kind, expected in rules}


def checked(members: Members, rules: Checks) -> dict[str, Any]:
    """The values of the members that have a rule, without those that are null. Invalid."""
    values: dict[str, Any] = {}
    for name, (decode, expected) in rules.items():
        raw = members.get(name)
        if raw is not None:
            try:
                value = decode(raw)
            except (msgspec.DecodeError, RecursionError):
                raise Invalid(f"'{name}' must be {expected}", name) from None
            if value is not None:
                values[name] = value
    return values


def first_of(members: Members, name: str) -> bytes:
    """The first byte of a member's value, which tells its kind; empty when it is not there."""
    raw = members.get(name)
    return b"" if raw is None else bytes(memoryview(raw)[:1])


def is_there(members: Members, name: str) -> bool:
    """Whether a member says anything."""
    return bytes(members.get(name, NULL)) != b"null"


def missing(name: str, what: str) -> Invalid:
    return Invalid(f"'{name}' is missing: send {what}", name, "missing_required_parameter")


def check_messages(members: Members) -> None:
    """Invalid: there is no list of at least one message."""
    if not is_there(members, "messages"):
        raise missing("messages", "a list of at least one message")
    if FILLED_LIST.match(members["messages"]) is None:
        raise Invalid("'messages' must be a list of at least one message", "messages")


def value_of(members: Members, name: str, path: str = "") -> Any:
    """The value of a member, None where it is not there. Invalid: it cannot be read."""
    try:
        return msgspec.json.decode(members.get(name, NULL))
    except (msgspec.DecodeError, RecursionError) as problem:
        raise Invalid(f"'{path or name}' cannot be read: {problem}", path or name) from None


def reported(envelope: Envelope) -> tuple[str, ...]:
    """Paths of the wishes that nobody here can meet."""
    preferences, options = envelope.preferences, envelope.options
    return (*(() if preferences is None else preferences.ignored), *(() if options is None else options.ignored))


def declined(envelope: Envelope, asked: Asked) -> tuple[Members, tuple[str, ...], tuple[str, ...]]:
    """(changes, members to leave out, paths to report) where a model without a price for it is offered to search the web."""
    if not envelope.search_tools or asked.model.has_search_price:
        return {}, (), ()
    tools = msgspec.json.decode(envelope.members["tools"], type=list[Raw])
    kept = [tool for at, tool in enumerate(tools) if at not in envelope.search_tools]
    ignored = tuple(f"tools[{at}]" for at in envelope.search_tools)
    return ({"tools": Raw(_encode(kept))}, (), ignored) if kept else ({}, ("tools", "tool_choice"), ignored)


def is_choice_free(members: Members) -> bool:
    """Whether the model may do without any of its tools."""
    if not is_there(members, "tool_choice"):
        return True
    choice = value_of(members, "tool_choice")
    return choice in ("auto", "none") or (isinstance(choice, dict) and choice.get("type") in ("auto", "none"))


def searches_in(members: Members, kind: re.Pattern[str]) -> tuple[int, ...]:
    """Places of the tools that search, whose type is of that `kind`, where the model may do without them."""
    if not is_choice_free(members):
        return ()
    kinds = [msgspec.json.decode(tool["type"]) if is_there(tool, "type") else "" for tool in decode_objects(members["tools"])]
    return tuple(at for at, each in enumerate(kinds) if isinstance(each, str) and kind.match(each))


def tools_that_search(
    raw: Raw, default: str, callers: re.Pattern[str], searches: re.Pattern[str]
) -> Iterator[tuple[str, Members]]:
    """(path, tool) of each tool that searches the web. The type of a tool that says none is `default`; those of `callers` run at
    the caller or cost nothing. Invalid: one that runs at the provider and has no price."""
    try:
        tools = decode_objects(raw)
    except (msgspec.DecodeError, RecursionError):
        raise Invalid("'tools' must be a list of tools", "tools") from None
    for at, tool in enumerate(tools):
        path = f"tools[{at}]"
        kind = value_of(tool, "type", path) if is_there(tool, "type") else default
        if isinstance(kind, str) and callers.match(kind):
            continue
        if not isinstance(kind, str) or not searches.match(kind):
            raise Invalid(
                f"'{path}' is {str(kind)[:64]!r}, which runs at the provider and has no price here", path, "unpriced_option"
            )
        yield path, tool


def envelope_for(
    body: bytes,
    members: Members,
    names: Iterable[str],
    prompt: Prompt,
    options: Options,
    preferences: Preferences | None = None,
    **more: Any,
) -> Envelope:
    """Of a body whose model reads the members `names`, which have `prompt` in them beside text; `more`: what else decides, by the
    fields of `Envelope`. Invalid: it names no model."""
    return Envelope(
        model=model_of(members, preferences),
        members=members,
        bytes_total=len(body),
        prompt_bytes=sum(len(members[name]) for name in names if name in members),
        remote_images=prompt.images,
        remote_others=prompt.others,
        inline_media=prompt.inline,
        options=priced(options),
        preferences=preferences,
        **more,
    )


def capped(envelope: Envelope, asked: Asked, name: str) -> Members:
    """The output cap under its name, where it has to be another one than the caller's: none was given, or more than there is."""
    cap, cap_max = envelope.max_tokens, asked.model.max_output_tokens
    if cap is None:
        return {} if asked.cap is None else {name: Raw(b"%d" % asked.cap)}
    return {name: Raw(b"%d" % cap_max)} if cap_max is not None and cap > cap_max else {}


def priced(options: Options) -> Options | None:
    """None when nothing is asked for that costs more or is kept."""
    return None if options == Options() else options


def body_for(
    envelope: Envelope, asked: Asked, changes: Members | None = None, drops: Iterable[str] = ()
) -> list[bytes | memoryview]:
    """The members that came with the provider's name of the model and `changes`, as parts to be sent one after another; without
    what is said to a router."""
    values = envelope.members.copy()
    for name in (*ENDS_HERE, *drops):
        values.pop(name, None)
    if asked.endpoint.has_model_in_path:
        values.pop("model", None)
    else:
        values["model"] = Raw(_encode(asked.model.name))
    for name, text in asked.endpoint.body:
        values[name] = Raw(_encode(text))
    if changes:
        values |= changes
    return encoded(values, envelope.bytes_total)


def with_path(envelope: Envelope) -> Members:
    """The members, and what the path said where that names the model: the model, and whether it is streamed."""
    if "model" in envelope.members:
        return envelope.members
    return envelope.members | {"model": Raw(_encode(envelope.model)), "stream": Raw(_encode(envelope.stream))}


def placed(body: list[bytes | memoryview], endpoint: Endpoint) -> list[bytes | memoryview]:
    """A translated body as the endpoint wants it: without the model that its path names, with members of its own."""
    if not (endpoint.has_model_in_path or endpoint.body):
        return body
    members = decode_members(b"".join(body))
    if endpoint.has_model_in_path:
        members.pop("model", None)
    return [_encode(members | {name: Raw(_encode(text)) for name, text in endpoint.body})]
