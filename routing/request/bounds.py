"""What a body may be made of, told before it is decoded: values cost memory and time by their number, not by their bytes.

Strategy: marks are counted, which takes a tenth of a millisecond a megabyte. Most of them may stand in texts or in the members
that have many by nature; only a body with more than enough of them is looked at closely, and no closer than it needs.
"""

from typing import Final

import msgspec
from msgspec import Raw

from routing.request.invalid import Invalid

SMALL_BYTES: Final = 32_768
"""Below this, whatever a body is made of is decoded in a millisecond."""
LARGE_BYTES: Final = 1_048_576
VALUES_MAX: Final = 320_000
"""Values in a body of LARGE_BYTES or more. OpenAI's embeddings take up to 300,000 tokens in a request, each of them one."""
BESIDE_MAX: Final = 8_192
"""Values that stand in none of the LARGE members."""
LARGE: Final = (
    *("messages", "input", "contents", "content", "prompt", "system", "instructions", "text", "tools", "functions"),
    *("response_format", "logit_bias", "metadata", "models", "provider", "documents", "texts", "requests", "images"),
    *("systemInstruction", "system_instruction", "generationConfig", "generation_config", "toolConfig", "tool_config"),
    *("inputs", "output_config", "output_format", "prediction", "guided_json", "structured_outputs", "allowed_token_ids"),
    *("query", "suffix", "chat_template", "extra_body"),
)
"""Members that may have many values, on any surface."""
FEW: Final = 256
"""So many are sooner found one by one than counted with all that is between them."""
SLICE_BYTES: Final = 16_384
_COMMA: Final = (b",",)
_MARKS: Final = (b"{", b"[", *_COMMA)
_decode_large = msgspec.json.Decoder(msgspec.defstruct("_Large", [(name, Raw, Raw(b"")) for name in LARGE], gc=False)).decode


def bound(body: bytes, members_max: int) -> None:
    """Invalid: there is more in it than is read. What `msgspec` raises where it is no JSON object."""
    if len(body) > LARGE_BYTES:
        marks = _marks_of(body)
        if marks <= BESIDE_MAX:
            return
        if marks > VALUES_MAX and _outside_texts(body, _MARKS, VALUES_MAX) >= VALUES_MAX:
            raise Invalid(f"the body has more than {VALUES_MAX} values, which is more than this proxy reads")
    commas = body.count(b",")
    if commas <= BESIDE_MAX:
        return
    large = [text for raw in msgspec.structs.astuple(_decode_large(body)) if (text := bytes(raw))]
    if commas - sum(text.count(b",") for text in large) <= BESIDE_MAX:
        return
    # Those that are left may stand in texts. To look costs ten milliseconds a megabyte.
    if len(body) > LARGE_BYTES or _has_many_beside(body, large):
        raise Invalid(
            f"the body must not have more than {members_max} members, nor {BESIDE_MAX} values beside {', '.join(LARGE)}"
        )


def _has_many_beside(body: bytes, large: list[bytes]) -> bool:
    allowed = BESIDE_MAX + sum(_outside_texts(text, _COMMA, len(text)) for text in large)
    return _outside_texts(body, _COMMA, allowed + 1) > allowed


def _marks_of(body: bytes) -> int:
    count = 0
    for mark in _MARKS:
        position = body.find(mark)
        few = count + FEW
        while position >= 0 and count < few:
            count += 1
            position = body.find(mark, position + 1)
        if position >= 0:
            count += body.count(mark, position)
    return count


def _outside_texts(body: bytes, marks: tuple[bytes, ...], enough: int) -> int:
    """How many marks stand outside of its texts, counted until there are `enough`. Slice by slice: cut at all its quotes at once,
    eight megabytes would be fifty of small strings."""
    text = body
    if b"\\" in body:
        # A quote behind an odd number of backslashes ends no string.
        text = body.replace(rb"\\", b"") if rb"\\" in body else body
        text = text.replace(rb"\"", b"")
    count = is_within = 0
    for start in range(0, len(text), SLICE_BYTES):
        pieces = text[start : start + SLICE_BYTES].split(b'"')
        outside = b"".join(pieces[is_within::2])
        count += sum(map(outside.count, marks))
        if count >= enough:
            return count
        is_within = (is_within + len(pieces) - 1) % 2
    return count
