"""A Chat conversation → Converse's system blocks and messages.

Traps: roles must alternate; documents need a name of few characters, each another; a blank text is refused, also in a result.
Limits: what an empty result of a tool must be sent as is not documented; it is refused here by its path.
"""

import re
from typing import Any, Final

from msgspec import Raw

from routing.translate import tool_ids
from routing.translate.conversation import Part, Turn, decline_thoughts, turns_of
from routing.translate.media import Media
from routing.translate.reader import Reader, encode, is_absent
from routing.translate.thoughts import ANTHROPIC, Detail

_IMAGES: Final = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_VIDEOS: Final = {"video/mp4": "mp4", "video/quicktime": "mov", "video/webm": "webm"}
_DOCUMENTS: Final = {
    "application/pdf": "pdf",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/html": "html",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}
_NOT_IN_NAMES: Final = re.compile(r"[^\w\s()\[\]-]|_")


class Conversation:
    """`system` and the messages, as JSON. `has_calls`: whether a tool was called in it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._turns: list[tuple[str, list[bytes]]] = []
        self._documents = 0
        self.system: list[bytes] = []
        self.has_calls = False

    def json(self) -> bytes:
        turns = [b'{"role":"%b","content":[%b]}' % (role.encode(), b",".join(blocks)) for role, blocks in self._turns]
        return b"[%b]" % b",".join(turns)

    def read(self, messages: Raw) -> None:
        for turn in turns_of(messages, self._reader):
            match turn.role:
                case "system":
                    if self._turns:
                        # It is said, but at another place.
                        self._reader.decline(f"{turn.path}.role")
                    self.system += self._blocks(turn)
                case "user":
                    self._say("user", self._blocks(turn))
                case "assistant":
                    self.has_calls = self.has_calls or bool(turn.calls)
                    calls = [
                        b'{"toolUse":{"toolUseId":%b,"name":%b,"input":%b}}'
                        % (encode(tool_ids.CONVERSE(call.id)), encode(call.name), call.arguments)
                        for call in turn.calls
                    ]
                    self._say("assistant", [*self._thoughts(turn), *self._blocks(turn), *calls])
                case "tool":
                    self._say("user", self._result(turn))

    def _say(self, role: str, blocks: list[bytes]) -> None:
        if not blocks:
            return
        if self._turns and self._turns[-1][0] == role:
            self._turns[-1][1].extend(blocks)
        else:
            self._turns.append((role, blocks))

    def _blocks(self, turn: Turn) -> list[bytes]:
        blocks = []
        for part in turn.parts:
            blocks.append(self._block(part))
            blocks += cache_point(part.mark)
        return blocks + (cache_point(turn.mark) if blocks else [])

    def _thoughts(self, turn: Turn) -> list[bytes]:
        taken: list[Detail] = []
        blocks: list[bytes] = []
        for detail in turn.details:
            if detail.format == ANTHROPIC and detail.type == "reasoning.text" and detail.signature:
                thought: dict[str, Any] = {"reasoningText": {"text": detail.text or "", "signature": detail.signature}}
            elif detail.format == ANTHROPIC and detail.type == "reasoning.encrypted" and detail.data:
                thought = {"redactedContent": detail.data}
            else:
                continue
            blocks.append(encode({"reasoningContent": thought}))
            taken.append(detail)
        decline_thoughts(turn, self._reader, *taken)
        return blocks

    def _result(self, turn: Turn) -> list[bytes]:
        content = [self._block(part) for part in turn.parts]
        marks = [point for part in turn.parts for point in cache_point(part.mark)] or cache_point(turn.mark)
        if not content:
            raise self._reader.unsupported(f"{turn.path}.content", "it takes no empty result of a tool; say what happened")
        result: dict[str, Any] = {"toolUseId": tool_ids.CONVERSE(turn.call_id), "content": Raw(b"[%b]" % b",".join(content))}
        if turn.is_error:
            result["status"] = "error"
        # What a result holds has no marks there; the result has.
        return [encode({"toolResult": result}), *marks[-1:]]

    def _block(self, part: Part) -> bytes:
        return b'{"text":%b}' % part.text if part.media is None else self._media(part.media, part.path)

    def _media(self, media: Media, path: str) -> bytes:
        reader, media = self._reader, media.plain(path, self._reader, is_named=True)
        if media.url:
            raise reader.unsupported(path, "it fetches nothing; send the data itself as 'data:…;base64,…'")
        for kind, formats in (("image", _IMAGES), ("video", _VIDEOS), ("file", _DOCUMENTS)):
            if media.kind == kind and (format := formats.get(media.mime)):
                name = b""
                if kind == "file":
                    self._documents += 1
                    name = b',"name":%b' % encode(self._named(media))
                kind = "document" if kind == "file" else kind
                return b'{"%b":{"format":"%b"%b,"source":{"bytes":%b}}}' % (kind.encode(), format.encode(), name, media.data)
        raise reader.unsupported(path, f"it does not take {media.kind} of type '{media.mime[:80]}'")

    def _named(self, media: Media) -> str:
        name = self._reader.text(Raw(media.name), "filename") if media.name else "document"
        return f"{' '.join(_NOT_IN_NAMES.sub(' ', name).split())[:150]} {self._documents}"


def cache_point(mark: Raw | None) -> list[bytes]:
    if mark is None or is_absent(mark):
        return []
    return [b'{"cachePoint":{"type":"default"%b}}' % (b',"ttl":"1h"' if b'"1h"' in bytes(mark) else b"")]
