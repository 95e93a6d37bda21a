"""The output items of a response, as JSON: the message, its refusal, the thoughts and the calls of tools; and its usage.

Strategy: a text is never decoded: the insides of its pieces joined are the inside of the whole.
"""

from typing import Final, Literal

import msgspec

from routing.dialects.chat_usage import count
from routing.translate.chat_view import CompletionDetails, PromptDetails, read_usage
from routing.translate.events import NOTHING
from routing.translate.responses_on_chat.tools import INPUT, Origin

Kind = Literal["text", "refusal", "reasoning", "call"]
_PREFIX: Final = {"text": b"msg", "refusal": b"msg", "reasoning": b"rs", "call": b"fc"}
DELTA: Final = {
    "text": b"response.output_text.delta",
    "refusal": b"response.refusal.delta",
    "reasoning": b"response.reasoning_text.delta",
}
DONE: Final = {
    "text": (b"response.output_text.done", b"text"),
    "refusal": (b"response.refusal.done", b"refusal"),
    "reasoning": (b"response.reasoning_text.done", b"text"),
}
EMPTY: Final = b'""'
_encode: Final = msgspec.json.Encoder().encode
_decode_input: Final = msgspec.json.Decoder(dict[str, object]).decode
_decode_str: Final = msgspec.json.Decoder(str).decode


class Item:
    """One item. `place`: the members that say where a delta belongs, each behind it a comma."""

    __slots__ = (
        "annotations",
        "call_id",
        "encrypted",
        "has_part",
        "id",
        "is_announced",
        "kind",
        "name",
        "number",
        "origin",
        "pieces",
        "place",
    )

    def __init__(self, kind: Kind, number: int, gen_id: str) -> None:
        self.kind: Kind = kind
        self.number = number
        self.id = b'"%b_%b_%d"' % (_PREFIX[kind], gen_id.encode(), number)
        index = b"" if kind == "call" else b',"content_index":0'
        self.place = b'"item_id":%b,"output_index":%d%b' % (self.id, number, index)
        self.pieces: list[bytes] = []
        self.annotations: list[bytes] = []
        self.encrypted = b""
        self.has_part = False
        self.call_id = b""
        self.name = b""
        self.origin: Origin | None = None
        self.is_announced = False

    @property
    def text(self) -> bytes:
        return b'"%b"' % b"".join(self.pieces)

    def part(self, text: bytes) -> bytes:
        match self.kind:
            case "text":
                annotations = b",".join(self.annotations)
                return b'{"type":"output_text","text":%b,"annotations":[%b],"logprobs":[]}' % (text, annotations)
            case "refusal":
                return b'{"type":"refusal","refusal":%b}' % text
            case _:
                return b'{"type":"reasoning_text","text":%b}' % text

    def json(self, status: bytes, *, is_empty: bool = False) -> bytes:
        """`is_empty`: as it begins."""
        match self.kind:
            case "call":
                return self._call(status, EMPTY if is_empty else self.text)
            case "reasoning":
                content = b"" if is_empty or not self.pieces else self.part(self.text)
                encrypted = b',"encrypted_content":%b' % self.encrypted if self.encrypted else b""
                item = b'{"id":%b,"type":"reasoning","status":"%b","summary":[],"content":[%b]%b}'
                return item % (self.id, status, content, encrypted)
            case _:
                content = b"" if is_empty else self.part(self.text)
                item = b'{"id":%b,"type":"message","status":"%b","role":"assistant","content":[%b]}'
                return item % (self.id, status, content)

    def _call(self, status: bytes, text: bytes) -> bytes:
        origin = self.origin
        name = self.name if origin is None else _encode(origin.name)
        space = b',"namespace":%b' % _encode(origin.namespace) if origin is not None and origin.namespace else b""
        if origin is not None and origin.is_custom:
            given = EMPTY if text == EMPTY else self.input
            item = b'{"id":%b,"type":"custom_tool_call","status":"%b","call_id":%b,"name":%b,"input":%b%b}'
            return item % (self.id, status, self.call_id, name, given, space)
        item = b'{"id":%b,"type":"function_call","status":"%b","call_id":%b,"name":%b,"arguments":%b%b}'
        return item % (self.id, status, self.call_id, name, text, space)

    @property
    def input(self) -> bytes:
        """The text of a custom tool's call, which is one member of our function's arguments; all of them if they are not that."""
        try:
            given = _decode_input(_decode_str(self.text))[INPUT]
        except (msgspec.MsgspecError, ValueError, RecursionError, KeyError):
            return self.text
        return _encode(given) if isinstance(given, str) else self.text


def usage_json(usage: bytes) -> bytes:
    """Our usage object in the words of Responses, with its cost."""
    read = read_usage(usage) if usage else None
    if read is None:
        return b"null"
    inputs, outputs = read.prompt_tokens_details or PromptDetails(), read.completion_tokens_details or CompletionDetails()
    written = count(inputs.cache_write_tokens, inputs.cache_creation_input_tokens)
    prompt, completion = count(read.prompt_tokens), count(read.completion_tokens)
    out = (
        b'{"input_tokens":%d,"input_tokens_details":{"cached_tokens":%d,"cache_write_tokens":%d},"output_tokens":%d,'
        b'"output_tokens_details":{"reasoning_tokens":%d},"total_tokens":%d'
    )
    out %= (prompt, count(inputs.cached_tokens), written, completion, count(outputs.reasoning_tokens), prompt + completion)
    for name in ("cost", "usage_source"):
        if (value := bytes(getattr(read, name))) not in NOTHING:
            out += b',"%b":%b' % (name.encode(), value)
    return out + b"}"


_TOOLS: Final = (
    b'{"image_gen":{"input_tokens":0,"input_tokens_details":{"image_tokens":0,"text_tokens":0},"output_tokens":0,"total_tokens":0},'
    b'"web_search":{"num_requests":%d}}'
)


def tool_usage(usage: bytes) -> bytes:
    """What tools of the provider were used for, by our usage object; nothing where they were not. Clients require both kinds."""
    read = read_usage(usage) if usage else None
    searches = count((read.server_tool_use or {}).get("web_search_requests")) if read is not None else 0
    return b',"tool_usage":' + _TOOLS % searches if searches else b""
