"""What a provider claims to have counted: the usage object of OpenAI's dialect in its many accents, and what it says in Tokens.

Rule: a bad member (negative, of another type, no number) voids itself and not its neighbours; what is missing is None, not zero.
Rule: of several usage objects the last word counts, member by member; an answer's counts never fall back to zero.
Accents that cost money: xAI and some DeepInfra models leave reasoning out of `completion_tokens`, Gemini's OpenAI layer leaves
its thinking out of all members but the total; cached tokens go by many names and may be counted outside of the prompt; Cohere
bills on `billed_units`; Anthropic's names come without the cache in them. The gap to `total_tokens` tells.
Source: the providers' pages, recorded answers (tests/recorded), the extractors of genai-prices.
"""

from decimal import Decimal, InvalidOperation
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from routing.bounds import Counts, TokenBounds
from routing.dialects.lenient import Inner, salvage
from routing.splice import REFUSED
from usage.pricing import PICO_PER_DOLLAR
from usage.record import COUNT_MAX, UPSTREAM_COST_PICO_MAX, Tokens

Number = int | float | None
Arithmetic = Literal["auto", "reasoning_included", "reasoning_excluded"]
PICO_PER_TICK = 100
"""xAI's `cost_in_usd_ticks`: ten thousand millionths of a dollar."""

ABSENT = Raw(b"")


class _Writes(msgspec.Struct, gc=False):
    """Cache writes by their life, as OpenAI and Anthropic split them."""

    ttl_12h_tokens: Number = None
    ephemeral_1h_input_tokens: Number = None
    ephemeral_5m_input_tokens: Number = None


class _Details(msgspec.Struct, gc=False):
    cached_tokens: Number = None
    cache_write_tokens: Number = None
    cache_creation_input_tokens: Number = None
    cache_write_tokens_details: _Writes | None = None
    audio_tokens: Number = None
    image_tokens: Number = None
    reasoning_tokens: Number = None
    thinking_tokens: Number = None


class _Billed(msgspec.Struct, gc=False):
    input_tokens: Number = None
    output_tokens: Number = None


class _Tools(msgspec.Struct, gc=False):
    web_search_requests: Number = None


class Claim(msgspec.Struct, gc=False):
    """The members of usage objects that are read, as they came. None: not there, or void."""

    prompt_tokens: Number = None
    completion_tokens: Number = None
    total_tokens: Number = None
    prompt_tokens_details: _Details | UnsetType | None = UNSET
    completion_tokens_details: _Details | UnsetType | None = UNSET
    prompt_token_details: _Details | None = None
    input_tokens: Number = None
    output_tokens: Number = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: Number = None
    cached_tokens: Number = None
    num_cached_tokens: Number = None
    cache_read_input_tokens: Number = None
    cache_creation_input_tokens: Number = None
    cache_creation: _Writes | None = None
    reasoning_tokens: Number = None
    citation_tokens: Number = None
    billed_units: _Billed | None = None
    server_tool_use: _Tools | None = None
    server_tool_use_details: _Tools | None = None
    num_search_queries: Number = None
    num_sources_used: Number = None
    cost: Raw = ABSENT
    estimated_cost: Raw = ABSENT
    cost_in_usd_ticks: Number = None
    usage_source: Raw = ABSENT

    @property
    def is_plain(self) -> bool:
        """Whether it is three counts that agree, and nothing else that is known here."""
        prompt, completion, total = self.prompt_tokens, self.completion_tokens, self.total_tokens
        return (
            type(prompt) is type(completion) is type(total) is int
            and prompt > 0
            and completion > 0
            and total == prompt + completion <= COUNT_MAX
            and self == Claim(prompt, completion, total)
        )

    @property
    def is_empty(self) -> bool:
        """Whether it counts nothing: no prompt has no tokens."""
        prompt = self.prompt_tokens
        if type(prompt) is int and prompt > 0:
            return False
        return not any(count(number) for number in (*self.wholes, self.total_tokens))

    @property
    def wholes(self) -> tuple[Number, Number]:
        """Prompt and completion by whatever name. Cohere's `tokens` are not what it bills."""
        billed = self.billed_units
        if billed is not None and count(billed.input_tokens) is not None:
            return billed.input_tokens, billed.output_tokens
        if not (count(self.prompt_tokens) or count(self.completion_tokens)) and (self.input_tokens or self.output_tokens):
            return self.input_tokens, self.output_tokens
        return self.prompt_tokens, self.completion_tokens


class _Cost(msgspec.Struct):
    total_cost: Raw = ABSENT


_decode_claim = msgspec.json.Decoder(Claim).decode
_decode_cost = msgspec.json.Decoder(_Cost).decode
_NONE = _Details()
_NO_TOOLS = _Tools()
_NO_WRITES = _Writes()
_SPLIT: Inner = {"cache_write_tokens_details": lambda raw: salvage(raw, _Writes, {})}
_INNER: Inner = {
    **dict.fromkeys(
        (
            "prompt_tokens_details",
            "prompt_token_details",
            "input_tokens_details",
            "completion_tokens_details",
            "output_tokens_details",
        ),
        lambda raw: salvage(raw, _Details, _SPLIT),
    ),
    "cache_creation": lambda raw: salvage(raw, _Writes, {}),
    "billed_units": lambda raw: salvage(raw, _Billed, {}),
    "server_tool_use": lambda raw: salvage(raw, _Tools, {}),
    "server_tool_use_details": lambda raw: salvage(raw, _Tools, {}),
}


