"""The members of a chat request that are known, and what becomes of one that a provider does not take.

Rule: a demand must be met or refused; an offer may be declined, but never silently. A member that nobody here knows is the
caller's own affair and passes.
Source: OpenAI's and OpenRouter's OpenAPI files, and Ollama's `api.md`.
"""

from typing import Final

from routing.request.names import words

OPENAI: Final = words(
    "messages model audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens "
    "max_tokens metadata modalities n parallel_tool_calls prediction presence_penalty prompt_cache_key "
    "prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed "
    "service_tier stop store stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity "
    "web_search_options"
)
"""What OpenAI's own endpoint takes; a provider of the table is thought to take the same, but for what its entry says."""
ALWAYS: Final = words("messages model stream stream_options max_tokens max_completion_tokens")
"""What no provider may be said to lack."""

OFFERS: Final = words(
    "seed prediction user metadata parallel_tool_calls verbosity prompt_cache_key prompt_cache_retention "
    "prompt_cache_options safety_identifier reasoning_effort service_tier store cache_control transforms session_id "
    "trace top_k min_p top_a repetition_penalty debug stop_server_tools_when include_reasoning reasoning options "
    "keep_alive think raw context template"
)
"""Left out where they are not taken, and reported: the answer still is what was asked for."""
DEMANDS: Final = (OPENAI - ALWAYS - OFFERS) | words("image_config format suffix system images")
"""Refused where they are not taken: without them the answer would be another one."""
OURS: Final = words("usage provider models route")
"""OpenRouter's words to a router. We are the router, so they end here."""
KNOWN: Final = OPENAI | OFFERS | DEMANDS | OURS
NEVER_TAKEN: Final = OURS | words("plugins fallbacks preset options")
"""What must not reach a provider whatever its entry says: it would choose another model, or another cap, than was decided on."""

NEUTRAL: Final[dict[str, frozenset[bytes]]] = {
    name: frozenset(value.encode() for value in values)
    for name, values in {
        "frequency_penalty": ("0", "0.0"),
        "presence_penalty": ("0", "0.0"),
        "repetition_penalty": ("1", "1.0"),
        "top_k": ("0", "-1"),
        "min_p": ("0", "0.0"),
        "top_a": ("0", "0.0"),
        "top_p": ("1", "1.0"),
        "n": ("1",),
        "logprobs": ("false",),
        "top_logprobs": ("0",),
        "logit_bias": ("{}",),
        "parallel_tool_calls": ("true",),
        "tool_choice": ('"auto"', '"none"'),
        "tools": ("[]",),
        "functions": ("[]",),
        "function_call": ('"auto"', '"none"'),
        "stop": ("[]",),
        "store": ("false",),
        "metadata": ("{}",),
        "transforms": ("[]",),
        "service_tier": ('"auto"', '"default"', '"standard"', '"on_demand"'),
        "modalities": ('["text"]',),
        "reasoning": ("{}",),
        "response_format": ('{"type":"text"}', '{"type": "text"}'),
        "options": ("{}",),
        "raw": ("false",),
        "images": ("[]",),
        "format": ('""',),
        "verbosity": ('"medium"',),
    }.items()
}
"""What says the same as nothing: left out without a word. So is null, everywhere."""


def is_neutral(name: str, value: bytes) -> bool:
    return value == b"null" or value in NEUTRAL.get(name, ())


def taken(base: frozenset[str], changes: tuple[str, ...]) -> frozenset[str]:
    """The parameters that are taken, after an entry's `parameters`: names that are taken too, and with a minus in front, not."""
    lacks = {each[1:] for each in changes if each.startswith("-")}
    return (base | {each for each in changes if not each.startswith("-")}) - lacks
