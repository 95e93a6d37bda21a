"""Gemini's contents → Chat's messages.

Rule: an answer of a tool is a message of its own, behind the calls; it names its call by id, or, as Gemini's may, by the tool's
name: then it is that of the first call of that name that has none yet.
Rule: `thoughtSignature` is Google's own, or, sealed in Base64, another's (`routing.translate.thoughts`).
"""

import base64
import binascii
from collections import defaultdict, deque
from typing import Any, Final

from msgspec import Raw

from routing.translate import tool_ids
from routing.translate.reader import BRACE, Object, Reader, encode, is_absent, is_empty, kind_of
from routing.translate.thoughts import GEMINI, Seal, opened, sealed
from routing.translate.tool_ids import named

_PART: Final = frozenset(("text", "thought", "thoughtSignature", "inlineData", "fileData", "functionCall", "functionResponse"))
_SPOKEN: Final = ("partMetadata", "videoMetadata", "mediaResolution")
"""Of a part, what says how to look at it."""
_AUDIO: Final = {"audio/mpeg": "mp3", "audio/mp3": "mp3", "audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav"}
_BELOW: Final = "[shown in the next message]"
_WORDS: Final = {"audio/flac": "flac", "audio/ogg": "ogg", "audio/aac": "aac", "audio/mp4": "m4a"}


def sealed_bytes(seal: Seal) -> str:
    """As Google's clients take a signature: in Base64."""
    return base64.b64encode(sealed(seal).encode()).decode()


def opened_bytes(signature: str) -> Seal:
    """Whose a signature is."""
    try:
        found = opened(base64.b64decode(signature, validate=True).decode())
    except (binascii.Error, UnicodeDecodeError, ValueError):
        found = None
    return found or Seal(GEMINI, "encrypted", "", signature)


class OpenCalls:
    """The calls that have no answer yet."""

    def __init__(self) -> None:
        self._open: dict[int, str] = {}
        """Number → id."""
        self._begun = 0
        self._numbers: dict[tuple[str, bool], deque[int]] = defaultdict(deque)
        """By an id or, the other one, a name: in the order in which they came, with some that were taken by the other since."""

    def add(self, call_id: str, name: str) -> None:
        self._open[self._begun] = call_id
        for said in ((call_id, True), (name, False)):
            self._numbers[said].append(self._begun)
        self._begun += 1

    def take(self, call_id: str, name: str) -> str:
        """The id of the first one that has this id or, where none is said, this name; empty when there is none."""
        numbers = self._numbers.get((call_id, True) if call_id else (name, False), ())
        while numbers:
            if (taken := self._open.pop(numbers.popleft(), "")) != "":
                return taken
        return ""


