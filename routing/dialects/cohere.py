"""Cohere v2's usage in OpenAI's sense, and its words for why an answer ended.

Rule: what is billed is `billed_units`; `tokens` also counts what Cohere adds to the prompt itself and does not bill.
Source: Cohere's API reference, version 2; recorded streams (tests/recorded/formats).
"""

from typing import Any, Final

import msgspec

from routing.dialects.chat_usage import ChatUsage, told
from routing.wire.members import REFUSED, Members

FINISH: Final = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR": "error",
    "TIMEOUT": "error",
}


class Units(msgspec.Struct, gc=False):
    """`search_units` are a rerank's, `image_tokens` an embedding's, beside its `input_tokens`."""

    input_tokens: Any = None
    output_tokens: Any = None
    image_tokens: Any = None
    search_units: Any = None


class Usage(msgspec.Struct, gc=False):
    billed_units: Units | None = None
    tokens: Units | None = None

    @property
    def is_told(self) -> bool:
        """Whether it says how many there were."""
        units = self.billed_units or self.tokens
        return units is not None and not (units.input_tokens is None and units.output_tokens is None)

    @property
    def chat(self) -> ChatUsage:
        units = self.billed_units or self.tokens or Units()
        return ChatUsage(prompt=told(units.input_tokens), completion=told(units.output_tokens))


class Meta(msgspec.Struct, gc=False):
    """Of an answer beside the generated ones."""

    billed_units: Units | None = None


_decode_meta: Final = msgspec.json.Decoder(Meta).decode


def billed_in(members: Members) -> Units | None:
    """What an answer says is billed; None where it says nothing."""
    try:
        return _decode_meta(members["meta"]).billed_units if "meta" in members else None
    except REFUSED:
        return None
