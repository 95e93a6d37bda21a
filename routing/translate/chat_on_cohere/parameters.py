"""What becomes of the members of a Chat request at Cohere's `/v2/chat`.

Source: OpenAI's and OpenRouter's OpenAPI files; cohere 7.3 (`v2/client`).
"""

from typing import Final

from routing.translate.ledger import Ledger, demand, demands, meaningless, offers, reads, renamed, same

LEDGER: Final[Ledger] = {
    **reads("messages model max_tokens max_completion_tokens stop tools tool_choice response_format"),
    **reads("reasoning reasoning_effort include_reasoning"),
    **same("stream temperature seed frequency_penalty presence_penalty"),
    "top_k": renamed("k"),
    "top_p": renamed("p"),
    **offers("parallel_tool_calls prediction metadata verbosity user safety_identifier prompt_cache_key prompt_cache_options"),
    **offers("prompt_cache_retention cache_control session_id trace transforms debug stop_server_tools_when moderation min_p"),
    **offers("top_a repetition_penalty deferred_tools"),
    **demands("logit_bias logprobs top_logprobs audio modalities image_config web_search_options n"),
    **demands("functions function_call", "send 'tools' and 'tool_choice'"),
    "service_tier": demand("leave it out"),
    "store": demand("what is kept there would be kept under this proxy's key; leave it out", b"false"),
    **meaningless("stream_options usage provider models route plugins"),
}
