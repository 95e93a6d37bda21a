"""OpenAI's dialect and its many accents: where usage sits, and how its counts become Tokens.

Source: the providers' pages and recorded streams. Usage is looked for at the top level, then in `x_groq.usage`, then in
`choices[0].usage`; the last one seen wins, never a sum.
Accents that cost money: xAI and some DeepInfra models leave reasoning out of `completion_tokens` (the gap to `total_tokens`
tells); cached tokens go by five names; xAI may count them outside of `prompt_tokens`; Cohere bills on `billed_units`.
"""

from typing import Any, Literal

import msgspec
from msgspec import Raw

from usage.record import Tokens

COUNT_MAX = 2**40
"""A count beyond this is no count; the usage that carries it is ignored."""

Number = int | float | None
Arithmetic = Literal["auto", "reasoning_included", "reasoning_excluded"]


class _Details(msgspec.Struct):
    cached_tokens: Number = None
    cache_write_tokens: Number = None
    cache_creation_input_tokens: Number = None
    audio_tokens: Number = None
    image_tokens: Number = None
    reasoning_tokens: Number = None


class _Billed(msgspec.Struct):
    input_tokens: Number = None
    output_tokens: Number = None


class _Usage(msgspec.Struct):
    prompt_tokens: Number = None
    completion_tokens: Number = None
    total_tokens: Number = None
    prompt_tokens_details: _Details | None = None
    prompt_token_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: Number = None
    cached_tokens: Number = None
    num_cached_tokens: Number = None
    reasoning_tokens: Number = None
    citation_tokens: Number = None
    billed_units: _Billed | None = None


_decode_usage = msgspec.json.Decoder(_Usage).decode
_NO_DETAILS = _Details()


def tokens_of(usage: Raw | bytes, arithmetic: Arithmetic = "auto") -> Tokens | None:
    """The counts of a usage object; None when it is null, no usage at all, or carries impossible counts.

    `arithmetic` says whether `completion_tokens` holds the reasoning; "auto" goes by the gap to `total_tokens`.
    """
    try:
        view = _decode_usage(usage)
    except msgspec.DecodeError:
        return None
    if view.billed_units is not None and view.billed_units.input_tokens is not None:
        prompt, completion = _count(view.billed_units.input_tokens), _count(view.billed_units.output_tokens)
    elif view.prompt_tokens is None and view.completion_tokens is None:
        return None
    else:
        prompt, completion = _count(view.prompt_tokens), _count(view.completion_tokens)
    inputs = view.prompt_tokens_details or view.prompt_token_details or _NO_DETAILS
    outputs = view.completion_tokens_details or _NO_DETAILS
    cached = _count(_first(inputs.cached_tokens, view.prompt_cache_hit_tokens, view.cached_tokens, view.num_cached_tokens))
    reasoning = _count(_first(outputs.reasoning_tokens, view.reasoning_tokens))
    citation = _count(view.citation_tokens)
    gap = _count(view.total_tokens) - prompt - completion
    if arithmetic == "reasoning_excluded":
        completion += reasoning
    elif arithmetic == "auto" and gap > 0 and gap in (reasoning, reasoning + citation):
        completion += gap
    if cached > prompt:
        prompt += cached
    tokens = Tokens(
        prompt=prompt,
        completion=completion,
        cached=cached,
        cache_write=_count(_first(inputs.cache_write_tokens, inputs.cache_creation_input_tokens)),
        reasoning=min(reasoning, completion),
        audio_prompt=_count(inputs.audio_tokens),
        image_prompt=_count(inputs.image_tokens),
        audio_completion=_count(outputs.audio_tokens),
        image_completion=_count(outputs.image_tokens),
    )
    return tokens if max(prompt, completion, cached) <= COUNT_MAX else None


def _first(*candidates: Number) -> Number:
    return next((candidate for candidate in candidates if candidate is not None), None)


def _count(number: Number) -> int:
    return max(int(number), 0) if number is not None else 0


_ABSENT = Raw(b"")


class Groq(msgspec.Struct):
    usage: Raw = _ABSENT


class Choice(msgspec.Struct):
    finish_reason: str | None = None
    usage: Raw = _ABSENT


class Chunk(msgspec.Struct):
    """What is read of a chunk or a whole answer; everything else passes unread."""

    id: Any = None
    created: Any = None
    choices: list[Choice] | None = None
    usage: Raw = _ABSENT
    error: Raw = _ABSENT
    x_groq: Groq | None = None

    @property
    def any_usage(self) -> bytes:
        """The usage object wherever this provider puts it; empty when there is none."""
        for candidate in (
            self.usage,
            self.x_groq.usage if self.x_groq else _ABSENT,
            self.choices[0].usage if self.choices else _ABSENT,
        ):
            text = bytes(candidate)
            if text and text != b"null":
                return text
        return b""

    @property
    def has_error(self) -> bool:
        return bytes(self.error) not in (b"", b"null", b'""', b"{}", b"false")

    @property
    def finish_reason(self) -> str:
        """The first finish reason among the choices; empty when the answer goes on."""
        for choice in self.choices or ():
            if choice.finish_reason:
                return choice.finish_reason
        return ""


decode_chunk = msgspec.json.Decoder(Chunk).decode
