"""What a caller reads of limits: the refusal of a request beyond one, and the `x-ratelimit-*` headers on every answer.

Rule: a refusal names which limit, whose, what it allows, what is left, and when to come again. Rule: nobody is asked to wait for
more than WAIT_S_MAX: beyond a minute SDKs do not obey `retry-after`, but their own short back-off.
Sources: OpenAI's guide on rate limits (names of the headers, Go's durations, `type` "requests" or "tokens"); openai-python and
openai-node obey waits up to 60 s.
"""

from functools import lru_cache
from typing import Final

from routing.plan.refusal import Refusal
from usage.limit import NAMES, PERIOD_S, UNITS, Unit

Headers = list[tuple[bytes, bytes]]
WAIT_S_MAX: Final = 60.0
PERIOD_MS: Final = PERIOD_S * 1_000
_SHORT: Final[dict[Unit, str]] = {
    "requests": "requests per min (RPM)",
    "tokens": "tokens per min (TPM)",
    "concurrent": "requests at once",
}
_FIELDS: Final[dict[Unit, tuple[bytes, ...]]] = {
    unit: tuple(f"x-ratelimit-{what}-{unit}".encode() for what in ("limit", "remaining", "reset")) for unit in UNITS
}


def limited(scope: str, unit: Unit, allowed: int, remaining: int, reset_s: float, cost: int, wait_s: float) -> Refusal:
    """A limit of `scope` (`key:<id>`, `account:<name>`) does not allow `cost` more now. What alone is too much stays so."""
    kind = scope.partition(":")[0]
    whose = {"key": "this key", "account": "this account"}.get(kind, f"the provider {scope.partition(':')[2]}")
    metadata = {
        "limit": NAMES[unit],
        "scope": kind,
        "allowed": allowed,
        "remaining": remaining,
        "resets_in_s": round(reset_s, 3),
        "requested": cost,
    }
    told = f"on {_SHORT[unit]} of {whose}: Limit {allowed}, Remaining {remaining}, Requested {cost}"
    kind = "tokens" if unit == "tokens" else "requests"
    if cost > allowed:
        message = f"Request too large {told}. It can never be admitted: make it smaller, or lower max_tokens"
        return Refusal(429, "rate_limit_exceeded", message, kind, metadata=metadata, is_hopeless=True)
    wait_s = min(max(wait_s, 0.05), WAIT_S_MAX)
    message = f"Rate limit reached {told}. Please try again in {duration(wait_s)}"
    return Refusal(429, "rate_limit_exceeded", message, kind, metadata=metadata, retry_after_s=wait_s)


def unverifiable(scope: str, unit: Unit) -> Refusal:
    """A hard limit, and nobody to ask how much of it others use."""
    kind = scope.partition(":")[0]
    message = f"the {NAMES[unit]} limit of this {kind} cannot be verified, because the collector cannot be reached; try again"
    return Refusal(503, "limit_unverifiable", message, metadata={"limit": NAMES[unit], "scope": kind}, retry_after_s=2.0)


def limit_headers(unit: Unit, allowed: int, used: int) -> Headers:
    """The three headers of one unit: what is used in a minute comes free in a minute."""
    name, left, reset = _FIELDS[unit]
    if not 0 <= used <= allowed:
        used = 0 if used < 0 else allowed
    return [(name, b"%d" % allowed), (left, b"%d" % (allowed - used)), (reset, _duration_of(used * PERIOD_MS // allowed))]


@lru_cache(4_096)
def _duration_of(milliseconds: int) -> bytes:
    return duration(milliseconds / 1000).encode("ascii")


def duration(seconds: float) -> str:
    """As Go writes it and OpenAI sends it: "0s", "12ms", "1.5s", "6m0s"."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds > 0 else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if minutes >= 60:
        return f"{minutes // 60}h{minutes % 60}m{text}"
    return f"{minutes}m{text}" if minutes else text
