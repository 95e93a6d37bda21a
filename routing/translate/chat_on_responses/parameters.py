"""What becomes of the members of a Chat request at a provider that speaks Responses.

Source: OpenAI's and OpenRouter's OpenAPI files; the types of OpenAI's Python SDK (`response_create_params`).
"""

from typing import Final

from routing.translate.ledger import Ledger, demand, demands, meaningless, offers, reads, same

LEDGER: Final[Ledger] = {
    **reads("messages model max_tokens max_completion_tokens response_format tools tool_choice reasoning reasoning_effort"),
    **reads("include_reasoning verbosity"),
    **same("stream temperature top_p parallel_tool_calls metadata prompt_cache_key prompt_cache_options prompt_cache_retention"),
    **same("user safety_identifier service_tier moderation"),
    **offers("seed prediction cache_control session_id trace transforms debug stop_server_tools_when min_p top_a top_k"),
    **offers("repetition_penalty deferred_tools"),
    **demands("stop logit_bias logprobs top_logprobs audio modalities image_config web_search_options n"),
    **demands("presence_penalty frequency_penalty"),
    **demands("functions function_call", "send 'tools' and 'tool_choice'"),
    "store": demand("what is kept there would be kept under this proxy's key; leave it out", b"false"),
    **meaningless("stream_options usage provider models route plugins"),
}
