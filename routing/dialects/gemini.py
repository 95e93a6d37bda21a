"""Gemini's usage in OpenAI's sense, and its words for why an answer ended.

Rule: usage is cumulative and stands in each chunk; early ones may have no counts. `candidatesTokenCount` is without the thoughts.
Source: Google's GenerateContentResponse; recorded streams (tests/recorded/formats).
"""

from typing import Any, Final

import msgspec

from routing.dialects.chat_usage import ChatUsage, count

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

    @property
    def tier(self) -> str:
        """The tier that was served, in OpenAI's words; "" when it is not told."""
        return _TIERS.get((self.service_tier or self.traffic_type).lower(), "")

    @property
    def chat(self) -> ChatUsage:
        prompt = count(self.prompt_token_count) + count(self.tool_use_prompt_token_count)
        thoughts = count(self.thoughts_token_count)
        completion = count(self.candidates_token_count) + thoughts
        total = count(self.total_token_count)
        if total > prompt + completion and not count(self.candidates_token_count):
            completion = total - prompt
        return ChatUsage(
            prompt=prompt,
            completion=completion,
            cached=count(self.cached_content_token_count),
            reasoning=thoughts,
            audio=_of(self.prompt_tokens_details, "AUDIO"),
            image=_of(self.prompt_tokens_details, "IMAGE"),
            audio_out=_of(self.candidates_tokens_details, "AUDIO"),
            image_out=_of(self.candidates_tokens_details, "IMAGE"),
        )


def _of(details: list[Modality] | None, modality: str) -> int:
    return sum(count(each.token_count) for each in details or () if each.modality == modality)
