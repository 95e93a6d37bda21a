"""A Chat conversation as every pair that speaks Chat to another provider reads it: turns, their parts, calls and thoughts.

Rule: what is read here is all that a message has; any other member is declined by its path, or refused if it changes the answer.
Strategy: texts, schemas and data are JSON literals, copied as they stand.
"""

from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Raw

from routing.translate.chat_tools import arguments_of
from routing.translate.media import Media, media_of
from routing.translate.reader import BRACKET, QUOTE, Object, Reader, is_absent, kind_of
from routing.translate.thoughts import Detail, details_of

_SAID: Final = frozenset(("role", "content", "cache_control"))
_ASSISTANT: Final = _SAID | {"tool_calls", "refusal", "reasoning_details", "reasoning", "reasoning_content", "function_call"}
_TOOL: Final = _SAID | {"tool_call_id", "is_error", "name"}
_CALL: Final = frozenset(("id", "type", "function", "index"))


class Part(NamedTuple):
    """A text (a JSON string, never empty) or a medium. `mark`: its `cache_control`."""

    path: str
    text: bytes = b""
    media: Media | None = None
    mark: Raw | None = None


class Call(NamedTuple):
    """`arguments`: a JSON object."""

    id: str
    name: str
    arguments: bytes


class Turn(msgspec.Struct):
    """One message. `thought`: its reasoning as a JSON string; `details` are those that may be signed."""

    role: Literal["system", "user", "assistant", "tool"]
    path: str
    parts: list[Part]
    calls: list[Call] = []
    details: list[Detail] = []
    thought: bytes = b""
    call_id: str = ""
    is_error: bool = False
    mark: Raw | None = None

    @property
    def texts(self) -> list[bytes]:
        return [part.text for part in self.parts if part.text]


def turns_of(messages: Raw, reader: Reader) -> list[Turn]:
    """Invalid. A result of a tool has its call in a message before it."""
    turns: list[Turn] = []
    calls: set[str] = set()
    for at, message in enumerate(reader.objects(messages, "messages")):
        turn = _turn(message, f"messages[{at}]", reader)
        calls.update(call.id for call in turn.calls)
        if turn.role == "tool" and turn.call_id not in calls:
            raise reader.wrong(f"{turn.path}.tool_call_id", "the id of a tool call in an assistant message before it")
        turns.append(turn)
    if not any(turn.role != "system" and (turn.parts or turn.calls) for turn in turns):
        raise reader.wrong("messages", "a list with at least one message of a user that is not empty")
    return turns


def unmarked_turns_of(messages: Raw, reader: Reader) -> list[Turn]:
    """For a format that has no marks of what to cache: they are reported. Invalid."""
    turns = turns_of(messages, reader)
    if any(turn.mark is not None or any(part.mark is not None for part in turn.parts) for turn in turns):
        reader.decline("messages[].content[].cache_control")
    return turns


def _turn(message: Object, path: str, reader: Reader) -> Turn:
    mark = message.get("cache_control")
    match role := reader.text(message.get("role"), f"{path}.role"):
        case "user":
            reader.rest(message, _SAID, path)
            return Turn(role, path, _parts(message, path, reader), mark=mark)
        case "system" | "developer":
            reader.rest(message, _SAID, path)
            return Turn("system", path, _parts(message, path, reader, is_text=True), mark=mark)
        case "assistant":
            return _assistant(message, path, reader)
        case "tool":
            reader.rest(message, _TOOL, path)
            call_id = reader.text(message.get("tool_call_id"), f"{path}.tool_call_id")
            is_error = bytes(message.get("is_error", b"false")) == b"true"
            return Turn(role, path, _parts(message, path, reader), call_id=call_id, is_error=is_error, mark=mark)
        case "function":
            raise reader.unsupported(f"{path}.role", "functions became tools: send a message of role 'tool'")
        case _:
            raise reader.wrong(f"{path}.role", "'system', 'developer', 'user', 'assistant' or 'tool'")


