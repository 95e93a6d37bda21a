"""OpenAI's dialect and its many accents: where usage sits, and how its counts become Tokens.

Source: the providers' pages and recorded streams. Usage is looked for at the top level, then in `x_groq.usage`, then in
`choices[0].usage`; the last one seen wins, never a sum.
Accents that cost money: xAI and some DeepInfra models leave reasoning out of `completion_tokens` (the gap to `total_tokens`
tells); cached tokens go by five names; xAI may count them outside of `prompt_tokens`; Cohere bills on `billed_units`.
"""

from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from usage.record import Tokens

COUNT_MAX = 2**40
"""A count beyond this is no count; the usage that carries it is ignored."""

UPSTREAM_ID_CHARS_MAX = 128

Number = int | float | None
Arithmetic = Literal["auto", "reasoning_included", "reasoning_excluded"]


class _Details(msgspec.Struct, gc=False):
    cached_tokens: Number = None
    cache_write_tokens: Number = None
    cache_creation_input_tokens: Number = None
    audio_tokens: Number = None
    image_tokens: Number = None
    reasoning_tokens: Number = None


class _Billed(msgspec.Struct, gc=False):
    input_tokens: Number = None
    output_tokens: Number = None


_ABSENT = Raw(b"")


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: Number = None
    completion_tokens: Number = None
    total_tokens: Number = None
    prompt_tokens_details: _Details | UnsetType | None = UNSET
    prompt_token_details: _Details | None = None
    completion_tokens_details: _Details | UnsetType | None = UNSET
    prompt_cache_hit_tokens: Number = None
    cached_tokens: Number = None
    num_cached_tokens: Number = None
    reasoning_tokens: Number = None
    citation_tokens: Number = None
    billed_units: _Billed | None = None
    cost: Raw = _ABSENT
    usage_source: Raw = _ABSENT


class Usage(msgspec.Struct, frozen=True, gc=False):
    """What a usage object says. `completion` is what its text lacks to be one in OpenAI's sense, to be put before its last brace;
    None when the text says something else than `tokens` and has to be written anew."""

    tokens: Tokens
    completion: bytes | None


_NOTHING_CACHED = b',"prompt_tokens_details":{"cached_tokens":0}'
_NOTHING_REASONED = b',"completion_tokens_details":{"reasoning_tokens":0}'
_NOTHING_MORE = _NOTHING_CACHED + _NOTHING_REASONED
_decode_usage = msgspec.json.Decoder(_Usage).decode
_NO_DETAILS = _Details()


def tokens_of(usage: Raw | bytes, arithmetic: Arithmetic = "auto") -> Tokens | None:
    """The counts of a usage object; see `usage_of`."""
    read = usage_of(usage, arithmetic)
    return None if read is None else read.tokens


def usage_of(usage: Raw | bytes, arithmetic: Arithmetic = "auto") -> Usage | None:
    """What a usage object says; None when it is null, no usage at all, or carries impossible counts.

    `arithmetic` says whether `completion_tokens` holds the reasoning; "auto" goes by the gap to `total_tokens`.
    """
    try:
        view = _decode_usage(usage)
    except msgspec.DecodeError:
        return None
    prompt, completion, total = view.prompt_tokens, view.completion_tokens, view.total_tokens
    if (
        type(prompt) is type(completion) is type(total) is int
        and view == _Usage(prompt, completion, total)
        and min(prompt, completion) >= 0
        and total == prompt + completion <= COUNT_MAX
    ):
        # Three counts that agree, and nothing else that is known here: before anything that costs time.
        return Usage(Tokens(prompt, completion), _NOTHING_MORE)
    billed = view.billed_units
    if billed is not None and billed.input_tokens is not None:
        prompt, completion = _count(billed.input_tokens), _count(billed.output_tokens)
    elif view.prompt_tokens is None and view.completion_tokens is None:
        return None
    else:
        prompt, completion = _count(view.prompt_tokens), _count(view.completion_tokens)
    inputs = view.prompt_tokens_details or view.prompt_token_details or _NO_DETAILS
    outputs = view.completion_tokens_details or _NO_DETAILS
    cached = _first(inputs.cached_tokens, view.prompt_cache_hit_tokens, view.cached_tokens, view.num_cached_tokens)
    reasoning = _first(outputs.reasoning_tokens, view.reasoning_tokens)
    gap = _count(view.total_tokens) - prompt - completion
    citation = _count(view.citation_tokens)
    if arithmetic == "reasoning_excluded":
        completion += reasoning
    elif arithmetic == "auto" and gap > 0 and gap in (reasoning, reasoning + citation):
        completion += gap
    if cached > prompt:
        prompt += cached
    if max(prompt, completion, cached) > COUNT_MAX:
        return None
    tokens = Tokens(
        prompt=prompt,
        completion=completion,
        cached=cached,
        cache_write=_first(inputs.cache_write_tokens, inputs.cache_creation_input_tokens),
        reasoning=min(reasoning, completion),
        audio_prompt=_count(inputs.audio_tokens),
        image_prompt=_count(inputs.image_tokens),
        audio_completion=_count(outputs.audio_tokens),
        image_completion=_count(outputs.image_tokens),
    )
    return Usage(tokens, _completion(view, prompt, completion, cached, tokens.reasoning))


