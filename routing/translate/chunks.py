"""Chat's stream as a pair writes it: chunks with the provider's id and model, one usage chunk, `[DONE]`.

Ours come later, from Chat's own stream rewrite. Strategy: what stands before a delta is made once per stream.
"""

from typing import Final

import msgspec

_encode: Final = msgspec.json.Encoder().encode
DONE: Final = b"data: [DONE]\n\n"
REFUSAL: Final = b'"refusal":  '
"""Why there is no answer. No model wrote it: with two spaces our count of what models write passes over it."""


class ChunkWriter:
    """Writes the chunks of one stream, for choice 0 unless said otherwise; the first of each choice has the role."""

    __slots__ = ("_created_s", "_head", "_roles", "_usage_head")

    def __init__(self, created_s: int) -> None:
        self._created_s = created_s
        self._roles: set[int] = set()
        self.name(b'""', b'""')

    def name(self, id_json: bytes, model_json: bytes) -> None:
        """The provider's id and model, as JSON strings."""
        common = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":'
        common %= (id_json, self._created_s, model_json)
        self._head = common + b'[{"index":'
        self._usage_head = common + b'[],"usage":'

    @property
    def has_begun(self) -> bool:
        return bool(self._roles)

    def has_said(self, index: int) -> bool:
        """Whether that choice has begun."""
        return index in self._roles

    def delta(self, delta: bytes, index: int = 0) -> bytes:
        """`delta`: the members of the delta, without the braces around them."""
        if index not in self._roles:
            self._roles.add(index)
            delta = b'"role":"assistant",' + (delta or b'"content":""')
        return b'%b%d,"delta":{%b},"finish_reason":null}]}\n\n' % (self._head, index, delta)

    def content(self, literal: bytes, index: int = 0) -> bytes:
        return self.delta(b'"content":' + literal, index)

    def reasoning(self, literal: bytes, format: bytes, number: int, index: int = 0) -> bytes:
        return self.delta(
            b'"reasoning":%b,"reasoning_details":[{"type":"reasoning.text","text":%b,"format":"%b","index":%d}]'
            % (literal, literal, format, number),
            index,
        )

    def call(self, number: int, id_json: bytes, name_json: bytes, arguments: bytes = b'""', index: int = 0) -> bytes:
        """The beginning of a tool call, or all of it."""
        call = b'{"index":%d,"id":%b,"type":"function","function":{"name":%b,"arguments":%b}}'
        return self.delta(b'"tool_calls":[%b]' % (call % (number, id_json, name_json, arguments)), index)

    def arguments(self, number: int, literal: bytes, index: int = 0) -> bytes:
        return self.delta(b'"tool_calls":[{"index":%d,"function":{"arguments":%b}}]' % (number, literal), index)

    def citation(
        self, number: int, url_json: bytes, title_json: bytes, index: int = 0, *, place: tuple[int, int] = (0, 0)
    ) -> bytes:
        """A page that the answer quotes. Clients put lists together by `index`. `place`: where in the text, if that is known."""
        page = b'{"url":%b,"title":%b,"start_index":%d,"end_index":%d}' % (url_json, title_json, *place)
        return self.delta(b'"annotations":[{"index":%d,"type":"url_citation","url_citation":%b}]' % (number, page), index)

    def finish(self, reason: str, native: str, index: int = 0, delta: bytes = b"") -> bytes:
        """The finish of a choice, in Chat's word and in the provider's own."""
        if index not in self._roles:
            self._roles.add(index)
            delta = b'"role":"assistant",' + (delta or b'"content":""')
        return b'%b%d,"delta":{%b},"finish_reason":%b,"native_finish_reason":%b}]}\n\n' % (
            self._head,
            index,
            delta,
            _encode(reason),
            _encode(native),
        )

    def usage(self, usage: bytes, more: bytes = b"") -> bytes:
        """`usage` in Chat's words; `more`: further members of the chunk, each behind a comma."""
        return b"%b%b%b}\n\n" % (self._usage_head, usage, more)

    def error(self, error: bytes) -> bytes:
        """A provider's error: a JSON value."""
        return b'data: {"error":%b}\n\n' % error
