"""A Chat conversation → the input items of Responses.

Trap: a reasoning item must be followed by what it led to, and is refused alone (report 11): it stands before the text and the
calls of its turn, and is left out where there are none.
"""

from typing import Any, Final

from msgspec import Raw

from routing.translate import tool_ids
from routing.translate.conversation import Part, Turn, decline_thoughts, say_error, unmarked_turns_of
from routing.translate.media import Media
from routing.translate.reader import Reader, encode, joined
from routing.translate.thoughts import OPENAI, Detail

_AUDIO: Final = {"audio/mpeg": "mp3", "audio/wav": "wav"}


class Items:
    """`out` are the items, as JSON."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.out: list[bytes] = []

    def read(self, messages: Raw) -> None:
        for turn in unmarked_turns_of(messages, self._reader):
            match turn.role:
                case "system" | "user":
                    self._message(turn.role.encode(), self._content(turn))
                case "assistant":
                    self._assistant(turn)
                case "tool":
                    say_error(turn)
                    call_id = encode(tool_ids.OPENAI(turn.call_id))
                    item = b'{"type":"function_call_output","call_id":%b,"output":%b}'
                    self.out.append(item % (call_id, self._content(turn) or b'""'))

    def _message(self, role: bytes, content: bytes) -> None:
        if content:
            self.out.append(b'{"type":"message","role":"%b","content":%b}' % (role, content))

    def _content(self, turn: Turn) -> bytes:
        """A string where there is only text."""
        if all(part.text for part in turn.parts):
            return joined(turn.texts) if len(turn.parts) == 1 else self._list(turn)
        return self._list(turn)

    def _list(self, turn: Turn) -> bytes:
        parts = [self._part(part) for part in turn.parts]
        return b"[%b]" % b",".join(parts) if parts else b""

    def _assistant(self, turn: Turn) -> None:
        taken = self._thoughts(turn) if turn.parts or turn.calls else []
        decline_thoughts(turn, self._reader, *taken)
        if turn.texts:
            texts = b",".join([b'{"type":"output_text","text":%b,"annotations":[]}' % text for text in turn.texts])
            self._message(b"assistant", b"[%b]" % texts)
        for call in turn.calls:
            item = {
                "type": "function_call",
                "call_id": tool_ids.OPENAI(call.id),
                "name": call.name,
                "arguments": call.arguments.decode(),
            }
            self.out.append(encode(item))

    def _thoughts(self, turn: Turn) -> list[Detail]:
        """Items of encrypted thoughts, each with the summaries that stand before it."""
        taken: list[Detail] = []
        summary: list[Detail] = []
        for detail in turn.details:
            if detail.format != OPENAI:
                continue
            if detail.type == "reasoning.summary":
                summary.append(detail)
            elif detail.type == "reasoning.encrypted" and detail.data:
                item: dict[str, Any] = {"type": "reasoning"}
                if detail.id:
                    item["id"] = detail.id
                item["summary"] = [{"type": "summary_text", "text": each.summary or ""} for each in summary]
                item["encrypted_content"] = detail.data
                self.out.append(encode(item))
                taken += [*summary, detail]
                summary = []
        return taken

    def _part(self, part: Part) -> bytes:
        return b'{"type":"input_text","text":%b}' % part.text if part.media is None else self._media(part.media, part.path)

    def _media(self, media: Media, path: str) -> bytes:
        reader = self._reader
        if media.url and not reader.target.fetches_urls:
            raise reader.unsupported(path, "it fetches nothing; send the data itself as 'data:…;base64,…'")
        url = media.url or b'"data:%b;base64,%b"' % (media.mime.encode(), media.data[1:-1])
        match media.kind:
            case "image":
                detail = b',"detail":%b' % media.detail if media.detail else b""
                return b'{"type":"input_image","image_url":%b%b}' % (url, detail)
            case "file" if media.url:
                media.plain(path, reader)
                return b'{"type":"input_file","file_url":%b}' % url
            case "file":
                return b'{"type":"input_file","filename":%b,"file_data":%b}' % (media.name or b'"document"', url)
            case "audio" if media.mime in _AUDIO:
                sound = b'{"data":%b,"format":"%b"}' % (media.data, _AUDIO[media.mime].encode())
                return b'{"type":"input_audio","input_audio":%b}' % sound
            case _:
                raise reader.unsupported(path, f"it does not take {media.kind}")
