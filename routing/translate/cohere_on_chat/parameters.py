"""What becomes of the members of a Cohere request at a provider that speaks Chat.

Source: Cohere's reference, version 2; cohere 7.3 (`v2/client`).
"""

from typing import Final

from routing.translate.ledger import Ledger, demand, offers, reads, renamed, same

LEDGER: Final[Ledger] = {
    **reads("model messages stream tools tool_choice strict_tools documents response_format stop_sequences thinking"),
    **same("max_tokens temperature seed frequency_penalty presence_penalty"),
    "k": renamed("top_k"),
    "p": renamed("top_p"),
    **offers("citation_options safety_mode priority"),
    "logprobs": demand("log probabilities are not translated", b"false"),
    **same("provider models route plugins session_id trace user"),
}
PATHS: Final = {
    "messages": "messages",
    "tools": "tools",
    "stop": "stop_sequences",
    "top_k": "k",
    "top_p": "p",
    "reasoning": "thinking",
    "reasoning.max_tokens": "thinking.token_budget",
}
"""Where a caller said what stands at a path of the Chat request."""
