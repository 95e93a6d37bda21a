"""What becomes of the members of a Responses request at a provider that speaks Chat.

Source: the types of OpenAI's Python SDK 3.57 (`response_create_params`) and OpenRouter's OpenAPI file (`/responses`); what Codex
CLI 0.169 sends.
"""

from typing import Final

from routing.translate.ledger import Ledger, demand, demands, meaningless, offers, reads, same

_STATE: Final = "this proxy keeps no answers: send the whole conversation in 'input'"
LEDGER: Final[Ledger] = {
    **reads("model input instructions tools tool_choice text reasoning max_output_tokens stream include metadata"),
    **same("temperature top_p parallel_tool_calls service_tier prompt_cache_key prompt_cache_options"),
    **same("prompt_cache_retention user cache_control stop safety_identifier provider models route session_id"),
    **same("trace plugins top_k frequency_penalty presence_penalty modalities"),
    **demands("previous_response_id conversation prompt", _STATE),
    "background": demand(_STATE, b"false"),
    **demands("background_options", _STATE),
    "store": demand("this proxy keeps no answers: send false", b"false"),
    "top_logprobs": demand("leave it out", b"0"),
    "truncation": demand("send all of it, or less", b'"disabled"'),
    **offers("max_tool_calls moderation access_programs context_management deferred_tools stop_server_tools_when debug"),
    **demands("image image_config", "it answers in text"),
    **meaningless("stream_options client_metadata"),
}
"""`client_metadata` is Codex' own telemetry."""
PATHS: Final = {
    "messages": "input",
    "tools": "tools",
    "max_tokens": "max_output_tokens",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
}
"""Where a caller said what stands at a path of the Chat request."""
