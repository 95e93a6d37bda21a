"""The input items of a Responses request → Chat's messages.

Rule: what the assistant said, thought and called up to the next item of anybody else is one message, as Chat has it.
Rule: an item that refers to something kept at OpenAI, or that only OpenAI's own tools make, is refused by its path.
"""

from typing import Any, Final

from msgspec import Raw

from routing.translate import thoughts, tool_ids
from routing.translate.reader import QUOTE, Object, Reader, encode, is_absent, joined, kind_of
from routing.translate.responses_on_chat.tools import INPUT, Tools

_MESSAGE: Final = frozenset(("type", "role", "content", "id", "status"))
_CALL: Final = frozenset(("type", "id", "status", "call_id", "name", "arguments", "input", "namespace"))
_OUTPUT: Final = frozenset(("type", "id", "status", "call_id", "output", "name"))
_REASONING: Final = frozenset(("type", "id", "status", "summary", "content", "encrypted_content"))
_IMAGE: Final = frozenset(("type", "image_url", "detail", "file_id"))
_FILE: Final = frozenset(("type", "filename", "file_data", "file_url", "file_id"))
_GAP: Final = b'"\\n\\n"'
_SEARCHES: Final = frozenset(("web_search_call", "file_search_call", "tool_search_call", "tool_search_output"))
_KEPT: Final = "this proxy keeps nothing: send the item itself"


