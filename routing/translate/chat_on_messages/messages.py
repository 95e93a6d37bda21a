"""A Chat conversation → Anthropic's system prompt and turns.

Rule: what a model reads keeps its order and its bytes: texts, schemas and images are copied as they stand in the JSON.
"""

from typing import Any, Final

from msgspec import Raw

from routing.translate import tool_ids
from routing.translate.conversation import Part, Turn, decline_thoughts, turns_of
from routing.translate.media import Media
from routing.translate.reader import Reader, encode, is_absent
from routing.translate.thoughts import ANTHROPIC, Detail

_IMAGES: Final = frozenset(("image/jpeg", "image/png", "image/gif", "image/webp"))


class Conversation:
    """`system` are the blocks of the system prompt, as JSON."""

    def __init__(self, reader: Reader, has_mid_system: bool) -> None:
        self._reader = reader
        self._has_mid_system = has_mid_system
        self._turns: list[tuple[str, list[bytes]]] = []
        self.system: list[bytes] = []

    def json(self) -> bytes:
        turns = [b'{"role":"%b","content":[%b]}' % (role.encode(), b",".join(blocks)) for role, blocks in self._turns]
        return b"[%b]" % b",".join(turns)

    def read(self, messages: Raw) -> None:
        for turn in turns_of(messages, self._reader):
            match turn.role:
                case "system":
                    self._instruct(turn)
                case "tool":
                    self._say("user", [self._result(turn)])
                case "user":
                    self._say("user", _marked(self._blocks(turn), turn.mark))
                case "assistant":
                    calls = [_call(call.id, call.name, call.arguments) for call in turn.calls]
                    self._say("assistant", [*self._thoughts(turn), *_marked(self._blocks(turn), turn.mark), *calls])

    def _say(self, role: str, blocks: list[bytes]) -> None:
        if not blocks:
            return
        if self._turns and self._turns[-1][0] == role:
            self._turns[-1][1].extend(blocks)
        else:
            self._turns.append((role, blocks))

    def _instruct(self, turn: Turn) -> None:
        blocks = _marked(self._blocks(turn), turn.mark)
        if not self._turns:
            self.system += blocks
        elif self._has_mid_system:
            self._say("system", blocks)
        else:
            # It is said, but at another place.
            self._reader.decline(f"{turn.path}.role")
            self.system += blocks

    def _thoughts(self, turn: Turn) -> list[bytes]:
        """Thinking blocks come first. A signature of another provider's is an error there, and an unsigned thought too."""
        taken: list[Detail] = []
        blocks: list[bytes] = []
        for detail in turn.details:
            if detail.format == ANTHROPIC and detail.type == "reasoning.text" and detail.signature:
                block = {"type": "thinking", "thinking": detail.text or "", "signature": detail.signature}
            elif detail.format == ANTHROPIC and detail.type == "reasoning.encrypted" and detail.data:
                block = {"type": "redacted_thinking", "data": detail.data}
            else:
                continue
            blocks.append(encode(block))
            taken.append(detail)
        decline_thoughts(turn, self._reader, *taken)
        return blocks

    def _result(self, turn: Turn) -> bytes:
        block: dict[str, Any] = {"type": "tool_result", "tool_use_id": tool_ids.ANTHROPIC(turn.call_id)}
        if content := self._blocks(turn):
            block["content"] = Raw(b"[%b]" % b",".join(content))
        if turn.is_error:
            block["is_error"] = True
        if not is_absent(turn.mark):
            block["cache_control"] = turn.mark
        return encode(block)

    def _blocks(self, turn: Turn) -> list[bytes]:
        return [block for part in turn.parts for block in _marked([self._block(part)], part.mark)]

    def _block(self, part: Part) -> bytes:
        return b'{"type":"text","text":%b}' % part.text if part.media is None else self._media(part.media, part.path)

    def _media(self, media: Media, path: str) -> bytes:
        reader = self._reader
        media = media.plain(path, reader, is_named=True)
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


def _call(call_id: str, name: str, arguments: bytes) -> bytes:
    return b'{"type":"tool_use","id":%b,"name":%b,"input":%b}' % (encode(tool_ids.ANTHROPIC(call_id)), encode(name), arguments)


def _marked(blocks: list[bytes], mark: Raw | None) -> list[bytes]:
    """A cache mark on what is said is one on its last block."""
    if mark is not None and not is_absent(mark) and blocks and b'"cache_control":' not in blocks[-1]:
        blocks[-1] = b'%b,"cache_control":%b}' % (blocks[-1][:-1], bytes(mark))
    return blocks
