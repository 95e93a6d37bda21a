"""What becomes of the members of a Messages request at a provider that speaks Chat.

Source: Anthropic's Messages reference, and the types of its Python SDK 2.14 (`message_create_params`, stable and beta).
"""

from typing import Final

from routing.translate.ledger import Ledger, demand, demands, meaningless, offers, reads, renamed

_STATE: Final = "what is kept there would be kept under this proxy's key; leave it out"
LEDGER: Final[Ledger] = {
    **reads(
        "model messages system tools tool_choice max_tokens stream stop_sequences thinking output_config output_format metadata "
        "service_tier"
    ),
    "temperature": renamed("temperature"),
    "top_p": renamed("top_p"),
    "top_k": renamed("top_k"),
    "cache_control": renamed("cache_control"),
    **offers("context_management diagnostics cache_diagnostics inference_geo user_profile_id"),
    **demands("container mcp_servers", _STATE),
    "speed": demand("leave it out", b'"standard"'),
    **demands("fallbacks", "name the models to fall back to in 'models'"),
    **meaningless("betas provider models route session_id trace anthropic_version anthropic_beta"),
    "plugins": demand("leave it out", b"[]"),
}
