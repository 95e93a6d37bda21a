"""Counts what one generation used, and writes the usage object that the caller reads.

Rule: the provider's usage is a claim. It is completed by our own count and bounded by what was possible
(`routing.metering.bounds`); where it is not taken as it came, `usage_source` says so.
Strategy: our count is the larger of the deltas with text in them (most providers stream token by token) and a quarter of the
text's bytes (some stream sentences); the prompt is a quarter of the bytes that a model reads, where an image or a sound counts as
what it costs at most, if that is known. What is observed is only kept; what it comes to is worked out when it is asked for, which
is at the end and at a progress mark, not per chunk.
Limits: hidden reasoning cannot be counted from outside; a document in the body counts as text.
"""

import re

import msgspec

from routing.dialects.claim import Arithmetic, Claim, merged, read_claim, upstream_cost_pico
from routing.dialects.counts import counts_of
from routing.metering.bill import Bill as Bill
from routing.metering.bill import usage_object
from routing.metering.bounds import BYTES_PER_TOKEN_MAX, Counted, Counts, TokenBounds, bounded
from routing.request.envelope import Envelope
from routing.table.provider import Model
from routing.table.tariff import Tariff
from usage.pricing import cost_nano
from usage.record import Rates, Tokens, UsageSource

BYTES_PER_TOKEN = 4
MEDIA_TOKENS = 2_000
"""Of an image or a sound when the model's `image_tokens_max` is not known: about twice what a megapixel or a minute costs at the
providers that say so, so that nobody gains by leaving before the usage comes."""
TEXT = re.compile(rb'"(?:content|reasoning(?:_content)?|arguments|refusal|text)":[ ]?"([^"\\]*+(?:\\.[^"\\]*+)*+)"')
"""A text that a model wrote, as JSON has it, in whatever member a provider puts it."""
_CITATION = re.compile(rb'"url_citation"\s*:\s*\{[^{}"]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^{}"]*+)*+\}')
"""A page that the provider found and quotes: no text that a model wrote."""
_THOUGHT = re.compile(rb'"(reasoning(?:_content)?)":[ ]?"([^"\\]*+(?:\\.[^"\\]*+)*+)"')
_DETAILS = re.compile(rb'"reasoning_details"\s*:\s*\[[^\[\]"]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^\[\]"]*+)*+\]')
CITATION_BYTES_MIN = 512
"""A text below this is not looked at for citations."""
_find_text = TEXT.findall
_encode = msgspec.json.encode
NO_BOUNDS = TokenBounds()
NO_PIECES = Tokens()
UNHELD_NANO = 2**62


