"""Anthropic's usage in OpenAI's sense, and its words for why an answer ended.

Rule: usage is cumulative, and of several the last word counts per member: a `message_delta` may say more of the prompt than the
`message_start` did. `input_tokens` are those that did not go through the cache.
Source: Anthropic's Messages reference; recorded streams (tests/recorded).
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from routing.dialects.chat_usage import ChatUsage, count, told
from routing.wire.members import REFUSED, decode_members, replace

FINISH: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "compaction": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""`stop_reason` → Chat's `finish_reason`; one that is not known stays as it is."""


TIERS: Final = {"standard": "default", "priority": "priority", "batch": "batch"}
"""`usage.service_tier` → Chat's `service_tier`."""


class CacheCreation(msgspec.Struct, gc=False):
    ephemeral_5m_input_tokens: Any = None
    ephemeral_1h_input_tokens: Any = None


class ServerToolUse(msgspec.Struct, gc=False):
    web_search_requests: Any = None


class OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: Any = None


_WHOLES: Final = frozenset(("input_tokens", "output_tokens"))


class AnthropicUsage(msgspec.Struct, gc=False):
    input_tokens: Any = None
    cache_read_input_tokens: Any = None
    cache_creation_input_tokens: Any = None
    cache_creation: CacheCreation | None = None
    output_tokens: Any = None
    output_tokens_details: OutputDetails | None = None
    server_tool_use: ServerToolUse | None = None
    service_tier: Any = None

    def merge(self, later: "AnthropicUsage | None") -> None:
        """Whatever `later` says replaces what was said before; the two wholes never fall back to zero."""
        if later is not None:
            for name in self.__struct_fields__:
                value = getattr(later, name)
                if value is not None and (name not in _WHOLES or count(value)):
                    setattr(self, name, value)

    @property
    def tells_output(self) -> bool:
        return told(self.output_tokens) is not None

    @property
    def tier(self) -> str:
        """The tier that was served, in OpenAI's words; "" when it is not told."""
        return TIERS.get(self.service_tier, "") if isinstance(self.service_tier, str) else ""

    @property
    def chat(self) -> ChatUsage:
        read, written = count(self.cache_read_input_tokens), count(self.cache_creation_input_tokens)
        split = self.cache_creation or CacheCreation()
        thought = self.output_tokens_details or OutputDetails()
        tools = self.server_tool_use or ServerToolUse()
        if not written:
            written = count(split.ephemeral_5m_input_tokens) + count(split.ephemeral_1h_input_tokens)
        return ChatUsage(
            prompt=None if told(self.input_tokens) is None and not read + written else count(self.input_tokens) + read + written,
            completion=told(self.output_tokens),
            cached=read,
            written=written,
            # What the split does not tell was written for five minutes.
            written_1h=min(count(split.ephemeral_1h_input_tokens), written),
            reasoning=count(thought.thinking_tokens),
            searches=count(tools.web_search_requests),
        )


def without_total(usage: bytes) -> bytes:
    """A usage object; Anthropic's has no total, and one that somebody put there may leave out what went through the cache."""
    if b'"total_tokens"' not in usage:
        return usage
    try:
        return replace(usage, decode_members(usage), {"total_tokens": Raw(b"null")})
    except REFUSED:
        return usage


_ERROR_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error_type(status: int) -> str:
    """Anthropic's word for an error of that status."""
    return _ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
