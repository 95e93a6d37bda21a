"""What becomes of the members of a Chat request at a provider that speaks Messages; and the traits of its models.

Source: OpenAI's and OpenRouter's OpenAPI files; Anthropic's Messages reference and its page on OpenAI compatibility.
"""

import re
from typing import Final

from routing.translate.ledger import Ledger, demand, demands, meaningless, offers, reads, renamed

LEDGER: Final[Ledger] = {
    **reads(
        "messages model max_tokens max_completion_tokens temperature top_p stop tools tool_choice parallel_tool_calls "
        "response_format reasoning reasoning_effort include_reasoning user safety_identifier service_tier web_search_options"
    ),
    "top_k": renamed("top_k"),
    "stream": renamed("stream"),
    "cache_control": renamed("cache_control"),
    **offers(
        "seed prediction metadata verbosity prompt_cache_key prompt_cache_options prompt_cache_retention session_id trace "
        "transforms debug stop_server_tools_when moderation min_p top_a repetition_penalty deferred_tools"
    ),
    **demands("frequency_penalty presence_penalty logit_bias logprobs top_logprobs n"),
    **demands("modalities audio image_config", "it answers in text only"),
    **demands("functions function_call", "send 'tools' and 'tool_choice'"),
    "store": demand("what is kept there would be kept under this proxy's key; leave it out", b"false"),
    **meaningless("stream_options usage provider models route plugins"),
}

_CLAUDE: Final = re.compile(r"claude-(?:[a-z]+-)?(\d+)(?:[-.](\d{1,2})(?!\d))?(?:-([a-z]+))?")


def traits_of(model: str) -> frozenset[str]:
    """What a Claude model is known for, by its name.

    adaptive_thinking: it decides how long to think, and is told an effort. budget_thinking: it is given a number of tokens.
    no_sampling: temperature, top_p and top_k are errors. structured: it takes a JSON schema for its answer.
    """
    found = _CLAUDE.search(model)
    if found is None:
        return frozenset(("budget_thinking", "structured"))
    version = (int(found[1]), int(found[2] or 0))
    traits = set()
    if version >= (4, 6):
        traits.add("adaptive_thinking")
    elif version >= (3, 7):
        traits.add("budget_thinking")
    if version >= (4, 5):
        traits.add("structured")
    if version >= (5, 5) and re.search(r"claude-(?:opus|sonnet)", model):
        traits.add("no_sampling")
    return frozenset(traits)