def estimate(text_bytes: int, each: int = BYTES_PER_TOKEN) -> int:
    """Tokens of a text of that many bytes, as English text has them; at least 1."""
    return max(-(-text_bytes // each), 1)


def estimate_prompt(envelope: Envelope, model: Model, each: int = BYTES_PER_TOKEN) -> int:
    """Tokens of the prompt, most likely; never more than the model's window."""
    inline, remote = envelope.inline_media, envelope.remote_images + envelope.remote_others
    if not (inline or remote):
        tokens = estimate(envelope.prompt_bytes, each)
    else:
        tokens = estimate(envelope.prompt_bytes - sum(inline), each)
        media_max = model.image_tokens_max or MEDIA_TOKENS
        tokens += sum([min(estimate(size), media_max) for size in inline]) + remote * media_max
    window = model.context_tokens
    return tokens if window is None or tokens < window else window


class Meter(msgspec.Struct, eq=False):
    """The counts of one generation. `prompt_estimate` in tokens; `deltas` with text in them, and all their text's bytes.

    `bounds`: what it can have used. `asked_tier` is the service tier that the request asks for, `tier` the one that the answer
    names, empty as long as it names none. `cache_life`: "1h" or "12h" when the request asks for it, for a provider that does not
    split its writes. `searches_min`: 1 when the request has the web searched, for a provider that does not say how often.
    """

    tariff: Tariff
    prompt_estimate: int
    arithmetic: Arithmetic = "auto"
    bounds: TokenBounds = NO_BOUNDS
    asked_tier: str = ""
    cache_life: str = ""
    hold_nano: int = UNHELD_NANO
    """What is held: a dearer tier than was asked for is not charged beyond it."""
    searches_min: int = 0
    trusts_served_tier: bool = True
    pieces: Tokens | None = None
    """What is priced by the piece: as many as there most likely are, until the answer tells."""
    pieces_max: Tokens = NO_PIECES
    echoed_bytes: int = 0
    """Of the text, those that repeat the prompt."""
    tier: str = ""
    deltas: int = 0
    text_bytes: int = 0
    _claim: Claim | None = None
    _text: bytes = b""
    _last: Claim | None = None
    """The last usage object that was read, and what it claims by itself."""
    _deltas_claimed: int = 0
    _bytes_claimed: int = 0
    """What had been counted when the completion was claimed last."""
    _are_pieces_told: bool = False
    _bill: Bill | None = None
    _billed_at: tuple[int, int, str] = (0, 0, "")

    def turn_to(self, tariff: Tariff, arithmetic: Arithmetic, *, trusts_served_tier: bool = True) -> None:
        """Another provider is asked; what was observed of the last one was no answer."""
        self.tariff = tariff
        self.arithmetic = arithmetic
        self.trusts_served_tier = trusts_served_tier
        self.forget()

    def forget(self) -> None:
        """Nothing was observed yet."""
        self.tier = ""
        self.deltas = self.text_bytes = self._deltas_claimed = self._bytes_claimed = 0
        self._claim = self._last = self._bill = None
        self._text = b""

    @property
    def expected_rates(self) -> Rates:
        """Those of the prompt as it is estimated and the tier that was asked for: what is known before the answer."""
        return self.tariff.resolve(self.prompt_estimate, self.asked_tier)

    def observe_text(self, event: bytes) -> None:
        """Count the text in the JSON of one event."""
        size = 0
        texts = _find_text(event)
        for text in texts:
            size += len(text)
        if size:
            if size > CITATION_BYTES_MIN and b'"url_citation"' in event:
                event = _CITATION.sub(b"", event)
                size = _size_of(event)
            if len(texts) > 1 and b'"reasoning' in event:
                size -= _repeated(event)
            self.deltas += 1
            self.text_bytes += size

    def count_text(self, size: int) -> None:
        """A text of that many bytes, if it is one."""
        if size:
            self.deltas += 1
            self.text_bytes += size

    def observe_unread(self, event: bytes) -> None:
        """Count an event that cannot be read and is passed on: its texts if they can be found, else all its bytes."""
        before = self.deltas
        self.observe_text(event)
        if self.deltas == before and event:
            self.deltas += 1
            self.text_bytes += len(event)

    def observe_usage(self, usage: bytes) -> int:
        """The provider's word, after the text that came with it; of two, the later word counts for each member that it has.
        Returns the completion tokens that it claims, 0 when it says nothing about them."""
        claim = read_claim(usage)
        if claim is None or (self._claim is not None and claim.is_empty):
            return 0
        self._claim, self._last = claim if self._claim is None else merged(self._claim, claim), claim
        self._text = usage
        self._bill = None
        completion = claim.completion
        if completion:
            self._deltas_claimed, self._bytes_claimed = self.deltas, self.text_bytes
        return completion

    def expect(self, most: Tokens, likely: Tokens | None) -> None:
        """What is priced by the piece: the most that there can be, and what it is until the answer tells."""
        self.pieces_max, self.pieces = most, likely or most

    def observe_pieces(self, **counts: int) -> None:
        """What the answer says of seconds, characters, images or searches; never more than there can be."""
        if self.pieces is not None:
            kept = {name: min(max(number, 0), getattr(self.pieces_max, name)) for name, number in counts.items()}
            self.pieces = msgspec.structs.replace(self.pieces, **kept)
            self._are_pieces_told = True
            self._bill = None

    def observe_answer(self, body: bytes, usage: bytes) -> None:
        """A whole answer and the usage in it (empty: none). The text is looked at only if it could matter."""
        claimed = self.observe_usage(usage) if usage else 0
        if not claimed or claimed * BYTES_PER_TOKEN_MAX < len(body):
            self.observe_text(body)
            self._deltas_claimed, self._bytes_claimed = self.deltas, self.text_bytes

    @property
    def has_usage(self) -> bool:
        return self._claim is not None and not self._claim.is_empty

    @property
    def completion_counted(self) -> int:
        """Completion tokens by our count."""
        return max(self.deltas, -(-self.written_bytes // BYTES_PER_TOKEN))

    @property
    def written_bytes(self) -> int:
        """Of the text, those that the model wrote."""
        return max(self.text_bytes - self.echoed_bytes, 0)

    @property
    def tokens(self) -> Tokens:
        return self.bill().tokens

    @property
    def source(self) -> UsageSource:
        return self.bill().source

    def cost_nano(self) -> int:
        return self.bill().cost_nano

    def bill(self) -> Bill:
        """What all that was observed comes to."""
        observed = self.deltas, self.text_bytes, self.tier
        if self._bill is None or self._billed_at != observed:
            self._bill, self._billed_at = self._work_out(), observed
        return self._bill

    def bill_prompt(self) -> Bill:
        """What is charged when the provider may have read the prompt and nothing more is known."""
        tokens = Tokens(prompt=min(self.prompt_estimate, self.bounds.prompt_max))
        return self._priced(tokens, "estimated")

    def _work_out(self) -> Bill:
        claim, bounds = self._claim, self.bounds
        counts = None if claim is None else counts_of(claim, self.arithmetic, bounds)
        if counts is not None and counts.tokens is not None and not (self.cache_life and counts.parts.cache_write):
            tokens = counts.tokens
            if tokens.prompt <= bounds.prompt_max and self.completion_counted <= tokens.completion <= bounds.completion_max:
                # The usual case: nothing to bound and nothing to complete.
                assert claim is not None
                upstream_pico = None if counts.is_plain else upstream_cost_pico(claim)
                return self._priced(tokens, "provider", "", upstream_pico, claim is self._last and tokens.completion > 0)
        since_bytes = self.text_bytes - self._bytes_claimed
        since = max(self.deltas - self._deltas_claimed, -(-since_bytes // BYTES_PER_TOKEN))
        ours = Counted(self.prompt_estimate, self.completion_counted, self.written_bytes, since)
        if claim is None or counts is None or claim.is_empty:
            if self._are_pieces_told:
                # Billed by the piece: no token of it is.
                return self._priced(Tokens(), "provider")
            tokens = bounded(_NOTHING_CLAIMED, ours, bounds).tokens
            return self._priced(tokens, "counted")
        if self.cache_life and counts.parts.cache_write:
            counts = msgspec.structs.replace(counts, parts=_with_life(counts.parts, self.cache_life))
        found = bounded(counts, ours, bounds)
        return self._priced(found.tokens, found.source, found.fault, upstream_cost_pico(claim))

    def _priced(
        self,
        tokens: Tokens,
        source: UsageSource,
        fault: str = "",
        upstream_pico: int | None = None,
        is_as_claimed: bool = False,
    ) -> Bill:
        # The one place where rates are chosen for what is charged: by the prompt's size and the tier that the answer names.
        if tokens.searches < self.searches_min and source != "estimated":
            tokens = msgspec.structs.replace(tokens, searches=self.searches_min)
        if self.pieces is not None:
            tokens = _with_pieces(tokens, self.pieces)
        served = self.tier if self.trusts_served_tier else ""
        tier, rates = self.tariff.charge(tokens, self.asked_tier, served, self.hold_nano)
        return Bill(tokens, rates, cost_nano(tokens, rates), source, fault, upstream_pico, tier, is_as_claimed)

    def usage_json(self) -> bytes:
        """The usage object: the provider's own members, with the totals in OpenAI's sense and `cost` in dollars added."""
        return usage_object(self._text, self.bill())


def _size_of(event: bytes) -> int:
    return sum(map(len, _find_text(event)))


def _repeated(event: bytes) -> int:
    """Bytes of thoughts that stand in an event more than once: under both their names, and in pieces in `reasoning_details`."""
    told = {b"reasoning": 0, b"reasoning_content": 0}
    for name, text in _THOUGHT.findall(event):
        told[name] += len(text)
    most = max(told.values())
    return sum(told.values()) - most + (_size_of(event) - _size_of(_DETAILS.sub(b"", event)) if most else 0)


_NOTHING_CLAIMED = Counts(None, None, Tokens())


def _with_life(parts: Tokens, life: str) -> Tokens:
    """All cache writes are of one life, unless the provider says which are."""
    if parts.cache_write_1h or parts.cache_write_12h:
        return parts
    return msgspec.structs.replace(parts, **{f"cache_write_{life}": parts.cache_write})


def _with_pieces(tokens: Tokens, pieces: Tokens) -> Tokens:
    return msgspec.structs.replace(
        tokens, searches=pieces.searches, seconds=pieces.seconds, characters=pieces.characters, images=pieces.images
    )