def _assistant(message: Object, path: str, reader: Reader) -> Turn:
    reader.rest(message, _ASSISTANT, path)
    if not is_absent(message.get("function_call")):
        raise reader.unsupported(f"{path}.function_call", "functions became tools: send 'tool_calls'")
    parts = _parts(message, path, reader, is_text=True)
    if (refusal := reader.literal(message.get("refusal"), f"{path}.refusal")) not in (b"", b'""'):
        parts.append(Part(f"{path}.refusal", refusal))
    calls = []
    if (raw := message.get("tool_calls")) is not None and not is_absent(raw):
        calls = [
            _call(call, f"{path}.tool_calls[{at}]", reader) for at, call in enumerate(reader.objects(raw, f"{path}.tool_calls"))
        ]
    details = details_of(message.get("reasoning_details"), f"{path}.reasoning_details", reader)
    thoughts = [reader.literal(message.get(name), f"{path}.{name}") for name in ("reasoning", "reasoning_content")]
    thought = next((each for each in thoughts if each not in (b"", b'""')), b"")
    return Turn("assistant", path, parts, calls, details, thought, mark=message.get("cache_control"))


def _call(call: Object, path: str, reader: Reader) -> Call:
    if reader.text(call.get("type"), f"{path}.type") not in ("function", ""):
        raise reader.unsupported(path, "a custom tool's input is no JSON")
    reader.rest(call, _CALL, path)
    function = reader.object(call.get("function", Raw(b"{}")), f"{path}.function")
    reader.rest(function, frozenset(("name", "arguments")), f"{path}.function")
    arguments = arguments_of(function.get("arguments"), f"{path}.function.arguments", reader)
    name = reader.text(function.get("name"), f"{path}.function.name")
    return Call(reader.text(call.get("id"), f"{path}.id"), name, arguments)


def _parts(message: Object, path: str, reader: Reader, *, is_text: bool = False) -> list[Part]:
    """The parts of a content: a string, a list, or nothing. `is_text`: nothing but text may stand there."""
    content, path = message.get("content"), f"{path}.content"
    if content is None or is_absent(content):
        return []
    if kind_of(content) == QUOTE:
        return [Part(path, bytes(content))] if bytes(content) != b'""' else []
    if kind_of(content) != BRACKET:
        raise reader.wrong(path, "a string or a list of parts")
    parts = []
    for at, part in enumerate(reader.objects(content, path)):
        parts += _part(part, f"{path}[{at}]", reader, is_text)
    return parts


def _part(part: Object, path: str, reader: Reader, is_text: bool) -> list[Part]:
    kind, mark = reader.text(part.get("type"), f"{path}.type"), part.get("cache_control")
    if kind in ("text", "refusal", "input_text", "output_text"):
        name = "refusal" if kind == "refusal" else "text"
        reader.rest(part, frozenset(("type", name, "cache_control")), path)
        literal = reader.literal(part.get(name), f"{path}.{name}")
        # An empty text is an error at many, and says nothing.
        return [Part(path, literal, None, mark)] if literal not in (b"", b'""') else []
    if is_text:
        raise reader.unsupported(path, "only text can stand there")
    return [Part(path, b"", media_of(part, kind, path, reader), mark)]


def decline_thoughts(turn: Turn, reader: Reader, *taken: Detail) -> None:
    """What an assistant thought, but for the details that are taken, is reported."""
    for at, detail in enumerate(turn.details):
        if detail not in taken:
            reader.decline(f"{turn.path}.reasoning_details[{at}]")
    if turn.thought and not turn.details:
        reader.decline(f"{turn.path}.reasoning")


def say_error(turn: Turn) -> None:
    """For a format whose results of tools have no place for it: that one failed stands in front of what it says."""
    if turn.is_error:
        turn.parts.insert(0, Part(turn.path, b'"Error: "'))
