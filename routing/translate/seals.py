"""Signed and encrypted thoughts on their way through a format that has one place for them and no name for whose they are.

Chat says beside each (`reasoning_details`) in whose format it is. Messages and Responses have a text of the provider's own at
that place, which comes back with the next request: there the format is put in front, so that a signature that only one provider
can read goes back to that provider as what it was, and to no other.
Form: `tollway:FORMAT:KIND:ID:DATA`; ID is the provider's, its colons and percent signs percent-encoded.
"""

from typing import Final, NamedTuple
from urllib.parse import quote, unquote

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
