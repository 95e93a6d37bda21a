"""What a claim says in Tokens: OpenAI's sense of each count, whatever the accent it was told in.

Rule: what is missing is None, not zero, and what only the total tells is believed as far as it can be.
Accents that cost money: xAI and some DeepInfra models leave reasoning out of `completion_tokens`, Gemini's OpenAI layer leaves
its thinking out of all members but the total; cached tokens may be counted outside of the prompt; Anthropic's names come without
the cache in them. The gap to `total_tokens` tells.
Strategy: most claims agree with themselves, and are read the short way (`_agreed`).
"""

from itertools import product

import msgspec

from routing.dialects.claim import Arithmetic, Claim, Details, Number, Tools, Writes, count
from routing.metering.bounds import Counts, TokenBounds
from usage.record import COUNT_MAX, Tokens

_NONE = Details()
_NO_TOOLS = Tools()
_NO_WRITES = Writes()


def counts_of(claim: Claim, arithmetic: Arithmetic, bounds: TokenBounds) -> Counts:
    """What a claim says. `arithmetic`: whether the completion holds the reasoning; "auto" goes by the gap to the total.

    The bounds are for what only the total tells: tokens that cannot be are left over, and not counted.
    """
    agreed = _agreed(claim)
    if agreed is not None:
        return agreed
    prompt, completion = map(count, claim.wholes)
    inputs = claim.prompt_tokens_details or claim.prompt_token_details or claim.input_tokens_details or _NONE
    outputs = claim.completion_tokens_details or claim.output_tokens_details or _NONE
    cached = _first(
        *(inputs.cached_tokens, claim.prompt_cache_hit_tokens, claim.cached_tokens, claim.num_cached_tokens),
        claim.cache_read_input_tokens,
    )
    writes = _first(inputs.cache_write_tokens, inputs.cache_creation_input_tokens, claim.cache_creation_input_tokens)
    reasoning = _first(outputs.reasoning_tokens, claim.reasoning_tokens, outputs.thinking_tokens)
    split = claim.cache_creation or inputs.cache_write_tokens_details or _NO_WRITES
    tools = claim.server_tool_use or claim.server_tool_use_details or _NO_TOOLS
    parts = Tokens(
        cached=cached,
        cache_write=writes,
        reasoning=reasoning,
        audio_prompt=_first(inputs.audio_tokens),
        image_prompt=_first(inputs.image_tokens),
        audio_completion=_first(outputs.audio_tokens),
        image_completion=_first(outputs.image_tokens),
        cache_write_1h=_first(split.ephemeral_1h_input_tokens),
        cache_write_12h=_first(split.ttl_12h_tokens),
        searches=_first(tools.web_search_requests, claim.num_search_queries, claim.num_sources_used),
    )
    total = count(claim.total_tokens) or 0
    if not prompt or completion is None:
        return _by_total(prompt or None, completion, total, parts)
    of_prompt, of_completion = _outside(claim, arithmetic, total - prompt - completion, parts)
    left_over = 0
    if prompt + of_prompt > bounds.prompt_ceiling:
        left_over, of_prompt = of_prompt, 0
    if completion + of_completion > bounds.completion_ceiling(of_completion):
        left_over, of_completion = left_over + of_completion, 0
    if of_completion and not reasoning:
        parts = msgspec.structs.replace(parts, reasoning=of_completion)
    return Counts(prompt + of_prompt, completion + of_completion, parts, left_over)


def _by_total(prompt: int | None, completion: int | None, total: int, parts: Tokens) -> Counts:
    """Of a claim that lacks a whole: the total tells the other one, and nothing beside it.

    No prompt has no tokens: a zero is a member that was not filled in.
    """
    if completion is not None:
        completion += parts.reasoning if parts.reasoning > completion else 0
        prompt = total - completion if total > completion else None
    elif prompt is not None:
        completion = total - prompt if total > prompt else None
    else:
        return Counts(None, None, parts, total=total)
    return Counts(prompt, completion, parts)


_SAYS_NOTHING = tuple(
    Details(cached_tokens=cached, audio_tokens=audio, reasoning_tokens=reasoning)
    for cached, audio, reasoning in product((0, None), repeat=3)
)
"""As most details are."""


def _agreed(claim: Claim) -> Counts | None:
    """The usual case, which is most of all: OpenAI's names, counts that agree with their total, parts inside of their wholes."""
    prompt, completion, total = claim.prompt_tokens, claim.completion_tokens, claim.total_tokens
    if type(prompt) is not int or type(completion) is not int or total != prompt + completion or type(total) is not int:
        return None
    inputs, outputs = claim.prompt_tokens_details, claim.completion_tokens_details
    if prompt < 1 or completion < 0 or total > COUNT_MAX or claim != Claim(prompt, completion, total, inputs, outputs):
        return None
    if (not inputs or inputs in _SAYS_NOTHING) and (not outputs or outputs in _SAYS_NOTHING):
        tokens = Tokens(prompt, completion)
        return Counts(prompt, completion, tokens, 0, tokens, True)
    cached = written = audio_in = image_in = reasoning = audio_out = image_out = 0
    if inputs:
        read = inputs.cached_tokens, inputs.cache_write_tokens, inputs.audio_tokens, inputs.image_tokens
        if inputs != Details(read[0], read[1], None, None, read[2], read[3]):
            return None
        cached, written, audio_in, image_in = (count(number) or 0 for number in read)
        if cached + written > prompt or audio_in > prompt or image_in > prompt:
            return None
    if outputs:
        told = outputs.reasoning_tokens, outputs.audio_tokens, outputs.image_tokens
        if outputs != Details(None, None, None, None, told[1], told[2], told[0]):
            return None
        reasoning, audio_out, image_out = (count(number) or 0 for number in told)
        if reasoning > completion or audio_out > completion or image_out > completion:
            return None
    tokens = Tokens(prompt, completion, cached, written, reasoning, audio_in, image_in, audio_out, image_out)
    return Counts(prompt, completion, tokens, 0, tokens)


def _outside(claim: Claim, arithmetic: Arithmetic, gap: int, parts: Tokens) -> tuple[int, int]:
    """(prompt tokens, completion tokens) that are billed and that the two wholes leave out; `gap` is what the total has more."""
    cached, reasoning = parts.cached, parts.reasoning
    of_prompt, of_completion = 0, max(gap, 0)
    if gap > 0 and gap not in (reasoning, reasoning + _first(claim.citation_tokens)):
        for outside in (cached, cached + parts.cache_write):
            if outside and gap - outside in (0, reasoning):
                of_prompt, of_completion = outside, gap - outside
    elif gap < 0 and not count(claim.prompt_tokens) and claim.input_tokens_details is None:
        # Anthropic's names, and no total: what went through the cache is counted apart.
        of_prompt = cached + parts.cache_write
    if claim.billed_units is not None or arithmetic == "reasoning_included":
        of_completion = 0
    elif arithmetic == "reasoning_excluded":
        of_completion = reasoning
    elif gap <= 0 and reasoning > (count(claim.wholes[1]) or 0):
        # More than its whole: it was left out of it, as some do who adjust their total, too.
        of_completion = reasoning
    return of_prompt, of_completion


def _first(*candidates: Number) -> int:
    """The first count that is there, 0 when none is."""
    for candidate in candidates:
        found = count(candidate)
        if found is not None:
            return found
    return 0
