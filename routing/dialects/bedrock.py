"""Bedrock Converse's usage in OpenAI's sense, and its words for why an answer ended.

Rule: `inputTokens` are those that did not go through the cache, as Anthropic counts. Usage comes once, with the `metadata` event.
Source: botocore's service model of bedrock-runtime; recorded streams (tests/recorded/formats).
"""

from typing import Any, Final

import msgspec

from routing.dialects.chat_usage import ChatUsage, count, told

FINISH: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
}
TIERS: Final = {"default": "default", "flex": "flex", "priority": "priority"}


class CacheDetail(msgspec.Struct, gc=False, rename="camel"):
    ttl: str = ""
    input_tokens: Any = None


class BedrockUsage(msgspec.Struct, gc=False, rename="camel"):
    input_tokens: Any = None
    output_tokens: Any = None
    total_tokens: Any = None
    cache_read_input_tokens: Any = None
    cache_write_input_tokens: Any = None
    cache_details: list[CacheDetail] | None = None

    @property
    def chat(self) -> ChatUsage:
        read, written = count(self.cache_read_input_tokens), count(self.cache_write_input_tokens)
        long = sum(count(each.input_tokens) for each in self.cache_details or () if each.ttl == "1h")
        return ChatUsage(
            prompt=None if told(self.input_tokens) is None and not read + written else count(self.input_tokens) + read + written,
            completion=told(self.output_tokens),
            total=told(self.total_tokens),
            cached=read,
            written=written,
            written_1h=min(long, written),
        )
