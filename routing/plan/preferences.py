"""What a caller may say about the way its request takes: OpenRouter's `models`, `provider` and `route`.

Rule: what this table can tell (names, order, prices, parameters, what providers do with data) is obeyed; a demand that it cannot
tell (how a model is quantized) is refused; a mere wish that it cannot tell is reported as ignored.
Limits: the ids and names that are asked for are bounded in number.
"""

from collections.abc import Callable
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Final

import msgspec

from routing.request.invalid import Invalid
from routing.table.provider import ECHO, Provider
from routing.wire.members import Members
from usage.pricing import dollars_to
from usage.record import Rates

MODELS_MAX: Final = 8
NAMES_MAX: Final = 64
_FINEST: Final = Decimal("0.000001")
_decode = msgspec.json.Decoder().decode


class Preferences(msgspec.Struct):
    """`models` are tried in their order after `model`. `only` empty means all; `order` those to begin with.

    `price_max` are pico-dollars per token (`request`: per request) by the name of the rate that they bound.
    """

    models: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    allows_fallbacks: bool = True
    requires_parameters: bool = False
    sorts_by_price: bool = False
    sorts_by_speed: bool = False
    crosses_models: bool = False
    """Whether what stands behind the first of `models` may be asked before it, where it sorts so."""
    denies_collection: bool = False
    """Only who does not train on what it is sent."""
    demands_zdr: bool = False
    """Only who keeps nothing of what it is sent."""
    price_max: dict[str, int] = {}
    ignored: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[object, ...]:
        """What tells two of them apart that choose differently among the same targets."""
        flags = (self.allows_fallbacks, self.sorts_by_price, self.crosses_models, self.denies_collection, self.demands_zdr)
        return self.order, self.only, self.ignore, flags, bool(self.models), tuple(self.price_max.items())

    @property
    def chooses(self) -> bool:
        """Whether it says anything about providers."""
        return bool(
            self.order
            or self.only
            or self.ignore
            or self.sorts_by_price
            or self.sorts_by_speed
            or self.denies_collection
            or self.demands_zdr
            or self.price_max
            or not self.allows_fallbacks
        )

    @property
    def orders(self) -> bool:
        """Whether the order in which targets are asked is the caller's."""
        return bool(self.models or self.order or self.sorts_by_price or self.sorts_by_speed)

    def admits(self, asked: Provider, rates: Rates) -> bool:
        """Whether a provider at these prices may be asked at all."""
        provider = asked.name
        if (self.denies_collection and not keeps_from_training(asked)) or (self.demands_zdr and not keeps_nothing(asked)):
            return False
        if self.only and not _is_among(provider, self.only):
            return False
        if _is_among(provider, self.ignore):
            return False
        if not self.allows_fallbacks and self.order and not _is_among(provider, self.order):
            return False
        return all(_rate(rates, name) <= most for name, most in self.price_max.items())

    def rank(self, provider: str, rates: Rates, first_token_s: float = 0.0) -> tuple[int, float]:
        """What sorts providers: those named first come first."""
        named = next((at for at, name in enumerate(self.order) if _is_among(provider, (name,))), len(self.order))
        if self.sorts_by_speed:
            return named, first_token_s
        return named, rates.input + rates.output if self.sorts_by_price else 0


def keeps_from_training(provider: Provider) -> bool:
    """Whether the operator says so of it; echo sends nothing anywhere."""
    return provider.data.trains is False or provider.dialect == ECHO


def keeps_nothing(provider: Provider) -> bool:
    return provider.data.retains_days == 0 or provider.dialect == ECHO


def _rate(rates: Rates, name: str) -> int:
    value = getattr(rates, name)
    return int(rates.input if value is None else value)


def _is_among(provider: str, names: tuple[str, ...]) -> bool:
    """`deepinfra/turbo` names a variant of DeepInfra: this table has no variants, so it is DeepInfra."""
    folded = provider.lower()
    return any(name == folded or name.startswith(folded + "/") for name in names)


def read_preferences(members: Members) -> Preferences | None:
    """What is said, None when nothing is. Invalid."""
    wishes = Preferences()
    is_said = False
    for name, read in (("models", _models), ("provider", _provider), ("route", _route)):
        raw = members.get(name)
        if raw is not None and bytes(raw) != b"null":
            is_said = True
            try:
                value = _decode(raw)
            except (msgspec.DecodeError, RecursionError) as problem:
                raise Invalid(f"'{name}' cannot be read: {problem}", name) from None
            read(wishes, value)
    return wishes if is_said else None


def _models(wishes: Preferences, value: Any) -> None:
    wishes.models = _names("models", value, MODELS_MAX)


def _route(_: Preferences, value: Any) -> None:
    if value not in ("", "fallback"):
        raise Invalid("'route' must be 'fallback'", "route")


