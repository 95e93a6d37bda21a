"""Gemini's usage in OpenAI's sense, and its words for why an answer ended.

Rule: usage is cumulative and stands in each chunk; early ones may have no counts. `candidatesTokenCount` is without the thoughts.
Source: Google's GenerateContentResponse; recorded streams (tests/recorded/formats).
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from routing.dialects.chat_usage import ChatUsage, count, told
from routing.dialects.lenient import salvage
from routing.wire.members import REFUSED

FINISH: Final = {"STOP": "stop", "MAX_TOKENS": "length"}
FILTERED: Final = frozenset(
    (
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "MODEL_ARMOR",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "IMAGE_OTHER",
        "NO_IMAGE",
    )
)
_TIERS: Final = {
    "flex": "flex",
    "priority": "priority",
    "on_demand_flex": "flex",
    "on_demand_priority": "priority",
    "standard": "default",
}


def finish_of(reason: str) -> str:
    """Chat's `finish_reason`; "error" for an answer that is none, such as a malformed call."""
    return FINISH.get(reason) or ("content_filter" if reason in FILTERED else "error")


class Modality(msgspec.Struct, gc=False, rename="camel"):
    modality: str = ""
    token_count: Any = None


_WHOLES: Final = ("prompt_token_count", "candidates_token_count", "total_token_count")


class GeminiUsage(msgspec.Struct, gc=False, rename="camel"):
    prompt_token_count: Any = None
    tool_use_prompt_token_count: Any = None
    cached_content_token_count: Any = None
    candidates_token_count: Any = None
    thoughts_token_count: Any = None
    total_token_count: Any = None
    prompt_tokens_details: list[Modality] | None = None
    candidates_tokens_details: list[Modality] | None = None
    service_tier: str = ""
    traffic_type: str = ""

    def merge(self, later: "GeminiUsage") -> None:
        """Whatever `later` says replaces what was said before; a whole never falls back to zero."""
        for name in self.__struct_fields__:
            value = getattr(later, name)
            if value and (name not in _WHOLES or count(value)):
                setattr(self, name, value)

    @property
    def is_empty(self) -> bool:
        """Whether it counts nothing."""
        return not any(count(getattr(self, name)) for name in _WHOLES)

    @property
    def tier(self) -> str:
        """The tier that was served, in OpenAI's words; "" when it is not told."""
        return _TIERS.get((self.service_tier or self.traffic_type).lower(), "")

    @property
    def chat(self) -> ChatUsage:
        prompt, candidates, total = map(told, (self.prompt_token_count, self.candidates_token_count, self.total_token_count))
        if prompt is not None:
            prompt += count(self.tool_use_prompt_token_count)
        thoughts = count(self.thoughts_token_count)
        completion = None if candidates is None and not (thoughts and total is None) else (candidates or 0) + thoughts
        return ChatUsage(
            prompt=prompt,
            completion=completion,
            total=total,
            cached=count(self.cached_content_token_count),
            reasoning=thoughts,
            audio=_of(self.prompt_tokens_details, "AUDIO"),
            image=_of(self.prompt_tokens_details, "IMAGE"),
            audio_out=_of(self.candidates_tokens_details, "AUDIO"),
            image_out=_of(self.candidates_tokens_details, "IMAGE"),
        )


_decode: Final = msgspec.json.Decoder(GeminiUsage).decode


def read_usage(usage: bytes | Raw) -> GeminiUsage | None:
    """A bad member voids itself; None for what is no usage object."""
    try:
        told: GeminiUsage = _decode(usage)
    except REFUSED:
        try:
            told = salvage(usage, GeminiUsage, {})
        except REFUSED:
            return None
    return told


def _of(details: list[Modality] | None, modality: str) -> int:
    return sum(count(each.token_count) for each in details or () if each.modality == modality)
