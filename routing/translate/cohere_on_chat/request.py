"""A Cohere request → Chat's, whose messages are nearly its own: a tool plan and thoughts are reasoning.

Rule: documents are texts in front of the last thing that the user said, each with its id; that they are cited is an offer.
Limits: signatures of thoughts have no place in Cohere's messages, so they are not asked for again.
"""

from typing import Any, Final

from msgspec import Raw

from routing.translate import Target, Translated, tool_ids
from routing.translate.chat_traits import traits_of
from routing.translate.cohere_on_chat.parameters import LEDGER
from routing.translate.reader import QUOTE, Object, Reader, encode, is_absent, is_empty, joined, kind_of
from routing.translate.tool_ids import named
from routing.wire.members import Members

_TURN: Final = frozenset(("role", "content"))
_ASSISTANT: Final = _TURN | {"tool_calls", "tool_plan", "citations"}
_FUNCTION: Final = frozenset(("name", "description", "parameters"))
_CHOICES: Final = {"REQUIRED": "required", "NONE": "none"}
STOPS_MAX: Final = 4


def request(body: bytes, target: Target) -> Translated:
    """Invalid."""
    reader = Reader(target)
    members, copied = reader.top(body, LEDGER)
    names: dict[str, str] = {}
    messages = Messages(reader, traits_of(target), names)
    messages.read(reader.needed(members, "messages"), members.get("documents"))
    sent: Members = {"model": members.get("model", Raw(b'""')), "messages": Raw(encode(messages.out))}
    if "stream" in members:
        sent["stream"] = members["stream"]
    sent |= copied
    _add_tools(sent, members, reader, names)
    if not is_absent(raw := members.get("stop_sequences")):
        assert raw is not None
        stops = reader.strings(raw, "stop_sequences")
        if len(stops) > STOPS_MAX:
            raise reader.unsupported("stop_sequences", f"it takes up to {STOPS_MAX}")
        if stops:
            sent["stop"] = Raw(encode(stops))
    _add_form(sent, members, reader)
    _add_thinking(sent, members, reader)
    return Translated(encode(sent), tuple(reader.ignored), names or None)