def _completion(view: _Usage, prompt: int, completion: int, cached: int, reasoning: int) -> bytes | None:
    """See `Usage`. The provider's numbers are ours only if they are the same objects: a count of 7.0 is written anew, as 7."""
    is_ours = prompt is view.prompt_tokens and completion is view.completion_tokens and view.total_tokens == prompt + completion
    if not is_ours or type(view.total_tokens) is not int or view.cost is not _ABSENT or view.usage_source is not _ABSENT:
        return None
    lacks = b""
    if view.prompt_tokens_details is UNSET:
        lacks = b',"prompt_tokens_details":{"cached_tokens":%d}' % cached if cached else _NOTHING_CACHED
    if view.completion_tokens_details is UNSET:
        lacks += b',"completion_tokens_details":{"reasoning_tokens":%d}' % reasoning if reasoning else _NOTHING_REASONED
    return lacks


def _first(*candidates: Number) -> int:
    """The first count that is there, 0 when none is."""
    for candidate in candidates:
        if candidate is not None:
            return _count(candidate)
    return 0


def _count(number: Number) -> int:
    """A count as a whole number; a good one is given back as it is."""
    if type(number) is int and number >= 0:
        return number
    return max(int(number), 0) if number is not None else 0


_NO_USAGE = (b"", b"null")
_NO_ERROR = (b"null", b'""', b"{}", b"false")


class Groq(msgspec.Struct, gc=False):
    usage: Raw = _ABSENT


class Choice(msgspec.Struct, gc=False):
    finish_reason: str | None = None
    usage: Raw = _ABSENT


class Chunk(msgspec.Struct, gc=False):
    """What is read of a chunk or a whole answer; everything else passes unread."""

    id: Raw = _ABSENT
    created: Any = None
    choices: list[Choice] | None = None
    usage: Raw = _ABSENT
    error: Raw = _ABSENT
    x_groq: Groq | None = None

    @property
    def any_usage(self) -> bytes:
        """The usage object wherever this provider puts it; empty when there is none."""
        text = bytes(self.usage)
        if text not in _NO_USAGE:
            return text
        if self.x_groq is not None:
            text = bytes(self.x_groq.usage)
        if text in _NO_USAGE and self.choices:
            text = bytes(self.choices[0].usage)
        return b"" if text in _NO_USAGE else text

    @property
    def has_error(self) -> bool:
        return self.error is not _ABSENT and bytes(self.error) not in _NO_ERROR

    @property
    def upstream_id(self) -> str:
        """The provider's own id, cut to a length that can be kept; empty when there is none."""
        try:
            upstream_id: str = _decode_str(self.id)
        except msgspec.DecodeError:
            return ""
        return upstream_id[:UPSTREAM_ID_CHARS_MAX]

    @property
    def finish_reason(self) -> str:
        """The first finish reason among the choices; empty when the answer goes on."""
        for choice in self.choices or ():
            if choice.finish_reason:
                return choice.finish_reason
        return ""


_decode_str = msgspec.json.Decoder(str).decode
decode_chunk = msgspec.json.Decoder(Chunk).decode
