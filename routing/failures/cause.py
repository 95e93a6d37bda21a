"""Why a provider said no: whose fault it is stands in the body of its answer, seldom in the status alone.

Limits: the vocabulary only. `routing.failures.cause_table` reads a cause from an answer; `failover` and `health` say what
follows.
"""

import enum
from typing import Final


class Cause(enum.Enum):
    """Why an attempt was answered with an error: about us first, then about the provider, then about the request."""

    CREDENTIALS = "credentials"
    """Our key is wrong, expired, disabled."""
    EXHAUSTED = "exhausted"
    """Our balance, budget or long-term quota there is used up."""
    UNAFFORDABLE = "unaffordable"
    """Our balance does not cover this one request; smaller ones are served."""
    FORBIDDEN = "forbidden"
    """Our account may not do this, or not from here."""
    MODEL_GONE = "model_gone"
    """The table lists a model that is not served there (any more)."""
    UNEXPECTED = "unexpected"
    """An answer that nothing asked for: a redirect, 405, 418."""
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    """It failed: 5xx."""
    TIMED_OUT = "timed_out"
    """It, or what stands before it, gave up waiting."""
    MODEL_UNKNOWN = "model_unknown"
    """The caller asked for a model, or another thing, that does not exist there."""
    TOO_LONG = "too_long"
    """More tokens than the model's context."""
    TOO_LARGE = "too_large"
    """More bytes, or more tokens at once, than are taken."""
    UNSUPPORTED = "unsupported"
    """A parameter or a modality that this model does not have."""
    MODERATED = "moderated"
    """The content was refused."""
    INVALID = "invalid"
    """Anything else that is wrong with the request."""


ABOUT_REQUEST: Final = frozenset(
    (Cause.MODEL_UNKNOWN, Cause.TOO_LONG, Cause.TOO_LARGE, Cause.UNSUPPORTED, Cause.MODERATED, Cause.INVALID)
)
"""The caller can mend it, so it reads the provider's own words."""
ABOUT_KEY: Final = frozenset((Cause.CREDENTIALS, Cause.EXHAUSTED))
"""True of every request with this key."""
ABOUT_ACCOUNT: Final = ABOUT_KEY | {Cause.FORBIDDEN, Cause.UNAFFORDABLE}
"""Between us and the provider: callers are told no more than that the operator has to mend it."""

_STATUSES: Final = {
    400: Cause.INVALID,
    401: Cause.CREDENTIALS,
    402: Cause.EXHAUSTED,
    403: Cause.FORBIDDEN,
    404: Cause.MODEL_UNKNOWN,
    408: Cause.TIMED_OUT,
    410: Cause.MODEL_UNKNOWN,
    413: Cause.TOO_LARGE,
    415: Cause.INVALID,
    422: Cause.INVALID,
    424: Cause.UNAVAILABLE,  # Bedrock: the model behind it failed
    429: Cause.RATE_LIMITED,
    451: Cause.FORBIDDEN,
    498: Cause.OVERLOADED,  # Groq: capacity of the flex tier exceeded
    503: Cause.OVERLOADED,
    504: Cause.TIMED_OUT,
    522: Cause.TIMED_OUT,  # Cloudflare in front of the provider: no connection
    524: Cause.TIMED_OUT,  # and no answer in time
    529: Cause.OVERLOADED,  # Anthropic and OpenRouter
}


def cause_of_status(status: int) -> Cause:
    """What a status means where nothing else is known. 0: an error inside a 200 that names none."""
    return _STATUSES.get(status) or (Cause.UNAVAILABLE if status >= 500 or not status else Cause.UNEXPECTED)
