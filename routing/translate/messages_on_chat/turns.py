"""Anthropic's system prompt and turns → Chat's messages.

Rule: results of tools stand right behind the calls, one message each; what else the user's turn has follows in one message.
Images of a result, which Chat's tool messages cannot hold, are shown at the beginning of that message (report 16).
Rule: texts are strings where nothing but text is said: many providers take no list of parts there.
"""

from typing import Any, Final

from msgspec import Raw

from routing.translate import tool_ids
from routing.translate.messages_on_chat.thinking import Thoughts
from routing.translate.reader import QUOTE, Object, Reader, encode, is_absent, is_empty, joined, kind_of

_TURN: Final = frozenset(("role", "content"))
_MARK: Final = frozenset(("type", "cache_control"))
_TEXT: Final = _MARK | {"text"}
_DOCUMENT: Final = _MARK | {"source", "title", "context"}
_RESULT: Final = _MARK | {"tool_use_id", "content", "is_error"}
_USE: Final = _MARK | {"id", "name", "input", "caller"}
_CALLERS: Final = (b"null", b'{"type":"direct"}')
"""Who called a tool: the model itself, which goes without saying."""
_GAP: Final = b'"\\n\\n"'
_BELOW: Final = b'"[shown in the next message]"'


class Turns:
    """`out` are the messages, as JSON. `names`: tools whose names were changed."""

    def __init__(self, reader: Reader, traits: frozenset[str], names: dict[str, str]) -> None:
        self._reader = reader
        self._traits = traits
        self._names = names
        self._is_marked = "cache_control" in traits
        self.out: list[bytes] = []

    def instruct(self, system: Raw | None) -> None:
        if system is None or is_absent(system):
            return
        content = self._content(self._texts(system, "system"))
        if content:
            self.out.append(b'{"role":"system","content":%b}' % content)

    def read(self, messages: Raw) -> None:
        for at, turn in enumerate(self._reader.objects(messages, "messages")):
            path = f"messages[{at}]"
            self._reader.rest(turn, _TURN, path)
            role = self._reader.text(turn.get("role"), f"{path}.role")
            content = turn.get("content", Raw(b"null"))
            match role:
                case "user":
                    self._user(content, f"{path}.content")
                case "assistant":
                    self._assistant(content, f"{path}.content")
                case "system":
                    if said := self._content(self._texts(content, f"{path}.content")):
                        self.out.append(b'{"role":"system","content":%b}' % said)
                case _:
                    raise self._reader.wrong(f"{path}.role", "'user', 'assistant' or 'system'")
        if not self.out:
            raise self._reader.wrong("messages", "a list of at least one message")

    def _blocks(self, content: Raw, path: str) -> list[Object]:
        if kind_of(content) == QUOTE:
            return [{"type": Raw(b'"text"'), "text": content}]
        return self._reader.objects(content, path)

    def _texts(self, content: Raw, path: str) -> list[bytes]:
        """The parts of a content that must be text."""
        parts = []
        for at, block in enumerate(self._blocks(content, path)):
            if self._reader.text(block.get("type"), f"{path}[{at}].type") != "text":
                raise self._reader.unsupported(f"{path}[{at}]", "only text can stand there")
            parts += self._text(block, f"{path}[{at}]")
        return parts

    def _text(self, block: Object, path: str) -> list[bytes]:
        self._reader.rest(block, _TEXT, path)
        literal = self._reader.literal(block.get("text"), f"{path}.text")
        return [] if literal in (b"", b'""') else [b'{"type":"text","text":%b%b}' % (literal, self._mark(block))]

    def _mark(self, block: Object) -> bytes:
        mark = block.get("cache_control")
        if mark is None or is_absent(mark):
            return b""
        if self._is_marked:
            return b',"cache_control":%b' % bytes(mark)
        self._reader.decline("messages[].content[].cache_control")
        return b""

    def _decline_mark(self, block: Object) -> None:
        """Of a block that is several parts in Chat, or one that Chat has no mark for."""
        if not is_absent(block.get("cache_control")):
            self._reader.decline("messages[].content[].cache_control")

    def _content(self, parts: list[bytes]) -> bytes:
        """A string where there is only text without a mark, else the list."""
        if not parts:
            return b""
        if all(part.startswith(b'{"type":"text","text":"') and b'","cache_control":' not in part[-120:] for part in parts):
            literals = [part[22:-1] for part in parts]
            spaced = [each for literal in literals for each in (_GAP, literal)][1:]
            return joined(spaced)
        return b"[%b]" % b",".join(parts)

    def _user(self, content: Raw, path: str) -> None:
        parts: list[bytes] = []
        for at, block in enumerate(self._blocks(content, path)):
            parts += self._block(block, f"{path}[{at}]", parts)
        if said := self._content(parts):
            self.out.append(b'{"role":"user","content":%b}' % said)

    def _block(self, block: Object, path: str, parts: list[bytes]) -> list[bytes]:
        """The parts that a block is."""
        reader = self._reader
        match kind := reader.text(block.get("type"), f"{path}.type"):
            case "text":
                return self._text(block, path)
            case "image":
                reader.rest(block, _MARK | {"source"}, path)
                return [self._image(block, path)]
            case "document":
                return self._document(block, path)
            case "search_result":
                return self._search_result(block, path)
            case "tool_result":
                self._result(block, path, parts)
                return []
            case "container_upload":
                raise reader.unsupported(path, "a file kept at a provider is kept under this proxy's key")
            case _:
                raise reader.unsupported(path, f"a block of type '{kind[:40]}' is none that it knows")

    def _image(self, block: Object, path: str) -> bytes:
        reader, path = self._reader, f"{path}.source"
        source = reader.object(block.get("source", Raw(b"null")), path)
        match reader.text(source.get("type"), f"{path}.type"):
            case "base64":
                url = self._data_url(source, path)
            case "url":
                url = reader.needed_literal(source, "url", path)
            case _:
                raise reader.unsupported(path, "a file kept at a provider is kept under this proxy's key; send its data")
        return b'{"type":"image_url","image_url":{"url":%b}%b}' % (url, self._mark(block))

    def _data_url(self, source: Object, path: str) -> bytes:
        mime = self._reader.needed_literal(source, "media_type", path)
        data = self._reader.needed_literal(source, "data", path)
        return b'"data:%b;base64,%b"' % (mime[1:-1], data[1:-1])

    def _document(self, block: Object, path: str) -> list[bytes]:
        reader = self._reader
        reader.rest(block, _DOCUMENT, path)
        source = reader.object(block.get("source", Raw(b"null")), f"{path}.source")
        title = reader.literal(block.get("title"), f"{path}.title")
        context = reader.literal(block.get("context"), f"{path}.context")
        about = [b'{"type":"text","text":%b}' % context] if context not in (b"", b'""') else []
        match reader.text(source.get("type"), f"{path}.source.type"):
            case "base64":
                name, data = title or b'"document.pdf"', self._data_url(source, f"{path}.source")
            case "url" if "file_urls" in self._traits:
                name, data = title or b'"document"', reader.needed_literal(source, "url", f"{path}.source")
            case "url":
                raise reader.unsupported(f"{path}.source", "it fetches no documents; send the data")
            case "text":
                text = reader.needed_literal(source, "data", f"{path}.source")
                head = [b'{"type":"text","text":%b}' % title] if title not in (b"", b'""') else []
                return [*head, *about, b'{"type":"text","text":%b%b}' % (text, self._mark(block))]
            case "content":
                self._decline_mark(block)
                inner = self._blocks(source.get("content", Raw(b"[]")), f"{path}.source.content")
                head = [b'{"type":"text","text":%b}' % title] if title not in (b"", b'""') else []
                said = [part for at, each in enumerate(inner) for part in self._block(each, f"{path}.source.content[{at}]", [])]
                return [*head, *about, *said]
            case _:
                raise reader.unsupported(
                    f"{path}.source", "a file kept at a provider is kept under this proxy's key; send its data"
                )
        file = b'{"type":"file","file":{"filename":%b,"file_data":%b}%b}' % (name, data, self._mark(block))
        return [*about, file]

    def _search_result(self, block: Object, path: str) -> list[bytes]:
        reader = self._reader
        reader.rest(block, _MARK | {"source", "title", "content"}, path)
        self._decline_mark(block)
        heads = [literal for name in ("title", "source") if (literal := reader.literal(block.get(name), f"{path}.{name}"))]
        parts = [b'{"type":"text","text":%b}' % literal for literal in heads]
        return parts + self._texts(block.get("content", Raw(b"[]")), f"{path}.content")

    def _result(self, block: Object, path: str, parts: list[bytes]) -> None:
        """A tool's result is a message of its own; `parts` gets what that cannot hold."""
        reader = self._reader
        reader.rest(block, _RESULT, path)
        call_id = self._id(reader.text(block.get("tool_use_id"), f"{path}.tool_use_id"))
        content = block.get("content", Raw(b"null"))
        inner = [] if is_absent(content) else self._blocks(content, f"{path}.content")
        said: list[bytes] = []
        for at, each in enumerate(inner):
            made = self._block(each, f"{path}.content[{at}]", parts)
            for part in made:
                if part.startswith(b'{"type":"text"') or "tool_images" in self._traits:
                    said.append(part)
                else:
                    said.append(b'{"type":"text","text":%b}' % _BELOW)
                    parts.append(part)
        is_error = bytes(block.get("is_error", b"false")) == b"true"
        more = b""
        if is_error and "is_error" in self._traits:
            more = b',"is_error":true'
        elif is_error:
            said.insert(0, b'{"type":"text","text":"Error:"}')
        more += self._mark(block)
        message = b'{"role":"tool","tool_call_id":%b,"content":%b%b}'
        self.out.append(message % (encode(call_id), self._content(said) or b'""', more))

    def _id(self, text: str) -> str:
        return tool_ids.mistral(text) if "short_ids" in self._traits else tool_ids.OPENAI(text)

    def _assistant(self, content: Raw, path: str) -> None:
        reader = self._reader
        parts: list[bytes] = []
        calls: list[dict[str, Any]] = []
        thoughts = Thoughts(reader, self._traits)
        for at, block in enumerate(self._blocks(content, path)):
            place = f"{path}[{at}]"
            match kind := reader.text(block.get("type"), f"{place}.type"):
                case "text":
                    # Pages that its texts quote are a matter of the answer that had them.
                    if not is_empty(block.get("citations")):
                        reader.decline("messages[].content[].citations")
                    parts += self._text({name: raw for name, raw in block.items() if name != "citations"}, place)
                case "thinking" | "redacted_thinking":
                    thoughts.add(kind, block, place)
                case "tool_use":
                    calls.append(self._use(block, place))
                case _ if kind.startswith("server_tool_use") or kind.endswith("_tool_result"):
                    # What another provider searched for itself; the texts say what it found.
                    reader.decline(place)
                case _:
                    raise reader.unsupported(place, f"a block of type '{kind[:40]}' is none that it knows")
        message: dict[str, Any] = {
            "role": "assistant",
            "content": Raw(self._content(parts) or b"null"),
            **thoughts.members(bool(calls)),
        }
        if calls:
            message["tool_calls"] = calls
        if parts or calls or len(message) > 2:
            self.out.append(encode(message))

    def _use(self, block: Object, path: str) -> dict[str, Any]:
        reader = self._reader
        reader.rest(block, _USE, path)
        self._decline_mark(block)
        if bytes(block.get("caller", b"null")).replace(b" ", b"") not in _CALLERS:
            reader.decline("messages[].content[].caller")
        name = tool_ids.NAME(reader.text(block.get("name"), f"{path}.name"))
        arguments = reader.written(block.get("input", Raw(b"{}")), f"{path}.input")
        call_id = self._id(reader.text(block.get("id"), f"{path}.id"))
        return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
