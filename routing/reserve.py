"""How much credit a request must hold before a byte leaves: its worst case, and the least that could serve it.

Rule: no generation within these bounds can cost more than `full_nano`. The prompt is bounded by the body's bytes (a token is at
least one byte) and by the model's context; a part whose content is elsewhere (a URL, a file id) is bounded by the context alone,
an image also by the model's `image_tokens_max`.
Limits: what a provider bills beyond its own caps is overage, which is named and counted, not bounded here.
"""

from collections.abc import Sequence

import msgspec

from routing.envelope import Envelope
from routing.plan import Attempt
from routing.provider import Model
from usage.pricing import completion_affordable, worst_case_nano
from usage.record import Rates

COMPLETION_TOKENS_DEFAULT = 16_384
"""The cap for a model whose table names none; it is then always sent to the provider."""
COMPLETION_TOKENS_MIN = 16
"""What a capped answer must at least be allowed, to be worth its prompt."""


class Reserve(msgspec.Struct, frozen=True, gc=False):
    """Bounds in tokens (`completion_max` over all choices) and in nano-dollars, over all the models that may be tried.

    `full_nano` covers the answer the caller may get; `least_nano` the shortest that is worth it (equal when the caller set a
    cap). `cap_always`: per-choice cap to send even when `full_nano` is held, None when the caller's or the model's own cap is
    enough.
    """

    prompt_max: int
    completion_max: int
    choices: int
    full_nano: int
    least_nano: int
    rates: Rates
    cap_always: int | None


def reserve(envelope: Envelope, attempts: Sequence[Attempt]) -> Reserve:
    """The bounds for a request that may be tried with each of `attempts`; the dearest decides."""
    first = attempts[0].model
    dearest = _of(envelope, first)
    for attempt in attempts[1:]:
        if attempt.model is not first:
            other = _of(envelope, attempt.model)
            dearest = other if other.full_nano > dearest.full_nano else dearest
    return dearest


def _of(envelope: Envelope, model: Model) -> Reserve:
    prompt_max = _prompt_max(envelope, model)
    own_cap = model.max_output_tokens or COMPLETION_TOKENS_DEFAULT
    per_choice = own_cap if envelope.max_tokens is None else envelope.max_tokens
    choices = envelope.choices
    full_nano = worst_case_nano(prompt_max, per_choice * choices, model.rates)
    least_nano = full_nano
    if envelope.max_tokens is None:
        least_nano = worst_case_nano(prompt_max, min(per_choice, COMPLETION_TOKENS_MIN) * choices, model.rates)
    cap_always = own_cap if envelope.max_tokens is None and model.max_output_tokens is None else None
    return Reserve(prompt_max, per_choice * choices, choices, full_nano, least_nano, model.rates, cap_always)


def _prompt_max(envelope: Envelope, model: Model) -> int:
    bound = envelope.bytes_total
    if envelope.remote_images or envelope.remote_others:
        if model.image_tokens_max is None or envelope.remote_others:
            return model.context_tokens or max(bound, 1_000_000)
        bound += envelope.remote_images * model.image_tokens_max
    return min(bound, model.context_tokens) if model.context_tokens else bound


def completion_within(reserve: Reserve, held_nano: int) -> int:
    """Completion tokens over all choices that `held_nano` pays for; negative when not even the prompt fits."""
    return min(completion_affordable(held_nano, reserve.prompt_max, reserve.rates), reserve.completion_max)
