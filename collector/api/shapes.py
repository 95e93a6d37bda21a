"""How amounts and times cross the border of the API: exact decimals, RFC 3339, and back.

Rule: an amount is a JSON number with its exact decimal text, written from integer nano-dollars; it never passes through a float.
"""

import datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from collector.api.problem import wrong
from collector.ledger.ledger import TOPPED_NANO_MAX
from usage.pricing import NANO_PER_DOLLAR, dollars, dollars_of_pico

Dollars = Annotated[Decimal, msgspec.Meta(description="Dollars as an exact decimal, at most nine places.")]
"""An amount that comes in."""


class Amount:
    """An amount that goes out: nano-dollars, written as dollars."""

    __slots__ = ("nano",)

    def __init__(self, nano: int) -> None:
        self.nano = nano

    def __repr__(self) -> str:
        return f"Amount({dollars(self.nano)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Amount) and other.nano == self.nano

    def __hash__(self) -> int:
        return hash(self.nano)


class PicoAmount:
    """What a provider says that it bills, in pico-dollars, written as dollars."""

    __slots__ = ("pico",)

    def __init__(self, pico: int) -> None:
        self.pico = pico


def _spell(value: Any) -> Any:
    if isinstance(value, Amount):
        return msgspec.Raw(dollars(value.nano).encode())
    if isinstance(value, PicoAmount):
        return msgspec.Raw(dollars_of_pico(value.pico).encode())
    raise NotImplementedError(type(value).__name__)


encode = msgspec.json.Encoder(enc_hook=_spell).encode


def nano_of(amount: Decimal, param: str) -> int:
    """Nano-dollars of an amount that came in; ApiError 400 for a negative, too large or too fine one."""
    if not amount.is_finite() or amount < 0 or amount.adjusted() > 12:
        raise wrong(param, f"{param} must be an amount of dollars, 0 or more")
    if amount.as_tuple().exponent < -9 and amount != amount.quantize(Decimal("1e-9")):  # type: ignore[operator]
        raise wrong(param, f"{param} is finer than a nano-dollar")
    nano = int(amount * NANO_PER_DOLLAR)
    if nano > TOPPED_NANO_MAX:
        raise wrong(param, f"{param} is at most {dollars(TOPPED_NANO_MAX)} dollars")
    return nano


def timestamp(time_ms: int) -> str:
    """RFC 3339, UTC, milliseconds."""
    moment = datetime.datetime.fromtimestamp(time_ms // 1000, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"


def ms_of(text: str, param: str) -> int:
    """Unix milliseconds of an RFC 3339 time or a date; without an offset it is UTC. ApiError 400 for anything else."""
    try:
        moment = datetime.datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        time_ms = int(moment.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise wrong(param, f"{param} is a time such as 2026-01-31 or 2026-01-31T08:00:00+01:00") from error
    if time_ms < 0:
        raise wrong(param, f"{param} lies before 1970")
    return time_ms


def expiry_of(text: str | None, now_ms: int) -> int | None:
    """When a key ends, in Unix milliseconds; None for one that does not. ApiError 400 for what is no time, or has passed."""
    expires_ms = None if text is None else ms_of(text, "expires_at")
    if expires_ms is not None and expires_ms <= now_ms:
        raise wrong("expires_at", "expires_at has passed already")
    return expires_ms