def _names(param: str, value: Any, most: int) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise Invalid(f"'{param}' must be a list of names", param)
    if len(value) > most:
        raise Invalid(f"'{param}' must not have more than {most} names", param)
    return tuple(value)


def _provider(wishes: Preferences, value: Any) -> None:
    if not isinstance(value, dict):
        raise Invalid("'provider' must be an object such as {'order': ['openai']}", "provider")
    for name, inner in value.items():
        read = _PREFERENCES.get(name)
        if read is None:
            known = ", ".join(_PREFERENCES)
            raise Invalid(
                f"'provider' has no member '{name[:64]}'; it has {known}", f"provider.{name[:64]}", "unsupported_parameter"
            )
        if inner is not None:
            read(wishes, f"provider.{name}", inner)


def _listed(field: str) -> Callable[[Preferences, str, Any], None]:
    def read(wishes: Preferences, param: str, value: Any) -> None:
        setattr(wishes, field, tuple(name.lower() for name in _names(param, value, NAMES_MAX)))

    return read


def _flag(field: str) -> Callable[[Preferences, str, Any], None]:
    def read(wishes: Preferences, param: str, value: Any) -> None:
        if not isinstance(value, bool):
            raise Invalid(f"'{param}' must be true or false", param)
        setattr(wishes, field, value)

    return read


def _sort(wishes: Preferences, param: str, value: Any) -> None:
    by, partition = value, None
    if isinstance(value, dict):
        if unknown := sorted(value.keys() - {"by", "partition"}):
            raise Invalid(f"'{param}' has no member '{unknown[0][:64]}'; it has by, partition", f"{param}.{unknown[0][:64]}")
        by, partition = value.get("by"), value.get("partition")
    if partition not in (None, "model", "none"):
        raise Invalid(f"'{param}.partition' must be 'model' or 'none'", f"{param}.partition")
    wishes.crosses_models = partition == "none"
    if by not in ("price", "throughput", "latency", "exacto"):
        raise Invalid(f"'{param}' must be 'price', 'throughput' or 'latency'", param)
    if by == "exacto":
        _wish(wishes, param, value)
    else:
        wishes.sorts_by_price, wishes.sorts_by_speed = by == "price", by != "price"


def _data_collection(wishes: Preferences, param: str, value: Any) -> None:
    if value not in ("allow", "deny"):
        raise Invalid(f"'{param}' must be 'allow' or 'deny'", param)
    wishes.denies_collection = value == "deny"


_PRICES: Final = {
    "prompt": "input",
    "completion": "output",
    "request": "request",
    "image": "image_prompt",
    "audio": "audio_prompt",
}


def _max_price(wishes: Preferences, param: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise Invalid(f"'{param}' must be an object such as {{'prompt': 1, 'completion': 2}}", param)
    for name, most in value.items():
        if name not in _PRICES:
            raise Invalid(f"'{param}' has no member '{name[:64]}'; it has {', '.join(_PRICES)}", f"{param}.{name[:64]}")
        if most is None:
            continue
        try:
            # Dollars per million tokens are millionths of a dollar per token; what is finer than we count is rounded down.
            text = most if isinstance(most, str) else format(Decimal(str(most)).quantize(_FINEST, ROUND_FLOOR), "f")
            pico = dollars_to(10**12 if name == "request" else 10**6, text)
        except (ValueError, ArithmeticError):
            raise Invalid(f"'{param}.{name}' must be a price in dollars such as 0.5", f"{param}.{name}") from None
        wishes.price_max = {**wishes.price_max, _PRICES[name]: pico}


def _wish(wishes: Preferences, param: str, _: Any) -> None:
    wishes.ignored += (param,)


def _unknowable(harmless: Any) -> Callable[[Preferences, str, Any], None]:
    """A demand that this table has no facts for."""

    def read(_: Preferences, param: str, value: Any) -> None:
        if value != harmless:
            message = (
                f"'{param}' cannot be promised: the routing table of this proxy does not say so of any provider; leave it out"
            )
            raise Invalid(message, param, "unsupported_parameter")

    return read


_PREFERENCES: Final[dict[str, Callable[[Preferences, str, Any], None]]] = {
    "order": _listed("order"),
    "only": _listed("only"),
    "ignore": _listed("ignore"),
    "allow_fallbacks": _flag("allows_fallbacks"),
    "require_parameters": _flag("requires_parameters"),
    "sort": _sort,
    "max_price": _max_price,
    "data_collection": _data_collection,
    "zdr": _flag("demands_zdr"),
    "enforce_distillable_text": _unknowable(False),
    "quantizations": _unknowable([]),
    "preferred_min_throughput": _wish,
    "preferred_max_latency": _wish,
}
