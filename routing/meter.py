"""Counts what one generation used, and writes the usage object that the caller reads.

Rule: the provider's own usage wins; without one the count is ours and says so (`usage_source`).
Strategy: our count is the larger of the deltas with text in them (most providers stream token by token) and a quarter of the
text's bytes (some stream sentences); the prompt is a quarter of the bytes that a model reads, where an image or a sound counts as
what it costs at most, if that is known. Limits: hidden reasoning cannot be counted from outside; a document in the body counts as
text.
"""

import re

import msgspec
from msgspec import Raw

from routing.dialects.openai import Arithmetic, Usage, usage_of
from routing.envelope import Envelope
from routing.provider import Model
from routing.splice import Members, decode_members
from usage.pricing import cost_nano, dollars
from usage.record import Rates, Tokens, UsageSource

BYTES_PER_TOKEN = 4
MEDIA_TOKENS = 2_000
"""Of an image or a sound when the model's `image_tokens_max` is not known: about twice what a megapixel or a minute costs at the
providers that say so, so that nobody gains by leaving before the usage comes."""
TEXT = re.compile(rb'"(?:content|reasoning(?:_content)?|arguments|refusal|text)":[ ]?"([^"\\]*(?:\\.[^"\\]*)*)"')
"""A text that a model wrote, as JSON has it, in whatever member a provider puts it."""
_find_text = TEXT.findall
_encode = msgspec.json.encode


def estimate(text_bytes: int) -> int:
    """Tokens of a text of that many bytes, as English text has them; at least 1."""
    return max(-(-text_bytes // BYTES_PER_TOKEN), 1)


def estimate_prompt(envelope: Envelope, model: Model) -> int:
    """Tokens of the prompt, most likely; never more than the model's window."""
    inline, remote = envelope.inline_media, envelope.remote_images + envelope.remote_others
    tokens = estimate(envelope.prompt_bytes - sum(inline))
    if inline or remote:
        media_max = model.image_tokens_max or MEDIA_TOKENS
        tokens += sum([min(estimate(size), media_max) for size in inline]) + remote * media_max
    window = model.context_tokens
    return tokens if window is None or tokens < window else window


class Meter(msgspec.Struct, eq=False):
    """The counts of one generation. `prompt_estimate` in tokens; `deltas` with text in them, and all their text's bytes."""

    rates: Rates
    prompt_estimate: int
    arithmetic: Arithmetic = "auto"
    deltas: int = 0
    text_bytes: int = 0
    _usage: Usage | None = None
    _text: bytes = b""
    _cost_nano: int | None = None

    def turn_to(self, rates: Rates, arithmetic: Arithmetic) -> None:
        """Another provider is asked; nothing was observed of the last one."""
        self.rates = rates
        self.arithmetic = arithmetic
        self._cost_nano = None

    def observe_text(self, event: bytes) -> None:
        """Count the text in the JSON of one event."""
        size = 0
        for text in _find_text(event):
            size += len(text)
        if size:
            self.deltas += 1
            self.text_bytes += size

    def observe_usage(self, usage: bytes) -> None:
        """The provider's word; later words replace earlier ones."""
        read = usage_of(usage, self.arithmetic)
        if read is not None:
            self._usage = read
            self._text = usage
            self._cost_nano = None

    @property
    def has_usage(self) -> bool:
        return self._usage is not None

    @property
    def completion_counted(self) -> int:
        """Completion tokens by our count."""
        return max(self.deltas, -(-self.text_bytes // BYTES_PER_TOKEN))

    @property
    def tokens(self) -> Tokens:
        if self._usage is not None:
            return self._usage.tokens
        return Tokens(prompt=self.prompt_estimate, completion=self.completion_counted)

    @property
    def source(self) -> UsageSource:
        return "provider" if self._usage is not None else "counted"

    def cost_nano(self) -> int:
        if self._usage is None:
            return cost_nano(self.tokens, self.rates)
        if self._cost_nano is None:
            self._cost_nano = cost_nano(self._usage.tokens, self.rates)
        return self._cost_nano

    def usage_json(self) -> bytes:
        """The usage object: the provider's own members, with the totals in OpenAI's sense and `cost` in dollars added."""
        cost = dollars(self.cost_nano()).encode()
        usage = self._usage
        if usage is not None and usage.completion is not None:
            return b'%b%b,"cost":%b}' % (self._text[: self._text.rindex(b"}")], usage.completion, cost)
        tokens = self.tokens
        members: Members = decode_members(self._text) if usage is not None else {}
        members["prompt_tokens"] = Raw(b"%d" % tokens.prompt)
        members["completion_tokens"] = Raw(b"%d" % tokens.completion)
        members["total_tokens"] = Raw(b"%d" % tokens.total)
        members.setdefault("prompt_tokens_details", Raw(b'{"cached_tokens":%d}' % tokens.cached))
        members.setdefault("completion_tokens_details", Raw(b'{"reasoning_tokens":%d}' % tokens.reasoning))
        members["cost"] = Raw(cost)
        if usage is None:
            members["usage_source"] = Raw(b'"counted"')
        return _encode(members)