class Contents:
    """`out` are the messages, as JSON. `names`: tools whose names were changed."""

    def __init__(self, reader: Reader, traits: frozenset[str], names: dict[str, str]) -> None:
        self._reader = reader
        self._traits = traits
        self._names = names
        self._open = OpenCalls()
        self._calls = 0
        self.out: list[bytes] = []

    def instruct(self, raw: Raw | None) -> None:
        if raw is None or is_absent(raw):
            return
        parts = self._parts(raw, "systemInstruction")
        texts = [self._text_part(part, path) for part, path in parts if "text" in part]
        if len(texts) != len(parts):
            raise self._reader.unsupported("systemInstruction.parts", "only text can stand there")
        self._say(b"system", texts)

    def read(self, raw: Raw) -> None:
        reader = self._reader
        contents = [reader.object(raw, "contents")] if kind_of(raw) == BRACE else reader.objects(raw, "contents")
        for at, content in enumerate(contents):
            path = f"contents[{at}]"
            reader.rest(content, frozenset(("role", "parts")), path)
            parts = self._parts_of(content.get("parts"), path)
            match reader.text(content.get("role"), f"{path}.role"):
                case "model":
                    self._model(parts)
                case "user" | "function" | "":
                    self._user(parts)
                case _:
                    raise reader.wrong(f"{path}.role", "'user' or 'model'")
        if not self.out:
            raise reader.wrong("contents", "a list of at least one content")

    def _parts(self, raw: Raw, path: str) -> list[tuple[Object, str]]:
        content = self._reader.object(raw, path)
        self._reader.rest(content, frozenset(("role", "parts")), path)
        return self._parts_of(content.get("parts"), path)

    def _parts_of(self, raw: Raw | None, path: str) -> list[tuple[Object, str]]:
        if raw is None or is_absent(raw):
            return []
        reader, path = self._reader, f"{path}.parts"
        parts = [reader.object(raw, path)] if kind_of(raw) == BRACE else reader.objects(raw, path)
        for at, part in enumerate(parts):
            for name in sorted(part.keys() - _PART):
                if name in _SPOKEN and not is_empty(part[name]):
                    reader.decline(f"{path}[{at}].{name}")
                elif name not in _SPOKEN and not is_absent(part[name]):
                    raise reader.unsupported(f"{path}[{at}].{name}", "Chat has no such part")
        return [(part, f"{path}[{at}]") for at, part in enumerate(parts)]

    def _text_part(self, part: Object, path: str) -> bytes:
        return b'{"type":"text","text":%b}' % (self._reader.literal(part.get("text"), f"{path}.text") or b'""')

    def _say(self, role: bytes, parts: list[bytes]) -> None:
        if len(parts) == 1 and parts[0].startswith(b'{"type":"text","text":'):
            self.out.append(b'{"role":"%b","content":%b}' % (role, parts[0][22:-1]))
        elif parts:
            self.out.append(b'{"role":"%b","content":[%b]}' % (role, b",".join(parts)))

    def _user(self, parts: list[tuple[Object, str]]) -> None:
        said: list[bytes] = []
        for part, path in parts:
            if not is_absent(part.get("functionResponse")):
                place = f"{path}.functionResponse"
                said += self._answer(self._reader.object(part["functionResponse"], place), place)
            elif not is_absent(part.get("functionCall")):
                raise self._reader.wrong(f"{path}.functionCall", "in a content of the role 'model'")
            else:
                said += self._spoken(part, path)
        self._say(b"user", said)

    def _spoken(self, part: Object, path: str) -> list[bytes]:
        if not is_absent(part.get("inlineData")):
            return [self._inline(self._reader.object(part["inlineData"], f"{path}.inlineData"), f"{path}.inlineData")]
        if not is_absent(part.get("fileData")):
            return [self._remote(self._reader.object(part["fileData"], f"{path}.fileData"), f"{path}.fileData")]
        # An empty text is an error at many, and says nothing.
        is_said = self._reader.literal(part.get("text"), f"{path}.text") not in (b"", b'""')
        return [self._text_part(part, path)] if is_said else []

    def _inline(self, blob: Object, path: str) -> bytes:
        reader = self._reader
        reader.rest(blob, frozenset(("mimeType", "data", "displayName")), path)
        mime, data = reader.text(blob.get("mimeType"), f"{path}.mimeType").lower(), reader.text(blob.get("data"), f"{path}.data")
        if mime in _AUDIO or mime in _WORDS:
            self._name_of(blob, path)
            form = _AUDIO.get(mime) or _WORDS[mime]
            return encode({"type": "input_audio", "input_audio": {"data": data, "format": form}})
        return encode(self._located(mime, f"data:{mime};base64,{data}", blob, path))

    def _remote(self, file: Object, path: str) -> bytes:
        reader = self._reader
        reader.rest(file, frozenset(("mimeType", "fileUri", "displayName")), path)
        mime, uri = reader.text(file.get("mimeType"), f"{path}.mimeType"), reader.text(file.get("fileUri"), f"{path}.fileUri")
        if not uri.startswith(("https://", "http://")):
            raise reader.unsupported(f"{path}.fileUri", "send the content itself, as 'inlineData'")
        if not mime.startswith("image/") and "file_urls" not in self._traits:
            raise reader.unsupported(f"{path}.fileUri", "send the document itself, as 'inlineData'")
        return encode(self._located(mime, uri, file, path))

    def _name_of(self, holder: Object, path: str, *, is_taken: bool = False) -> str:
        """What a medium is called, which only a document can be in Chat."""
        name = self._reader.text(holder.get("displayName"), f"{path}.displayName")
        if name and not is_taken:
            self._reader.decline(f"{path}.displayName")
        return name

    def _located(self, mime: str, url: str, holder: Object, path: str) -> dict[str, Any]:
        name = self._name_of(holder, path, is_taken=not mime.startswith(("image/", "video/")))
        if mime.startswith("image/"):
            return {"type": "image_url", "image_url": {"url": url}}
        if mime.startswith("video/"):
            return {"type": "video_url", "video_url": {"url": url}}
        if not mime or mime.startswith("audio/"):
            raise self._reader.unsupported(f"{path}.mimeType", "Chat has no part for it")
        return {"type": "file", "file": {"filename": name or "document", "file_data": url}}

    def _answer(self, given: Object, path: str) -> list[bytes]:
        """A message of its own; what that cannot hold (a picture) is shown at the beginning of the next one."""
        reader = self._reader
        reader.rest(given, frozenset(("id", "name", "response", "parts")), path)
        name, call_id = reader.text(given.get("name"), f"{path}.name"), reader.text(given.get("id"), f"{path}.id")
        call_id = self._open.take(call_id, name) or call_id
        if not call_id:
            raise reader.wrong(path, "an answer to a call that stands before it")
        shown = [self._spoken(part, place) for part, place in self._parts_of(given.get("parts"), path)]
        parts = [each for found in shown for each in found]
        content: Any = bytes(given.get("response", b"{}")).decode("utf-8", "replace")
        if parts and "tool_images" in self._traits:
            content = [{"type": "text", "text": content}, *map(Raw, parts)]
        elif parts:
            content += "\n" + _BELOW
        self.out.append(encode({"role": "tool", "tool_call_id": self._id(call_id), "content": content}))
        return [] if "tool_images" in self._traits else parts

    def _id(self, text: str) -> str:
        return tool_ids.mistral(text) if "short_ids" in self._traits else tool_ids.OPENAI(text)

    def _model(self, parts: list[tuple[Object, str]]) -> None:
        said: list[bytes] = []
        calls: list[dict[str, Any]] = []
        details: list[dict[str, Any]] = []
        for part, path in parts:
            signature = self._reader.text(part.get("thoughtSignature"), f"{path}.thoughtSignature")
            call_id = ""
            if not is_absent(part.get("functionCall")):
                calls.append(
                    self._call(self._reader.object(part["functionCall"], f"{path}.functionCall"), f"{path}.functionCall")
                )
                call_id = calls[-1]["id"]
            elif bytes(part.get("thought", b"false")) == b"true":
                if text := self._reader.text(part.get("text"), f"{path}.text"):
                    details.append({"type": "reasoning.text", "text": text, "index": len(details)})
            else:
                said += self._spoken(part, path)
            if signature:
                self._sign(opened_bytes(signature), call_id, details)
        message: dict[str, Any] = {"role": "assistant", "content": None}
        self._think(details, message, has_calls=bool(calls))
        texts = [each[22:-1] for each in said if each.startswith(b'{"type":"text","text":')]
        if len(texts) != len(said):
            # A picture that a model made comes back with the conversation, and Chat's assistant says texts.
            self._reader.decline("contents[].parts[].inlineData")
        if texts:
            message["content"] = Raw(b'"%b"' % b"".join([text[1:-1] for text in texts]))
        if calls:
            message["tool_calls"] = calls
        if texts or calls:
            self.out.append(encode(message))

    def _sign(self, seal: Seal, call_id: str, details: list[dict[str, Any]]) -> None:
        """A signature of a text belongs to the thought that stands before it; what is encrypted stands by itself."""
        if seal.kind == "signature":
            last = details[-1] if details and details[-1]["type"] == "reasoning.text" else None
            if last is None:
                last = {"type": "reasoning.text", "text": "", "index": len(details)}
                details.append(last)
            last |= {"signature": seal.data, "format": seal.format}
            return
        detail = {"type": "reasoning.encrypted", "data": seal.data, "format": seal.format, "index": len(details)}
        if seal.id or call_id:
            detail["id"] = seal.id or call_id
        details.append(detail)

    def _think(self, details: list[dict[str, Any]], message: dict[str, Any], *, has_calls: bool) -> None:
        """Thoughts go to those who read them; plain ones belong to the calls that they led to."""
        plain = [each["text"] for each in details if "signature" not in each and each.get("text")]
        if details and "reasoning_details" in self._traits:
            message["reasoning_details"] = details
            return
        if any("signature" in each or "data" in each for each in details):
            self._reader.decline("contents[].parts[].thoughtSignature")
        if plain and "reasoning_content" in self._traits:
            # Those of a turn without calls are not wanted back: it is nothing to report.
            message |= {"reasoning_content": "".join(plain)} if has_calls else {}
        elif any(each.get("text") for each in details):
            self._reader.decline("contents[].parts[].thought")

    def _call(self, call: Object, path: str) -> dict[str, Any]:
        reader = self._reader
        reader.rest(call, frozenset(("id", "name", "args")), path)
        name = reader.text(call.get("name"), f"{path}.name")
        call_id = reader.text(call.get("id"), f"{path}.id") or f"call_{self._calls}"
        self._calls += 1
        self._open.add(call_id, name)
        arguments = bytes(call.get("args", b"{}")).decode("utf-8", "replace")
        function = {"name": named(name, self._names), "arguments": "{}" if arguments == "null" else arguments}
        return {"id": self._id(call_id), "type": "function", "function": function}
