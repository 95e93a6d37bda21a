"""What becomes of the members of a Messages request at a provider that speaks Chat.

Source: Anthropic's Messages reference, and the types of its Python SDK 2.14 (`message_create_params`, stable and beta).
"""

from typing import Final

from routing.translate.ledger import Ledger, demand, demands, meaningless, offers, reads, same

_STATE: Final = "what is kept there would be kept under this proxy's key; leave it out"
LEDGER: Final[Ledger] = {
    **reads(
        "model messages system tools tool_choice max_tokens stream stop_sequences thinking output_config output_format metadata "
        "service_tier"
    ),
    **offers("context_management compaction diagnostics cache_diagnostics deferred_tools stop_server_tools_when"),
    **demands("container mcp_servers thread user_profile_id workspace_id", _STATE),
    **demands("inference_geo safeguards billing_policy fallback_credit_token", "leave it out"),
    "speed": demand("leave it out", b'"standard"'),
    **demands("fallbacks", "name the models to fall back to in 'models'"),
    **same("user provider models route plugins session_id trace temperature top_p top_k cache_control"),
    **meaningless("betas anthropic_version anthropic_beta"),
}
PATHS: Final = {
    "messages": "messages",
    "tools": "tools",
    "stop": "stop_sequences",
    "user": "metadata.user_id",
    "response_format": "output_config.format",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "reasoning": "thinking",
    "reasoning.effort": "output_config.effort",
    "reasoning.max_tokens": "thinking.budget_tokens",
    "reasoning.exclude": "thinking.display",
}
"""Where a caller said what stands at a path of the Chat request."""
