"""What becomes of the members of a Chat request at Gemini's generateContent; and the traits of its models.

Source: OpenAI's and OpenRouter's OpenAPI files; the types of google-genai 3.6; Google's pages on thinking and thought signatures.
"""

import re
from typing import Final

from routing.translate.ledger import Ledger, demand, demands, meaningless, offers, reads

LEDGER: Final[Ledger] = {
    **reads(
        "messages model max_tokens max_completion_tokens temperature top_p top_k seed presence_penalty frequency_penalty n stop "
        "tools tool_choice response_format reasoning reasoning_effort include_reasoning service_tier modalities"
    ),
    **offers(
        "parallel_tool_calls prediction metadata verbosity user safety_identifier prompt_cache_key prompt_cache_options "
        "prompt_cache_retention cache_control session_id trace transforms debug stop_server_tools_when moderation min_p top_a "
        "repetition_penalty deferred_tools"
    ),
    **demands("logit_bias logprobs top_logprobs audio image_config web_search_options"),
    **demands("functions function_call", "send 'tools' and 'tool_choice'"),
    "store": demand("what is kept there would be kept under this proxy's key; leave it out", b"false"),
    **meaningless("stream stream_options usage provider models route plugins"),
}
CONFIG: Final = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "n": "candidateCount",
}
"""Members that are the same under another name in `generationConfig`."""

_GEMINI: Final = re.compile(r"gemini-(\d+)(?:\.(\d+))?")


def traits_of(model: str) -> frozenset[str]:
    """What a Gemini model is known for, by its name.

    thinking_level: it is told how hard to think in a word; thinking_budget: in tokens. signatures: it refuses a history of tool
    calls without thought signatures. always_thinks: it cannot be told not to.
    """
    found = _GEMINI.search(model)
    if found is None:
        return frozenset(("thinking_level", "signatures", "always_thinks"))
    version = (int(found[1]), int(found[2] or 0))
    if version >= (3, 0):
        return frozenset(("thinking_level", "signatures", "always_thinks"))
    if version < (2, 5):
        return frozenset()
    return frozenset(("thinking_budget", "always_thinks") if "pro" in model else ("thinking_budget",))