def read_claim(usage: bytes | Raw) -> Claim | None:
    """The claim of a usage object; None when it is none, or says nothing."""
    try:
        claim: Claim = _decode_claim(usage)
    except msgspec.ValidationError:
        try:
            claim = salvage(usage, Claim, _INNER)
        except REFUSED:
            return None
    except REFUSED:
        return None
    return claim


def merged(before: Claim | None, claim: Claim) -> Claim:
    """The last word of each member; a claim that counts nothing has no word."""
    if before is None or (claim.is_plain and before.is_plain):
        return claim
    return before if claim.is_empty else _last_words(before, claim)


_NEVER_ZERO_AGAIN = frozenset(("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens"))
T = TypeVar("T", Claim, _Details)


def _last_words(before: T, claim: T) -> T:
    found: dict[str, Any] = {}
    for name in claim.__struct_fields__:
        old, new = getattr(before, name), getattr(claim, name)
        if isinstance(new, _Details) and isinstance(old, _Details):
            found[name] = _last_words(old, new)
        elif new is None or new is UNSET or new is ABSENT or (name in _NEVER_ZERO_AGAIN and not count(new)):
            found[name] = new if old is None or old is UNSET else old
        else:
            found[name] = new
    return type(claim)(**found)


def count(number: Number) -> int | None:
    """A count as a whole number, at most COUNT_MAX; None for what is none. A good one is given back as it is."""
    if number is None or number < 0:
        return None
    if number >= COUNT_MAX:
        return COUNT_MAX
    return number if type(number) is int else int(number)


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
    if not prompt:
        # No prompt has no tokens: a zero is a member that was not filled in.
        prompt = total - completion if completion is not None and total > completion else None
    elif completion is None and total > prompt:
        completion = total - prompt
    if prompt is None or completion is None:
        return Counts(prompt, completion, parts)
    of_prompt, of_completion = _outside(claim, arithmetic, total - prompt - completion, parts)
    left_over = 0
    if prompt + of_prompt > bounds.prompt_ceiling:
        left_over, of_prompt = of_prompt, 0
    if completion + of_completion > bounds.completion_ceiling(of_completion):
        left_over, of_completion = left_over + of_completion, 0
    if of_completion and not reasoning:
        parts = msgspec.structs.replace(parts, reasoning=of_completion)
    return Counts(prompt + of_prompt, completion + of_completion, parts, left_over)


def _agreed(claim: Claim) -> Counts | None:
    """The usual case, which is most of all: OpenAI's names, counts that agree with their total, parts inside of their wholes."""
    prompt, completion, total = claim.prompt_tokens, claim.completion_tokens, claim.total_tokens
    if not (type(prompt) is type(completion) is type(total) is int and total == prompt + completion <= COUNT_MAX):
        return None
    inputs, outputs = claim.prompt_tokens_details, claim.completion_tokens_details
    if min(prompt - 1, completion) < 0 or claim != Claim(prompt, completion, total, inputs, outputs):
        return None
    cached = written = audio_in = image_in = reasoning = audio_out = image_out = 0
    if inputs and inputs != _NONE:
        read = inputs.cached_tokens, inputs.cache_write_tokens, inputs.audio_tokens, inputs.image_tokens
        if inputs != _Details(read[0], read[1], None, None, read[2], read[3]):
            return None
        cached, written, audio_in, image_in = (count(number) or 0 for number in read)
        if cached + written > prompt or audio_in > prompt or image_in > prompt:
            return None
    if outputs and outputs != _NONE:
        told = outputs.reasoning_tokens, outputs.audio_tokens, outputs.image_tokens
        if outputs != _Details(None, None, None, None, told[1], told[2], told[0]):
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
    elif gap < 0 and claim.wholes[0] is claim.input_tokens and claim.input_tokens_details is None:
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


def upstream_cost_pico(claim: Claim) -> int | None:
    """What the provider says that it bills for the generation, in pico-dollars, rounded to one; None when it does not say.

    OpenRouter and others: `cost` in dollars. Perplexity: `cost.total_cost`. DeepInfra: `estimated_cost`. xAI: ticks.
    """
    ticks = count(claim.cost_in_usd_ticks)
    if ticks is not None:
        return ticks * PICO_PER_TICK
    for raw in (claim.cost, claim.estimated_cost):
        if raw is ABSENT:
            continue
        text = bytes(raw)
        if text[:1] == b"{":
            try:
                text = bytes(_decode_cost(raw).total_cost)
            except REFUSED:
                continue
        found = _pico(text)
        if found is not None:
            return found
    return None


def _pico(text: bytes) -> int | None:
    """Pico-dollars of a JSON number of dollars, or of a string with one."""
    try:
        dollars = Decimal(text[:64].strip(b'"').decode("ascii"))
    except (InvalidOperation, UnicodeDecodeError):
        return None
    if not dollars.is_finite() or not 0 <= dollars <= UPSTREAM_COST_PICO_MAX // PICO_PER_DOLLAR:
        return None
    return int((dollars * PICO_PER_DOLLAR).to_integral_value())
