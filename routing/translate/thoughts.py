"""Thoughts: how hard a request asks a model to think, what it thought in the turns before, and whose its signed thoughts are.

Chat says beside each (`reasoning_details`) in whose format it is. Messages and Responses have a text of the provider's own at
that place, which comes back with the next request: there the format is put in front (`Seal`), so that a signature that only one
provider can read goes back to that provider as what it was, and to no other.
Form: `tollway:FORMAT:KIND:ID:DATA`; ID is the provider's, its colons and percent signs percent-encoded.
Source: OpenAI's `reasoning_effort`; OpenRouter's `reasoning` and `reasoning_details`, and its shares of the output cap.
"""

from typing import Final, NamedTuple
from urllib.parse import quote, unquote

import msgspec
from msgspec import Raw

from routing.translate.reader import Reader, is_absent
from routing.wire.members import REFUSED, Members

SHARES: Final = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.95, "max": 0.95}
"""Of the output cap, for a model that is given a budget."""
_EFFORT_OF_SHARE: Final = ((0.2, "low"), (0.5, "medium"))


def effort_of(budget: int, cap: int) -> str:
    """The effort that so many tokens to think with are, of an output cap, for a model that is told a word."""
    return next((effort for share, effort in _EFFORT_OF_SHARE if budget <= share * cap), "high")


class Reasoning(msgspec.Struct, gc=False):
    effort: str | None = None
    max_tokens: int | None = None
    exclude: bool | None = None
    enabled: bool | None = None
    summary: str | None = None

    @property
    def is_off(self) -> bool:
        return self.enabled is False or self.effort == "none" or self.max_tokens == 0

    @property
    def says_nothing(self) -> bool:
        return self.effort is None and self.max_tokens is None and self.enabled is not True


_decode: Final = msgspec.json.Decoder(Reasoning).decode


_REASONING: Final = frozenset(("effort", "max_tokens", "exclude", "enabled", "summary"))


def reasoning_of(members: Members, reader: Reader, *, has_summary: bool = False, can_exclude: bool = True) -> Reasoning:
    """What a Chat request asks for, in whichever words; of an effort and a number of tokens the effort. `has_summary`,
    `can_exclude`: whether the format can be told so. Invalid."""
    asked = _asked(members, reader)
    path = "reasoning.effort" if "reasoning" in members else "reasoning_effort"
    if asked.effort is not None and asked.effort != "none" and asked.effort not in SHARES:
        raise reader.wrong(path, f"'none' or one of {', '.join(SHARES)}")
    if asked.effort is not None and asked.max_tokens is not None:
        reader.decline("reasoning.max_tokens")
        asked.max_tokens = None
    if asked.summary not in (None, "auto") and not has_summary:
        reader.decline("reasoning.summary")
    if asked.exclude and not can_exclude:
        reader.decline(
            "reasoning.exclude" if bytes(members.get("include_reasoning", b"null")) != b"false" else "include_reasoning"
        )
    return asked


def _asked(members: Members, reader: Reader) -> Reasoning:
    asked = Reasoning()
    if (raw := members.get("reasoning")) is not None:
        try:
            asked = _decode(raw)
        except REFUSED:
            raise reader.wrong("reasoning", "an object such as {'effort': 'high'}") from None
        reader.rest(reader.object(raw, "reasoning"), _REASONING, "reasoning")
    if (raw := members.get("reasoning_effort")) is not None:
        effort = reader.text(raw, "reasoning_effort")
        if asked.effort is None and asked.max_tokens is None:
            asked.effort = effort
        elif effort != asked.effort:
            reader.decline("reasoning_effort")
    if asked.exclude is None and bytes(members.get("include_reasoning", b"null")) == b"false":
        asked.exclude = True
    return asked


class Detail(msgspec.Struct, gc=False):
    """One of Chat's `reasoning_details`."""

    type: str = ""
    text: str | None = None
    signature: str | None = None
    data: str | None = None
    summary: str | None = None
    format: str | None = None
    id: str | None = None
    index: int | None = None


_decode_details: Final = msgspec.json.Decoder(list[Detail]).decode


def details_of(raw: Raw | None, path: str, reader: Reader) -> list[Detail]:
    """The thoughts of one message, those that came in pieces put together. Invalid."""
    if raw is None or is_absent(raw):
        return []
    try:
        found = _decode_details(raw)
    except REFUSED:
        raise reader.wrong(path, "the list of objects that the answer had") from None
    details: list[Detail] = []
    for detail in found:
        last = details[-1] if details else None
        is_more = (
            last is not None
            and last.type == detail.type
            and detail.type in ("reasoning.text", "reasoning.summary")
            and last.index == detail.index
            and not last.signature
            and (last.format or detail.format) == (detail.format or last.format)
        )
        if last is not None and is_more:
            last.text = (last.text or "") + (detail.text or "")
            last.summary = (last.summary or "") + (detail.summary or "")
            last.signature = detail.signature
            last.format = last.format or detail.format
        else:
            details.append(detail)
    return details


ANTHROPIC: Final = "anthropic-claude-v1"
GEMINI: Final = "google-gemini-v1"
OPENAI: Final = "openai-responses-v1"
_PREFIX: Final = "tollway"


class Seal(NamedTuple):
    """`kind`: "signature" (of a text that stands beside it) or "encrypted"."""

    format: str
    kind: str
    id: str
    data: str


def sealed(seal: Seal) -> str:
    return f"{_PREFIX}:{seal.format}:{seal.kind}:{quote(seal.id, safe='-_.~/ ')}:{seal.data}"


def opened(text: str) -> Seal | None:
    """What was sealed here; None for a text of somebody else's."""
    parts = text.split(":", 4)
    if len(parts) != 5 or parts[0] != _PREFIX:
        return None
    return Seal(parts[1], parts[2], unquote(parts[3]), parts[4])
