"""What the translators of server-sent events share: how an event is read, and how one that is like the last takes the short way.

Rule: `_take` says what one event becomes; it sets `_text` when the event was nothing but a piece of text: from such a one a frame
is learned.
"""

from abc import ABC, abstractmethod
from typing import Final

import msgspec
from msgspec import Raw

from routing.translate.chat_view import Chunk, Delta, literal_of, read_chunk
from routing.translate.events import DONE, NOTHING, Payloads, view
from routing.translate.frames import Frame, Framed, is_one_event, learned

_NO_ANNOTATION: Final = (*NOTHING, b"[]")


class EventTranslator(Framed, ABC):
    """One stream. `is_framing`: whether the last `feed` held nothing but signs of life."""

    __slots__ = ("_is_over", "_payloads", "_text", "is_framing")

    def __init__(self, line_bytes_max: int) -> None:
        self.is_framing = False
        self.frame = None
        self._payloads = Payloads(line_bytes_max)
        self._text = b""
        """The text of the event that was read last, if that was nothing but a piece of text."""
        self._is_over = False

    def feed(self, data: bytes) -> bytes:
        if self.frame is not None:
            if (text := self.text_in(data)) is not None:
                return self.said(text)
            self.frame = None
        return self._read(data)

    def _read(self, data: bytes) -> bytes:
        self.is_framing = True
        self._text = b""
        payloads = self._payloads.feed(data)
        sent = b"".join([self._take(payload) for payload in payloads])
        if self._text and len(payloads) == 1:
            self.frame = self._learned(data, sent)
        return sent

    def _learned(self, data: bytes, sent: bytes) -> Frame | None:
        """The frame of what was read, if it is one event, whole."""
        return learned(data, self._text, sent) if is_one_event(data) else None

    def finish(self) -> bytes:
        self.frame = None
        return b"".join([self._take(payload) for payload in self._payloads.finish()])

    @abstractmethod
    def _take(self, payload: bytes) -> bytes:
        """What goes out for the data of one event."""


class ChunkTranslator(EventTranslator):
    """Of our Chat stream on its way to a caller: usage and the reason of the end wait for the end. Choice 0 only.

    So do the addresses that Perplexity and xAI list beside an answer: they are the pages that it quotes, unless it has
    annotations, which say more of them.
    """

    __slots__ = ("_addresses", "_finish", "_has_begun", "_tier", "_usage")

    def __init__(self, line_bytes_max: int) -> None:
        super().__init__(line_bytes_max)
        self._finish = ""
        self._usage = b""
        self._tier = b""
        """That was served, as a JSON string."""
        self._has_begun = False
        self._addresses: bytes | None = b""
        """A JSON list, which is told anew in each chunk; None once there was an annotation."""

    def finish(self) -> bytes:
        sent = super().finish()
        return sent + self._end() if self._finish else sent

    def _end(self) -> bytes:
        out: list[bytes] = []
        if self._addresses and self._has_begun and not self._is_over:
            self._delta(Delta(annotations=annotations_of(self._addresses)), out)
        return b"".join(out) + self._conclude()

    def _take(self, payload: bytes) -> bytes:
        if self._is_over:
            return b""
        if payload == DONE:
            return self._end()
        chunk = read_chunk(payload)
        return b"" if chunk is None or bytes(chunk.error) not in NOTHING else self._take_chunk(chunk)

    def _take_chunk(self, chunk: Chunk) -> bytes:
        if bytes(chunk.usage) not in NOTHING:
            self._usage = bytes(chunk.usage)
        self._tier = literal_of(chunk.service_tier) or self._tier
        if self._addresses is not None and bytes(chunk.citations)[:1] == b"[":
            self._addresses = bytes(chunk.citations)
        out: list[bytes] = []
        for choice in chunk.choices or ():
            if choice.index == 0:
                if bytes(choice.delta.annotations) not in _NO_ANNOTATION:
                    self._addresses = None
                if not self._has_begun:
                    out.append(self._begin())
                self._delta(choice.delta, out)
                self._finish = choice.finish_reason or self._finish
        if self._finish or len(out) != 1:
            self._text = b""
        return b"".join(out)

    @abstractmethod
    def _begin(self) -> bytes:
        """What goes out before the first part of the answer."""

    @abstractmethod
    def _delta(self, delta: Delta, out: list[bytes]) -> None: ...

    @abstractmethod
    def _conclude(self) -> bytes:
        """The regular end; nothing when there was an end."""


class _Addresses(msgspec.Struct, gc=False):
    all: list[str] | None = None


_decode_addresses: Final = msgspec.json.Decoder(_Addresses).decode


def annotations_of(addresses: bytes) -> Raw:
    """A JSON list of addresses as annotations that say no more than these; none for any other list."""
    read = view(b'{"all":%b}' % addresses, _Addresses, _decode_addresses)
    found = [{"url_citation": {"url": url}} for url in (read.all if read is not None else None) or () if url]
    return Raw(msgspec.json.encode(found))
