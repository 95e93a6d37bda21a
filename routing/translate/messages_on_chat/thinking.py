"""The thinking blocks of Anthropic's turns → Chat's `reasoning_details`, or plain thoughts, for those who can read them."""

from typing import Any, Final

from msgspec import Raw

from routing.translate import thoughts
from routing.translate.reader import Object, Reader, joined

_THOUGHT: Final = {
    "thinking": frozenset(("type", "thinking", "signature")),
    "redacted_thinking": frozenset(("type", "data")),
}


class Thoughts:
    """The thinking of one assistant's turn, for those who can read it."""

    def __init__(self, reader: Reader, traits: frozenset[str]) -> None:
        self._reader = reader
        self._traits = traits
        self._details: list[dict[str, Any]] = []
        self._plain: list[bytes] = []

    def add(self, kind: str, block: Object, path: str) -> None:
        reader = self._reader
        reader.rest(block, _THOUGHT[kind], path)
        text = b""
        if kind == "redacted_thinking":
            data = reader.text(block.get("data"), f"{path}.data")
            seal = thoughts.opened(data) or thoughts.Seal(thoughts.ANTHROPIC, "encrypted", "", data)
            detail = {"type": "reasoning.encrypted", "data": seal.data, "format": seal.format, "index": len(self._details)}
            if seal.id:
                detail["id"] = seal.id
        else:
            text = reader.literal(block.get("thinking"), f"{path}.thinking")
            signature = reader.text(block.get("signature"), f"{path}.signature")
            if not signature:
                self._unsigned(text)
                return
            detail = {"type": "reasoning.text", "text": Raw(text or b'""'), "signature": signature, "format": thoughts.ANTHROPIC}
            detail["index"] = len(self._details)
        if "reasoning_details" in self._traits:
            self._details.append(detail)
        elif kind == "redacted_thinking":
            reader.decline("messages[].content[].data")
        else:
            reader.decline("messages[].content[].signature")
            if text not in (b"", b'""'):
                reader.decline("messages[].content[].thinking")

    def _unsigned(self, text: bytes) -> None:
        if text in (b"", b'""'):
            return
        if "reasoning_content" in self._traits:
            self._plain.append(text)
        else:
            self._reader.decline("messages[].content[].thinking")

    def members(self, has_calls: bool) -> dict[str, Any]:
        """Plain thoughts belong to the tool loop that they led to; elsewhere who wants them back wants them gone."""
        found: dict[str, Any] = {}
        if self._plain and has_calls:
            found["reasoning_content"] = Raw(joined(self._plain))
        if self._details:
            found["reasoning_details"] = self._details
        return found
