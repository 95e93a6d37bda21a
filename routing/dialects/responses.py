"""The usage of OpenAI's Responses in Chat's sense: cached and written tokens are inside the input, thoughts inside the output.

Source: OpenAI's types (`response_usage`); recorded streams (tests/recorded/formats).
"""

from typing import Any

import msgspec

from routing.dialects.chat_usage import ChatUsage, count, told


class InputDetails(msgspec.Struct, gc=False):
    cached_tokens: Any = None
    cache_write_tokens: Any = None


class OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: Any = None


class Usage(msgspec.Struct, gc=False):
    input_tokens: Any = None
    output_tokens: Any = None
    total_tokens: Any = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None


class WebSearch(msgspec.Struct, gc=False):
    num_requests: Any = None


class ToolUsage(msgspec.Struct, gc=False):
    web_search: WebSearch | None = None


def chat_usage(usage: Usage, tools: ToolUsage | None) -> ChatUsage:
    inputs, outputs = usage.input_tokens_details or InputDetails(), usage.output_tokens_details or OutputDetails()
    search = tools.web_search if tools is not None else None
    return ChatUsage(
        prompt=told(usage.input_tokens),
        completion=told(usage.output_tokens),
        total=told(usage.total_tokens),
        cached=count(inputs.cached_tokens),
        written=count(inputs.cache_write_tokens),
        reasoning=count(outputs.reasoning_tokens),
        searches=count(search.num_requests) if search is not None else 0,
    )
