"""How much credit an attempt must hold before a byte leaves: its worst case, and the least that could serve it.

Rule: no generation within these bounds can cost more than `full_nano`. The prompt is bounded by the body's bytes (a token is at
least one byte) and by the model's context; a part whose content is elsewhere (a URL, a file id) is bounded by the context alone,
an image by the model's `image_tokens_max`. Whichever of the prices that may apply is the dearest decides.
Rule: the bounds belong to the attempt. Another target of the same alias has other prices and another cap.
Limits: what a provider bills beyond its own caps is overage, which is named and counted, not bounded here.
"""

import msgspec

from routing.metering.bounds import TokenBounds
from routing.request.envelope import Envelope
from routing.table.provider import Model
from usage.pricing import PICO_PER_NANO, completion_affordable, pieces_pico, worst_case_nano
from usage.record import Rates

COMPLETION_TOKENS_DEFAULT = 16_384
"""The cap for a model whose table names none; it is then always sent to the provider."""
COMPLETION_TOKENS_MIN = 16
"""What a capped answer must at least be allowed, to be worth its prompt."""
IMAGE_TOKENS_DEFAULT = 16_384
"""Of a linked image when the table does not say: what the families that take the largest ones (Qwen-VL) allow by default."""
WINDOW_TOKENS_DEFAULT = 1_000_000


class Reserve(msgspec.Struct, frozen=True, gc=False):
    """Bounds in tokens (`completion_max` over all choices) and in nano-dollars.

    `full_nano` covers the answer the caller may get; `least_nano` the shortest that is worth it (equal when the caller set a
    cap). `cap_always`: per-choice cap to send even when `full_nano` is held, None when the caller's or the model's own cap is
    enough. `rates` are all that may apply.
    """

    prompt_max: int
    completion_max: int
    choices: int
    full_nano: int
    least_nano: int
    rates: tuple[Rates, ...]
    cap_always: int | None
    searches_max: int = 0
    extra_completion: int = 0
    """Tokens of `completion_max` that may be billed beside the answer."""

    @property
    def searches_min(self) -> int:
        return 1 if self.searches_max else 0


def reserve(envelope: Envelope, model: Model) -> Reserve:
    """The bounds of a request to `model`."""
    prompt_max = _prompt_max(envelope, model)
    choices, asked, options = envelope.choices, envelope.max_tokens, envelope.options
    own_cap = model.max_output_tokens or COMPLETION_TOKENS_DEFAULT
    extra = searches_max = 0
    if options is not None:
        extra = options.extra_completion * choices
        is_declined = bool(envelope.search_tools) and not model.has_search_price
        searches_max = 0 if options.search is None or is_declined else options.searches_max or model.searches_max
    rates = model.tariff.possible(prompt_max, envelope.tier)
    if envelope.pieces is not None:
        return _with_pieces(envelope, prompt_max, own_cap * choices + extra, rates)
    if asked is not None:
        # No answer is longer than the model's own cap, or than its window.
        bound = model.max_output_tokens or model.context_tokens
        completion_max = (asked if bound is None or asked < bound else bound) * choices + extra
        full_nano = _worst(prompt_max, completion_max, rates, searches_max)
        return Reserve(prompt_max, completion_max, choices, full_nano, full_nano, rates, None, searches_max, extra)
    completion_max = own_cap * choices + extra
    full_nano = _worst(prompt_max, completion_max, rates, searches_max)
    least_nano = _worst(prompt_max, min(own_cap, COMPLETION_TOKENS_MIN) * choices + extra, rates, searches_max)
    cap_always = own_cap if model.max_output_tokens is None else None
    return Reserve(prompt_max, completion_max, choices, full_nano, least_nano, rates, cap_always, searches_max, extra)


def _with_pieces(envelope: Envelope, prompt_max: int, completion_max: int, rates: tuple[Rates, ...]) -> Reserve:
    """Of a request that is priced by the piece: its answer has no cap that could be lowered."""
    assert envelope.pieces is not None
    if envelope.is_free:
        return Reserve(0, 0, 0, 0, 0, rates, None)
    pieces_nano = max([-(-pieces_pico(envelope.pieces, each) // PICO_PER_NANO) for each in rates])
    full_nano = _worst(prompt_max, completion_max, rates, 0) + pieces_nano
    return Reserve(prompt_max, completion_max, envelope.choices, full_nano, full_nano, rates, None)


def _worst(prompt_max: int, completion_max: int, rates: tuple[Rates, ...], searches_max: int) -> int:
    if len(rates) == 1:
        return worst_case_nano(prompt_max, completion_max, rates[0], searches_max)
    return max([worst_case_nano(prompt_max, completion_max, each, searches_max) for each in rates])


def _prompt_max(envelope: Envelope, model: Model) -> int:
    bound, window = envelope.bytes_total, model.context_tokens
    if envelope.remote_others:
        return window or max(bound, WINDOW_TOKENS_DEFAULT)
    if envelope.remote_images:
        bound += envelope.remote_images * (model.image_tokens_max or IMAGE_TOKENS_DEFAULT)
    return bound if window is None or bound < window else window


def allowance(reserve: Reserve, held_nano: int) -> tuple[int, int | None]:
    """(completion tokens over all choices, per-choice cap to send or None) for what is held, which is at least `least_nano`."""
    if held_nano >= reserve.full_nano:
        return reserve.completion_max, reserve.cap_always
    completion_max = completion_within(reserve, held_nano)
    return completion_max, max(completion_max - reserve.extra_completion, 1) // reserve.choices


def bounds_of(reserve: Reserve, completion_max: int) -> TokenBounds:
    """What can have been used, for who reads the provider's claim."""
    if reserve.searches_max:
        return TokenBounds(reserve.prompt_max, completion_max, reserve.searches_max, reserve.searches_max)
    return TokenBounds(reserve.prompt_max, completion_max)


def completion_within(reserve: Reserve, held_nano: int) -> int:
    """Completion tokens over all choices that `held_nano` pays for; negative when not even the prompt fits."""
    affordable = min([completion_affordable(held_nano, reserve.prompt_max, each, reserve.searches_max) for each in reserve.rates])
    return min(affordable, reserve.completion_max)
