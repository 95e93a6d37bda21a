"""What becomes of the members of a Chat request at Bedrock's Converse.

Source: OpenAI's and OpenRouter's OpenAPI files; botocore's service model of bedrock-runtime.
"""

from typing import Final

from routing.translate.ledger import Ledger, demand, demands, meaningless, offers, reads, renamed

LEDGER: Final[Ledger] = {
    **reads("messages model max_tokens max_completion_tokens temperature top_p top_k stop tools tool_choice response_format"),
    **reads("reasoning reasoning_effort include_reasoning service_tier"),
    "metadata": renamed("requestMetadata"),
    **offers("parallel_tool_calls prediction seed verbosity user safety_identifier prompt_cache_key prompt_cache_options"),
    **offers("prompt_cache_retention cache_control session_id trace transforms debug stop_server_tools_when moderation min_p"),
    **offers("top_a repetition_penalty deferred_tools"),
    **demands("logit_bias logprobs top_logprobs audio modalities image_config web_search_options n"),
    **demands("presence_penalty frequency_penalty"),
    **demands("functions function_call", "send 'tools' and 'tool_choice'"),
    "store": demand("what is kept there would be kept under this proxy's key; leave it out", b"false"),
    **meaningless("stream stream_options usage provider models route plugins"),
}
