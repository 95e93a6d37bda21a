"""What a provider claims to have counted: the usage object of OpenAI's dialect in its many accents, read and put together.

Rule: a bad member (negative, of another type, no number) voids itself and not its neighbours; what is missing is None, not zero.
Rule: of several usage objects the last word counts, member by member; an answer's counts never fall back to zero.
Accents: cached tokens go by many names; Cohere bills on `billed_units`; a cost comes in dollars, in an object or in ticks.
What the counts come to is `routing.dialects.counts`'s matter.
Source: the providers' pages, recorded answers (tests/recorded), the extractors of genai-prices.
"""

from decimal import Decimal, InvalidOperation
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from routing.dialects.lenient import Inner, salvage
from routing.wire.members import REFUSED
from usage.pricing import PICO_PER_DOLLAR
from usage.record import COUNT_MAX, UPSTREAM_COST_PICO_MAX

Number = int | float | None
Arithmetic = Literal["auto", "reasoning_included", "reasoning_excluded"]
PICO_PER_TICK = 100
"""xAI's `cost_in_usd_ticks`: ten thousand millionths of a dollar."""

ABSENT = Raw(b"")


class Writes(msgspec.Struct, gc=False):
    """Cache writes by their life, as OpenAI and Anthropic split them."""

    ttl_12h_tokens: Number = None
    ephemeral_1h_input_tokens: Number = None
    ephemeral_5m_input_tokens: Number = None


class Details(msgspec.Struct, gc=False):
    cached_tokens: Number = None
    cache_write_tokens: Number = None
    cache_creation_input_tokens: Number = None
    cache_write_tokens_details: Writes | None = None
    audio_tokens: Number = None
    image_tokens: Number = None
    reasoning_tokens: Number = None
    thinking_tokens: Number = None


class Billed(msgspec.Struct, gc=False):
    input_tokens: Number = None
    output_tokens: Number = None


class Tools(msgspec.Struct, gc=False):
    web_search_requests: Number = None


class Claim(msgspec.Struct, gc=False):
    """The members of usage objects that are read, as they came. None: not there, or void."""

    prompt_tokens: Number = None
    completion_tokens: Number = None
    total_tokens: Number = None
    prompt_tokens_details: Details | UnsetType | None = UNSET
    completion_tokens_details: Details | UnsetType | None = UNSET
    prompt_token_details: Details | None = None
    input_tokens: Number = None
    output_tokens: Number = None
    input_tokens_details: Details | None = None
    output_tokens_details: Details | None = None
    prompt_cache_hit_tokens: Number = None
    cached_tokens: Number = None
    num_cached_tokens: Number = None
    cache_read_input_tokens: Number = None
    cache_creation_input_tokens: Number = None
    cache_creation: Writes | None = None
    reasoning_tokens: Number = None
    citation_tokens: Number = None
    billed_units: Billed | None = None
    server_tool_use: Tools | None = None
    server_tool_use_details: Tools | None = None
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
    def completion(self) -> int:
        """Completion tokens by whatever name; 0 when they are not told."""
        completion = self.completion_tokens
        if type(completion) is int and 0 < completion < COUNT_MAX and self.billed_units is None:
            return completion
        prompt, told = map(count, self.wholes)
        if told is None and prompt:
            # The total tells it.
            told = max((count(self.total_tokens) or 0) - prompt, 0)
        return told or 0

    @property
    def wholes(self) -> tuple[Number, Number]:
        """Prompt and completion, each by whatever name it is told. Cohere's `tokens` are not what it bills."""
        billed = self.billed_units
        if billed is not None and count(billed.input_tokens) is not None:
            return billed.input_tokens, billed.output_tokens
        return _either(self.prompt_tokens, self.input_tokens), _either(self.completion_tokens, self.output_tokens)


def _either(own: Number, other: Number) -> Number:
    """What is told under OpenAI's name, or, where that is none or not filled in, under the other one."""
    return own if count(own) or other is None else other


class _Cost(msgspec.Struct):
    total_cost: Raw = ABSENT


_decode_claim = msgspec.json.Decoder(Claim).decode
_decode_cost = msgspec.json.Decoder(_Cost).decode
_SPLIT: Inner = {"cache_write_tokens_details": lambda raw: salvage(raw, Writes, {})}
_INNER: Inner = {
    **dict.fromkeys(
        (
            "prompt_tokens_details",
            "prompt_token_details",
            "input_tokens_details",
            "completion_tokens_details",
            "output_tokens_details",
        ),
        lambda raw: salvage(raw, Details, _SPLIT),
    ),
    "cache_creation": lambda raw: salvage(raw, Writes, {}),
    "billed_units": lambda raw: salvage(raw, Billed, {}),
    "server_tool_use": lambda raw: salvage(raw, Tools, {}),
    "server_tool_use_details": lambda raw: salvage(raw, Tools, {}),
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


def merged(before: Claim, claim: Claim) -> Claim:
    """The last word of each member; a claim that counts nothing has no word."""
    if claim.is_plain and before.is_plain:
        return claim
    return before if claim.is_empty else _last_words(before, claim)


_NEVER_ZERO_AGAIN = frozenset(("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens"))
T = TypeVar("T", Claim, Details)


def _last_words(before: T, claim: T) -> T:
    found: dict[str, Any] = {}
    for name in claim.__struct_fields__:
        old, new = getattr(before, name), getattr(claim, name)
        if isinstance(new, Details) and isinstance(old, Details):
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