class Messages:
    """`out` are Chat's messages. `names`: tools whose names were changed."""

    def __init__(self, reader: Reader, traits: frozenset[str], names: dict[str, str]) -> None:
        self._reader = reader
        self._traits = traits
        self._names = names
        self.out: list[dict[str, Any]] = []

    def read(self, messages: Raw, documents: Raw | None) -> None:
        reader = self._reader
        turns = reader.objects(messages, "messages")
        said = [at for at, turn in enumerate(turns) if bytes(turn.get("role", b"")) == b'"user"']
        found = self._documents(documents, "documents")
        if found and not said:
            raise reader.unsupported("documents", "they are shown to it with what a user says; send a message of one")
        for at, turn in enumerate(turns):
            self._turn(turn, f"messages[{at}]", found if said and at == said[-1] else [])
        if not self.out:
            raise reader.wrong("messages", "a list of at least one message")

    def _turn(self, turn: Object, path: str, documents: list[bytes]) -> None:
        reader = self._reader
        match role := reader.text(turn.get("role"), f"{path}.role"):
            case "system" | "developer":
                reader.rest(turn, _TURN, path)
                self._say("system", self._parts(turn, path, is_text=True))
            case "user":
                reader.rest(turn, _TURN, path)
                self._say(role, documents + self._parts(turn, path))
            case "assistant":
                self._assistant(turn, path)
            case "tool":
                reader.rest(turn, _TURN | {"tool_call_id"}, path)
                parts = self._parts(turn, path, is_text=True)
                call_id = self._id(reader.text(turn.get("tool_call_id"), f"{path}.tool_call_id"))
                self.out.append({"role": role, "tool_call_id": call_id, "content": self._content(parts) or ""})
            case _:
                raise reader.wrong(f"{path}.role", "'system', 'user', 'assistant' or 'tool'")

    def _say(self, role: str, parts: list[bytes]) -> None:
        if (content := self._content(parts)) is not None:
            self.out.append({"role": role, "content": content})

    def _content(self, parts: list[bytes]) -> Raw | None:
        """A string where there is one text and nothing else."""
        if not parts:
            return None
        if len(parts) == 1 and parts[0].startswith(_TEXT):
            return Raw(parts[0][len(_TEXT) : -1])
        return Raw(b"[%b]" % b",".join(parts))

    def _parts(self, turn: Object, path: str, *, is_text: bool = False) -> list[bytes]:
        reader, content, path = self._reader, turn.get("content"), f"{path}.content"
        if content is None or is_absent(content):
            return []
        if kind_of(content) == QUOTE:
            return _texts(bytes(content))
        found: list[bytes] = []
        for at, part in enumerate(reader.objects(content, path)):
            place = f"{path}[{at}]"
            match kind := reader.text(part.get("type"), f"{place}.type"):
                case "text":
                    reader.rest(part, frozenset(("type", "text")), place)
                    found += _texts(reader.literal(part.get("text"), f"{place}.text"))
                case "document":
                    reader.rest(part, frozenset(("type", "document")), place)
                    found.append(self._document(part.get("document", Raw(b"null")), f"{place}.document"))
                case "image_url" if not is_text:
                    found.append(self._image(part, place))
                case _:
                    hint = "only text can stand there" if is_text else f"a part of type '{kind[:40]}' is none that it knows"
                    raise reader.unsupported(place, hint)
        return found

    def _image(self, part: Object, path: str) -> bytes:
        reader = self._reader
        reader.rest(part, frozenset(("type", "image_url")), path)
        inner = reader.object(part.get("image_url", Raw(b"null")), f"{path}.image_url")
        reader.rest(inner, frozenset(("url", "detail")), f"{path}.image_url")
        reader.needed_literal(inner, "url", f"{path}.image_url")
        kept = {name: inner[name] for name in ("url", "detail") if not is_absent(inner.get(name))}
        return encode({"type": "image_url", "image_url": kept})

    def _documents(self, raw: Raw | None, path: str) -> list[bytes]:
        if raw is None or is_absent(raw):
            return []
        if kind_of(raw) != b"[":
            raise self._reader.wrong(path, "a list of texts or objects")
        values = self._reader.value(raw, path)
        return [self._document(Raw(encode(each)), f"{path}[{at}]") for at, each in enumerate(values)]

    def _document(self, raw: Raw, path: str) -> bytes:
        """A text, or what a document has to say, as JSON: a model reads names and values."""
        if kind_of(raw) == QUOTE:
            return _TEXT + bytes(raw) + b"}"
        document = self._reader.object(raw, path)
        self._reader.rest(document, frozenset(("id", "data")), path)
        if is_absent(data := document.get("data")):
            raise self._reader.wrong(f"{path}.data", "an object, or a text")
        assert data is not None
        name = self._reader.text(document.get("id"), f"{path}.id")
        said = self._reader.text(data, path) if kind_of(data) == QUOTE else bytes(data).decode("utf-8", "replace")
        return _TEXT + encode(f"Document {name}: {said}" if name else f"Document: {said}") + b"}"

    def _assistant(self, turn: Object, path: str) -> None:
        reader = self._reader
        reader.rest(turn, _ASSISTANT, path)
        if not is_empty(turn.get("citations")):
            reader.decline("messages[].citations")
        thoughts = [literal for literal in [reader.literal(turn.get("tool_plan"), f"{path}.tool_plan")] if literal not in _EMPTY]
        texts: list[bytes] = []
        content = turn.get("content")
        if content is not None and kind_of(content) == b"[":
            for at, part in enumerate(reader.objects(content, f"{path}.content")):
                place = f"{path}.content[{at}]"
                match kind := reader.text(part.get("type"), f"{place}.type"):
                    case "text":
                        reader.rest(part, frozenset(("type", "text")), place)
                        texts += _texts(reader.literal(part.get("text"), f"{place}.text"))
                    case "thinking":
                        reader.rest(part, frozenset(("type", "thinking")), place)
                        thought = reader.literal(part.get("thinking"), f"{place}.thinking")
                        thoughts += [thought] if thought not in _EMPTY else []
                    case _:
                        raise reader.unsupported(place, f"a part of type '{kind[:40]}' is none that it knows")
        else:
            texts = self._parts(turn, path)
        raw = turn.get("tool_calls")
        given = reader.objects(raw, f"{path}.tool_calls") if raw is not None and not is_absent(raw) else []
        calls = [self._call(call, f"{path}.tool_calls[{at}]") for at, call in enumerate(given)]
        message: dict[str, Any] = {"role": "assistant", "content": None}
        if texts:
            message["content"] = Raw(joined([text[len(_TEXT) : -1] for text in texts]))
        if calls:
            message["tool_calls"] = calls
        if thoughts and calls and ("reasoning_content" in self._traits or "reasoning_details" in self._traits):
            message["reasoning_content" if "reasoning_content" in self._traits else "reasoning"] = Raw(joined(thoughts))
        elif thoughts:
            if not is_empty(turn.get("tool_plan")):
                reader.decline("messages[].tool_plan")
            if len(thoughts) > (not is_empty(turn.get("tool_plan"))):
                reader.decline("messages[].content[].thinking")
        if texts or calls:
            self.out.append(message)

    def _call(self, call: Object, path: str) -> dict[str, Any]:
        reader = self._reader
        reader.rest(call, frozenset(("id", "type", "function")), path)
        function = reader.object(call.get("function", Raw(b"null")), f"{path}.function")
        reader.rest(function, frozenset(("name", "arguments")), f"{path}.function")
        name = named(reader.text(function.get("name"), f"{path}.function.name"), self._names)
        arguments = reader.literal(function.get("arguments"), f"{path}.function.arguments")
        said = Raw(arguments if arguments not in _EMPTY else b'"{}"')
        call_id = self._id(reader.text(call.get("id"), f"{path}.id"))
        return {"id": call_id, "type": "function", "function": {"name": name, "arguments": said}}

    def _id(self, text: str) -> str:
        return tool_ids.mistral(text) if "short_ids" in self._traits else tool_ids.OPENAI(text)


