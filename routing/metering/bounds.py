"""What one generation can possibly have used, and what becomes of a claim beyond it.

Rule: a claim within the bounds is believed, completed by our own count where it says nothing. What cannot be is charged at the
bound, or as we counted, and named (`fault`), so that it is counted and told to the operator.
Bounds: a prompt has at most a token for each byte of the body, and what linked media can cost, within the model's window
(`prompt_max`, as it was held); a completion at most the cap that was sent, over all choices (`completion_max`). Tolerated beyond
them, because it is seen and billed:
- PROMPT_ADDED_MAX tokens of prompt, which providers add of their own (the rules of tool use, a system prompt), and
  SEARCH_TOKENS_MAX for each web search that was asked for: what is found is read, and billed, as prompt;
- an eighth of the completion and 16 tokens: servers stop a little late, and count the end of a turn;
- REASONING_BEYOND_MAX tokens of reasoning, where caps do not bound it.
A claim beyond what is tolerated is no such thing: it is charged at the bound, as if nothing were tolerated, unless we passed on
that much text. A completion whose text we passed on has at least a token for BYTES_PER_TOKEN_MAX bytes of it.
Limits: what is tolerated may cost more than was held; the account pays for it as far as it can (`overage`).
"""

from typing import Final

import msgspec

from usage.record import Tokens, UsageSource

PROMPT_ADDED_MAX: Final = 1_024
SEARCH_TOKENS_MAX: Final = 16_384
REASONING_BEYOND_MAX: Final = 4_096
BYTES_PER_TOKEN_MAX: Final = 16
"""Bytes of text in a token, at most, over a whole answer: four are usual, and more in long runs of one character."""
SEARCHES_MAX: Final = 10
"""Searches for one answer, unless the request says how many."""
UNBOUNDED: Final = 2**53
NO_PARTS: Final = Tokens()


class TokenBounds(msgspec.Struct, frozen=True, gc=False):
    """`completion_max` is over all choices; `searches_asked` are those that the request allows. See above."""

    prompt_max: int = UNBOUNDED
    completion_max: int = UNBOUNDED
    searches_max: int = SEARCHES_MAX
    searches_asked: int = 0

    @property
    def prompt_ceiling(self) -> int:
        """What a prompt can have, with what is tolerated."""
        return self.prompt_max + PROMPT_ADDED_MAX + self.searches_asked * SEARCH_TOKENS_MAX

    def completion_ceiling(self, reasoning: int) -> int:
        """What a completion with so much reasoning in it can have, with what is tolerated."""
        return self.completion_max + max(self.completion_max // 8 + 16, min(reasoning, REASONING_BEYOND_MAX))


class Counts(msgspec.Struct, frozen=True, gc=False):
    """What a claim says in OpenAI's sense. `parts` are those of `Tokens` that are inside of prompt and completion; a whole that
    is None is not told; `total` is, where neither whole is. `left_over`: tokens in the total that cannot be. `tokens`: all of it,
    where its parts agree with its wholes, so that within the bounds nothing is left to be done. `is_plain`: the claim says these
    tokens and nothing else."""

    prompt: int | None
    completion: int | None
    parts: Tokens
    left_over: int = 0
    tokens: Tokens | None = None
    is_plain: bool = False
    total: int = 0


class Counted(msgspec.Struct, frozen=True, gc=False):
    """Our own count. `prompt` is an estimate; `completion` most likely; `text_bytes` were passed on in all.

    `since_claim`: completion tokens that were passed on after the last claim about them.
    """

    prompt: int
    completion: int
    text_bytes: int = 0
    since_claim: int = 0


class Bounded(msgspec.Struct, frozen=True, gc=False):
    """What is charged for. `fault` says what was claimed that cannot be; empty when nothing was."""

    tokens: Tokens
    source: UsageSource
    fault: str = ""


def bounded(counts: Counts, ours: Counted, bounds: TokenBounds) -> Bounded:
    """A claim within its bounds, and with what it lacks."""
    faults: list[str] = []
    source: UsageSource = "provider"
    prompt, completion, parts = counts.prompt, counts.completion, counts.parts
    if counts.left_over:
        faults.append(f"{counts.left_over} tokens more in the total")
    if prompt is None:
        # What was read from a cache, or written to one, was read.
        prompt, source = min(max(ours.prompt, parts.cached + parts.cache_write), bounds.prompt_max), "estimated"
    elif prompt > bounds.prompt_ceiling:
        faults.append(f"{prompt} prompt tokens where {bounds.prompt_max} are possible")
        prompt = bounds.prompt_max
    counted = min(ours.completion, bounds.completion_max)
    if completion is None:
        completion, source = max(counted, min(parts.reasoning, bounds.completion_max)), "counted"
        of_completion = counts.total - prompt
        if of_completion > bounds.completion_ceiling(of_completion):
            faults.append(f"{counts.total} tokens in all")
        elif of_completion > completion:
            completion, source = of_completion, "estimated"
    elif completion > max(bounds.completion_ceiling(parts.reasoning), ours.completion):
        faults.append(f"{completion} completion tokens where {bounds.completion_max} were allowed")
        completion = bounds.completion_max
    elif completion < counted:
        if ours.since_claim > completion // 8 + 4:
            completion, source = counted, "counted"
        elif completion < -(-ours.text_bytes // BYTES_PER_TOKEN_MAX):
            faults.append(f"{completion} completion tokens for {ours.text_bytes} bytes of text")
            completion = counted
    if parts.searches > bounds.searches_max:
        faults.append(f"{parts.searches} searches where {bounds.searches_max} are possible")
    tokens = within(prompt, completion, parts, bounds.searches_max)
    return Bounded(tokens, "bounded", "; ".join(faults)) if faults else Bounded(tokens, source)


def within(prompt: int, completion: int, parts: Tokens, searches_max: int) -> Tokens:
    """`parts` cut to the wholes that they are in."""
    if parts == NO_PARTS:
        return Tokens(prompt, completion)
    writes = min(parts.cache_write, prompt)
    writes_12h = min(parts.cache_write_12h, writes)
    return Tokens(
        prompt=prompt,
        completion=completion,
        cached=min(parts.cached, prompt),
        cache_write=writes,
        reasoning=min(parts.reasoning, completion),
        audio_prompt=min(parts.audio_prompt, prompt),
        image_prompt=min(parts.image_prompt, prompt),
        audio_completion=min(parts.audio_completion, completion),
        image_completion=min(parts.image_completion, completion),
        cache_write_1h=min(parts.cache_write_1h, writes - writes_12h),
        cache_write_12h=writes_12h,
        searches=min(parts.searches, searches_max),
    )
