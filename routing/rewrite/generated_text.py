"""The text that a model wrote, in the bytes of an answer: what is counted where the provider tells no usage, or only later.

Strategy: it is found by the names under which the formats beside Chat have it; nothing is decoded.
Limits: an escape counts as it is written. What tools found and answered stands under the same names, and is taken out before.
"""

import re
from collections.abc import Iterable

from msgspec import Raw

TEXT = re.compile(rb'"(?:text|delta|thinking|partial_json|arguments|tool_plan)":[ ]?"([^"\\]*+(?:\\.[^"\\]*+)*+)"')
"""A text that a model wrote, as these formats name it."""


def text_bytes(payload: bytes) -> int:
    """How many bytes of a JSON text are a model's."""
    return sum(map(len, TEXT.findall(payload)))


def without(text: bytes, found: Iterable[Raw]) -> bytes:
    """A JSON text without those lists and objects in it: what tools found and answered, which no model wrote. One with a quote in
    it stands in no string."""
    for raw in found:
        value = bytes(raw)
        if value.startswith((b"[", b"{")) and b'"' in value:
            text = text.replace(value, b"0")
    return text