class Items:
    """`out` are the messages, as JSON."""

    def __init__(self, reader: Reader, traits: frozenset[str], tools: Tools) -> None:
        self._reader = reader
        self._traits = traits
        self._tools = tools
        self._said: dict[str, Any] = {}
        """The assistant's message that is being put together."""
        self.out: list[bytes] = []

    def read(self, raw: Raw) -> None:
        reader = self._reader
        if kind_of(raw) == QUOTE:
            self.out.append(b'{"role":"user","content":%b}' % bytes(raw))
        else:
            for at, item in enumerate(reader.objects(raw, "input")):
                self._item(item, f"input[{at}]")
        self._flush()
        if not self.out:
            raise reader.wrong("input", "a text or a list of at least one item")

    def _flush(self) -> None:
        said, self._said = self._said, {}
        texts = said.pop("content", [])
        if "tool_calls" not in said:
            # Plain thoughts belong to the tool loop that they led to; elsewhere who wants them back wants them gone.
            said.pop("reasoning_content", None)
        if texts or said:
            content = Raw(self._content(texts) if texts else b"null")
            self.out.append(encode({"role": "assistant", "content": content, **said}))

    def _item(self, item: Object, path: str) -> None:
        reader = self._reader
        match kind := reader.text(item.get("type"), f"{path}.type") or "message":
            case "message":
                self._message(item, path)
            case "function_call" | "custom_tool_call":
                self._call(item, path, is_custom=kind == "custom_tool_call")
            case "function_call_output" | "custom_tool_call_output":
                self._result(item, path)
            case "reasoning":
                self._reasoning(item, path)
            case "additional_tools":
                self._tools.read(item.get("tools"), f"{path}.tools")
            case "item_reference":
                raise reader.unsupported(path, _KEPT)
            case "compaction_trigger" | "compaction":
                raise reader.unsupported(path, "it cannot compact a conversation; the client has to")
            case _ if kind in _SEARCHES:
                # What another provider looked up itself; the texts say what it found.
                reader.decline(path)
            case _:
                raise reader.unsupported(path, f"an item of type '{kind[:40]}' is none that it knows")

    def _message(self, item: Object, path: str) -> None:
        reader = self._reader
        reader.rest(item, _MESSAGE, path)
        role = reader.text(item.get("role"), f"{path}.role")
        if role not in ("user", "assistant", "system", "developer"):
            raise reader.wrong(f"{path}.role", "'user', 'assistant', 'system' or 'developer'")
        parts = self._parts(item.get("content", Raw(b"null")), f"{path}.content")
        if role == "assistant":
            self._said.setdefault("content", []).extend(parts)
            return
        self._flush()
        name = "system" if role == "developer" else role
        if parts or role == "user":
            content = self._content(parts) if parts else b'""'
            self.out.append(b'{"role":"%b","content":%b}' % (name.encode(), content))

    def _parts(self, content: Raw, path: str) -> list[bytes]:
        if is_absent(content):
            return []
        if kind_of(content) == QUOTE:
            return [] if bytes(content) == b'""' else [b'{"type":"text","text":%b}' % bytes(content)]
        parts = []
        for at, part in enumerate(self._reader.objects(content, path)):
            if made := self._part(part, f"{path}[{at}]"):
                parts.append(made)
        return parts

    def _part(self, part: Object, path: str) -> bytes:
        reader = self._reader
        match kind := reader.text(part.get("type"), f"{path}.type"):
            case "input_text" | "output_text" | "text" | "summary_text" | "refusal":
                name = "refusal" if kind == "refusal" else "text"
                reader.rest(part, frozenset(("type", name)), "input[].content[]")
                text = reader.literal(part.get(name), f"{path}.{name}")
                return b'{"type":"text","text":%b}' % text if text not in (b"", b'""') else b""
            case "input_image":
                self._refuse_file(part, path)
                reader.rest(part, _IMAGE, path)
                url = reader.literal(part.get("image_url"), f"{path}.image_url")
                if url in (b"", b'""'):
                    raise reader.wrong(f"{path}.image_url", "an address or the data itself (data:image/png;base64,…)")
                detail = part.get("detail")
                more = b',"detail":%b' % bytes(detail) if detail is not None and not is_absent(detail) else b""
                return b'{"type":"image_url","image_url":{"url":%b%b}}' % (url, more)
            case "input_file":
                self._refuse_file(part, path)
                reader.rest(part, _FILE, path)
                return self._file(part, path)
            case "input_audio":
                reader.rest(part, frozenset(("type", "input_audio")), path)
                return b'{"type":"input_audio","input_audio":%b}' % bytes(part.get("input_audio", b"{}"))
            case _:
                raise reader.unsupported(path, f"a part of type '{kind[:40]}' is none that it knows")

    def _refuse_file(self, part: Object, path: str) -> None:
        if not is_absent(part.get("file_id")):
            raise self._reader.unsupported(
                f"{path}.file_id", "a file kept at a provider is kept under this proxy's key; send its data"
            )

    def _file(self, part: Object, path: str) -> bytes:
        reader = self._reader
        name = reader.literal(part.get("filename"), f"{path}.filename")
        data = reader.literal(part.get("file_data"), f"{path}.file_data")
        if not data:
            data = reader.literal(part.get("file_url"), f"{path}.file_url")
            if not data:
                raise reader.wrong(f"{path}.file_data", "the document as 'data:application/pdf;base64,…'")
            if "file_urls" not in self._traits:
                raise reader.unsupported(f"{path}.file_url", "it fetches no documents; send 'file_data'")
        named = b'"filename":%b,' % name if name else b""
        return b'{"type":"file","file":{%b"file_data":%b}}' % (named, data)

    def _content(self, parts: list[bytes]) -> bytes:
        """A string where there is only text: many providers take no list of parts there."""
        if all(part.startswith(b'{"type":"text","text":"') for part in parts):
            spaced = [each for part in parts for each in (_GAP, part[22:-1])][1:]
            return joined(spaced)
        return b"[%b]" % b",".join(parts)

    def _id(self, raw: Raw | None, path: str) -> Raw:
        text = self._reader.text(raw, f"{path}.call_id")
        return Raw(encode(tool_ids.mistral(text) if "short_ids" in self._traits else tool_ids.OPENAI(text)))

    def _call(self, item: Object, path: str, *, is_custom: bool) -> None:
        reader = self._reader
        reader.rest(item, _CALL, path)
        name = reader.text(item.get("name"), f"{path}.name")
        name = self._tools.name_of(name, reader.text(item.get("namespace"), f"{path}.namespace"), is_custom=is_custom)
        if is_custom:
            arguments: Any = encode({INPUT: reader.text(item.get("input"), f"{path}.input")}).decode()
        else:
            given = reader.literal(item.get("arguments"), f"{path}.arguments")
            arguments = Raw(b'"{}"' if given in (b"", b'""') else given)
        call = {"id": self._id(item.get("call_id"), path), "type": "function", "function": {"name": name, "arguments": arguments}}
        self._said.setdefault("tool_calls", []).append(call)

    def _result(self, item: Object, path: str) -> None:
        reader = self._reader
        reader.rest(item, _OUTPUT, path)
        self._flush()
        below: list[bytes] = []
        parts = []
        for part in self._parts(item.get("output", Raw(b"null")), f"{path}.output"):
            if part.startswith(b'{"type":"text"') or "tool_images" in self._traits:
                parts.append(part)
            else:
                parts.append(b'{"type":"text","text":"[shown in the next message]"}')
                below.append(part)
        content = self._content(parts) if parts else b'""'
        call_id = bytes(self._id(item.get("call_id"), path))
        self.out.append(b'{"role":"tool","tool_call_id":%b,"content":%b}' % (call_id, content))
        if below:
            self.out.append(b'{"role":"user","content":[%b]}' % b",".join(below))

    def _reasoning(self, item: Object, path: str) -> None:
        """Thoughts, for those who can read them: a signature only for whose it is."""
        reader = self._reader
        reader.rest(item, _REASONING, path)
        said = self._said
        texts: list[bytes] = []
        for name in ("content", "summary"):
            if not texts and not is_absent(item.get(name)):
                for part in reader.objects(item[name], f"{path}.{name}"):
                    texts.append(reader.literal(part.get("text"), f"{path}.{name}"))
        text = joined(texts) if texts else b""
        encrypted = reader.text(item.get("encrypted_content"), f"{path}.encrypted_content")
        seal = thoughts.opened(encrypted)
        details: list[dict[str, Any]] = said.get("reasoning_details", [])
        if seal is not None and "reasoning_details" in self._traits:
            said["reasoning_details"] = [*details, _detail(seal, text, len(details))]
        elif encrypted:
            reader.decline("input[].encrypted_content")
        elif text not in (b"", b'""') and "reasoning_content" in self._traits:
            before = said.get("reasoning_content")
            said["reasoning_content"] = Raw(joined([bytes(before), text]) if before is not None else text)
        elif text not in (b"", b'""'):
            reader.decline("input[].content")


def _detail(seal: thoughts.Seal, text: bytes, number: int) -> dict[str, Any]:
    detail: dict[str, Any] = {"format": seal.format, "index": number}
    if seal.id:
        detail["id"] = seal.id
    if seal.kind == "signature":
        return detail | {"type": "reasoning.text", "text": Raw(text or b'""'), "signature": seal.data}
    return detail | {"type": "reasoning.encrypted", "data": seal.data}