_TEXT: Final = b'{"type":"text","text":'
_EMPTY: Final = (b"", b'""')


def _texts(literal: bytes) -> list[bytes]:
    return [] if literal in _EMPTY else [_TEXT + literal + b"}"]


def _add_tools(sent: Members, members: Members, reader: Reader, names: dict[str, str]) -> None:
    is_strict = bytes(members.get("strict_tools", b"false")) == b"true"
    tools: list[dict[str, Any]] = []
    for at, tool in enumerate(reader.objects(members["tools"], "tools") if "tools" in members else ()):
        path = f"tools[{at}]"
        reader.rest(tool, frozenset(("type", "function")), path)
        if reader.text(tool.get("type"), f"{path}.type") not in ("function", ""):
            raise reader.unsupported(path, "it calls functions only")
        function = reader.object(tool.get("function", Raw(b"null")), f"{path}.function")
        reader.rest(function, _FUNCTION, f"{path}.function")
        made: dict[str, Any] = {"name": named(reader.text(function.get("name"), f"{path}.function.name"), names)}
        made |= {name: function[name] for name in ("description", "parameters") if not is_absent(function.get(name))}
        if is_strict:
            made["strict"] = True
        tools.append({"type": "function", "function": made})
    asked = reader.text(members.get("tool_choice"), "tool_choice")
    if asked and asked not in _CHOICES:
        raise reader.wrong("tool_choice", "'REQUIRED' or 'NONE', or not there")
    if tools:
        sent["tools"] = Raw(encode(tools))
        if asked:
            sent["tool_choice"] = Raw(encode(_CHOICES[asked]))
    elif asked == "REQUIRED":
        raise reader.unsupported("tool_choice", "there are no tools to choose from")


def _add_form(sent: Members, members: Members, reader: Reader) -> None:
    if is_absent(raw := members.get("response_format")):
        return
    assert raw is not None
    asked = reader.object(raw, "response_format")
    reader.rest(asked, frozenset(("type", "json_schema")), "response_format")
    match kind := reader.text(asked.get("type"), "response_format.type"):
        case "text":
            return
        case "json_object":
            schema = asked.get("json_schema")
            made: dict[str, Any] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
            sent["response_format"] = Raw(encode({"type": "json_object"} if is_absent(schema) else made))
        case _:
            raise reader.unsupported("response_format.type", f"it has no format of type '{kind[:40]}'")


def _add_thinking(sent: Members, members: Members, reader: Reader) -> None:
    if is_absent(raw := members.get("thinking")):
        return
    assert raw is not None
    asked = reader.object(raw, "thinking")
    reader.rest(asked, frozenset(("type", "token_budget")), "thinking")
    match reader.text(asked.get("type"), "thinking.type"):
        case "enabled" if not is_absent(asked.get("token_budget")):
            sent["reasoning"] = Raw(encode({"max_tokens": asked["token_budget"]}))
        case "enabled":
            sent["reasoning"] = Raw(b'{"enabled":true}')
        case "disabled":
            # As without the member: a model that always thinks is not refused for it.
            reader.decline("thinking.type")
        case _:
            raise reader.wrong("thinking.type", "'enabled' or 'disabled'")
