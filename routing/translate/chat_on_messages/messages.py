"""A Chat conversation → Anthropic's system prompt and turns.

Rule: what a model reads keeps its order and its bytes: texts, schemas and images are copied as they stand in the JSON.
"""

from typing import Any, Final

from msgspec import Raw

from routing.translate import tool_ids
from routing.translate.chat_tools import arguments_of
from routing.translate.media import Media, media_of
from routing.translate.reader import BRACKET, QUOTE, Object, Reader, encode, is_absent, kind_of
from routing.translate.seals import ANTHROPIC
from routing.translate.thoughts import details_of

_IMAGES: Final = frozenset(("image/jpeg", "image/png", "image/gif", "image/webp"))
_SAID: Final = frozenset(("role", "content", "cache_control"))
_ASSISTANT: Final = _SAID | {"tool_calls", "refusal", "reasoning_details", "reasoning", "reasoning_content", "function_call"}
_TOOL: Final = _SAID | {"tool_call_id", "is_error"}
_TEXT_PART: Final = frozenset(("type", "text", "cache_control"))
_CALL: Final = frozenset(("id", "type", "function", "index"))


class Conversation:
    """`system` are the blocks of the system prompt, as JSON."""

    def __init__(self, reader: Reader, has_mid_system: bool) -> None:
        self._reader = reader
        self._has_mid_system = has_mid_system
        self._turns: list[tuple[str, list[bytes]]] = []
        self._calls: set[str] = set()
        self.system: list[bytes] = []

    def json(self) -> bytes:
        turns = [b'{"role":"%b","content":[%b]}' % (role.encode(), b",".join(blocks)) for role, blocks in self._turns]
        return b"[%b]" % b",".join(turns)

    def read(self, messages: Raw) -> None:
        for at, message in enumerate(self._reader.objects(messages, "messages")):
            self._message(message, f"messages[{at}]")
        if not self._turns:
            raise self._reader.wrong("messages", "a list with at least one message of a user that is not empty")

    def _message(self, message: Object, path: str) -> None:
        reader = self._reader
        role = reader.text(message.get("role"), f"{path}.role")
        match role:
            case "user":
                reader.rest(message, _SAID, path)
                self._say("user", self._marked(self._blocks(message.get("content"), f"{path}.content"), message))
            case "assistant":
                self._assistant(message, path)
            case "tool":
                self._result(message, path)
            case "system" | "developer":
                self._instruct(message, path)
            case "function":
                raise reader.unsupported(f"{path}.role", "functions became tools: send a message of role 'tool'")
            case _:
                raise reader.wrong(f"{path}.role", "'system', 'developer', 'user', 'assistant' or 'tool'")

    def _say(self, role: str, blocks: list[bytes]) -> None:
        if not blocks:
            return
        if self._turns and self._turns[-1][0] == role:
            self._turns[-1][1].extend(blocks)
        else:
            self._turns.append((role, blocks))

    def _instruct(self, message: Object, path: str) -> None:
        self._reader.rest(message, _SAID, path)
        blocks = self._marked(self._blocks(message.get("content"), f"{path}.content", is_text=True), message)
        if not self._turns:
            self.system += blocks
        elif self._has_mid_system:
            self._say("system", blocks)
        else:
            # It is said, but at another place.
            self._reader.decline(f"{path}.role")
            self.system += blocks

    def _assistant(self, message: Object, path: str) -> None:
        reader = self._reader
        reader.rest(message, _ASSISTANT, path)
        if not is_absent(message.get("function_call")):
            raise reader.unsupported(f"{path}.function_call", "functions became tools: send 'tool_calls'")
        blocks = self._thoughts(message, path)
        blocks += self._marked(self._blocks(message.get("content"), f"{path}.content", is_text=True), message)
        if refusal := reader.literal(message.get("refusal"), f"{path}.refusal"):
            blocks += _text(refusal)
        if not is_absent(calls := message.get("tool_calls")):
            assert calls is not None
            for at, call in enumerate(reader.objects(calls, f"{path}.tool_calls")):
                blocks.append(self._call(call, f"{path}.tool_calls[{at}]"))
        self._say("assistant", blocks)

    def _thoughts(self, message: Object, path: str) -> list[bytes]:
        """Thinking blocks come first. A signature of another provider's is an error there, and an unsigned thought too."""
        reader, blocks = self._reader, []
        for at, detail in enumerate(details_of(message.get("reasoning_details"), f"{path}.reasoning_details", reader)):
            if detail.format == ANTHROPIC and detail.type == "reasoning.text" and detail.signature:
                block = {"type": "thinking", "thinking": detail.text or "", "signature": detail.signature}
                blocks.append(encode(block))
            elif detail.format == ANTHROPIC and detail.type == "reasoning.encrypted" and detail.data:
                blocks.append(encode({"type": "redacted_thinking", "data": detail.data}))
            else:
                reader.decline(f"{path}.reasoning_details[{at}]")
        if not blocks:
            for name in ("reasoning", "reasoning_content"):
                if reader.literal(message.get(name), f"{path}.{name}") not in (b"", b'""'):
                    reader.decline(f"{path}.{name}")
        return blocks

    def _call(self, call: Object, path: str) -> bytes:
        reader = self._reader
        if reader.text(call.get("type"), f"{path}.type") not in ("function", ""):
            raise reader.unsupported(path, "a custom tool's input is no JSON")
        reader.rest(call, _CALL, path)
        function = reader.object(call.get("function", Raw(b"{}")), f"{path}.function")
        call_id = reader.text(call.get("id"), f"{path}.id")
        self._calls.add(call_id)
        name = reader.literal(function.get("name"), f"{path}.function.name")
        given = arguments_of(function.get("arguments"), f"{path}.function.arguments", reader)
        return b'{"type":"tool_use","id":%b,"name":%b,"input":%b}' % (encode(tool_ids.ANTHROPIC(call_id)), name, given)

    def _result(self, message: Object, path: str) -> None:
        reader = self._reader
        reader.rest(message, _TOOL | {"name"}, path)
        call_id = reader.text(message.get("tool_call_id"), f"{path}.tool_call_id")
        if call_id not in self._calls:
            raise reader.wrong(f"{path}.tool_call_id", "the id of a tool call in an assistant message before it")
        block: dict[str, Any] = {"type": "tool_result", "tool_use_id": tool_ids.ANTHROPIC(call_id)}
        content = self._blocks(message.get("content"), f"{path}.content")
        if content:
            block["content"] = Raw(b"[%b]" % b",".join(content))
        if bytes(message.get("is_error", b"false")) == b"true":
            block["is_error"] = True
        if not is_absent(mark := message.get("cache_control")):
            block["cache_control"] = mark
        self._say("user", [encode(block)])

    def _marked(self, blocks: list[bytes], message: Object) -> list[bytes]:
        """A mark on the message is one on its last block."""
        mark = message.get("cache_control")
        if mark is not None and not is_absent(mark) and blocks and b'"cache_control":' not in blocks[-1]:
            blocks[-1] = b'%b,"cache_control":%b}' % (blocks[-1][:-1], bytes(mark))
        return blocks

    def _blocks(self, content: Raw | None, path: str, *, is_text: bool = False) -> list[bytes]:
        """The blocks of a content: a string, parts, or nothing. `is_text`: nothing but text may stand there."""
        reader = self._reader
        if content is None or is_absent(content):
            return []
        if kind_of(content) == QUOTE:
            return _text(bytes(content))
        if kind_of(content) != BRACKET:
            raise reader.wrong(path, "a string or a list of parts")
        blocks = []
        for at, part in enumerate(reader.objects(content, path)):
            blocks += self._part(part, f"{path}[{at}]", is_text)
        return blocks

    def _part(self, part: Object, path: str, is_text: bool) -> list[bytes]:
        reader = self._reader
        kind = reader.text(part.get("type"), f"{path}.type")
        if kind in ("text", "refusal", "input_text", "output_text"):
            name = "refusal" if kind == "refusal" else "text"
            reader.rest(part, _TEXT_PART | {name}, path)
            return self._marked(_text(reader.literal(part.get(name), f"{path}.{name}")), part)
        if is_text:
            raise reader.unsupported(path, "only text can stand there")
        media = media_of(part, kind, path, reader)
        return self._marked([self._media(media, path)], part)

    def _media(self, media: Media, path: str) -> bytes:
        reader = self._reader
        if media.url and not reader.target.fetches_urls:
            raise reader.unsupported(path, "it fetches nothing; send the data itself as 'data:…;base64,…'")
        if media.kind == "image":
            if media.url:
                return b'{"type":"image","source":{"type":"url","url":%b}}' % media.url
            if media.mime not in _IMAGES:
                raise reader.unsupported(path, "it reads jpeg, png, gif and webp")
            source = b'{"type":"base64","media_type":"%b","data":%b}' % (media.mime.encode(), media.data)
            return b'{"type":"image","source":%b}' % source
        if media.kind != "file":
            raise reader.unsupported(path, f"it does not take {media.kind}")
        title = b',"title":%b' % media.name if media.name else b""
        if media.url:
            return b'{"type":"document","source":{"type":"url","url":%b}%b}' % (media.url, title)
        if media.mime == "application/pdf":
            source = b'{"type":"base64","media_type":"application/pdf","data":%b}' % media.data
        elif media.mime.startswith("text/"):
            source = b'{"type":"text","media_type":"text/plain","data":%b}' % media.text(path, reader)
        else:
            raise reader.unsupported(path, "it reads PDF and plain text")
        return b'{"type":"document","source":%b%b}' % (source, title)


def _text(literal: bytes) -> list[bytes]:
    """An empty text is an error there, and says nothing."""
    return [] if literal in (b"", b'""') else [b'{"type":"text","text":%b}' % literal]
