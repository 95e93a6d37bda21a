"""Cohere v2's usage in OpenAI's sense, and its words for why an answer ended.

Rule: what is billed is `billed_units`; `tokens` also counts what Cohere adds to the prompt itself and does not bill.
Source: Cohere's API reference, version 2; recorded streams (tests/recorded/formats).
"""

from typing import Any, Final

import msgspec

from routing.dialects.chat_usage import ChatUsage, count

FINISH: Final = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR": "error",
    "TIMEOUT": "error",
}


class Units(msgspec.Struct, gc=False):
    input_tokens: Any = None
    output_tokens: Any = None


class Usage(msgspec.Struct, gc=False):
    billed_units: Units | None = None
    tokens: Units | None = None

    @property
    def chat(self) -> ChatUsage:
        units = self.billed_units or self.tokens or Units()
        return ChatUsage(prompt=_whole(units.input_tokens), completion=_whole(units.output_tokens))


def _whole(number: Any) -> int:
    """Cohere's schema says numbers, not integers."""
    return count(int(number)) if isinstance(number, float) and 0 <= number < 2**40 else count(number)
