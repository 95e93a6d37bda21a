"""How a request must be changed for one target, so that the target takes it and can be billed for it; or why it cannot be.

Rule: what costs more is priced by the target's entry or refused with `unpriced_option`; what is kept at the provider is refused
unless the entry says that the provider's keys are one tenant's (`allow_state`).
Rule: a parameter that the target does not take is mapped to its counterpart, else left out and reported (an offer), else refused
(a demand). A request that asks for nothing of this kind, to a target that takes all its members, is sent as it came.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from routing.plan.plan import Attempt
from routing.plan.refusal import Refusal
from routing.request.envelope import Envelope
from routing.request.options import Options
from routing.request.parameters import KNOWN, OFFERS, OURS, is_neutral
from routing.table.provider import Model, Provider
from usage.record import Rates

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_EFFORT_SHARE: Final = ((0.2, "low"), (0.5, "medium"))
"""Up to which part of the output cap a budget to think counts as which effort; OpenRouter's own shares. Above: high."""


class Fit(msgspec.Struct, frozen=True):
    """Members to leave out and to set; `ignored` are the caller's members that were declined."""

    drops: tuple[str, ...] = ()
    sets: dict[str, Raw] = {}
    ignored: tuple[str, ...] = ()


AS_SENT: Final = Fit()
NO_FITS: Final[Mapping[str, Fit]] = {}


def fit(envelope: Envelope, provider: Provider, model: Model) -> Fit | Refusal:
    """What to change of a request for this target; Refusal when nothing would do."""
    options = envelope.options
    if options is not None:
        refused = _unpriced(options, provider, model) or _kept(options, provider)
        if refused is not None:
            return refused
    return _fitted(envelope, provider, model)


def is_billable(envelope: Envelope, provider: Provider, model: Model) -> Fit | Refusal:
    """`fit` for a request that is none of Chat's, or of which a translator makes another one: all of it must have a price."""
    options = envelope.options
    if options is None:
        return AS_SENT
    if envelope.search_tools and not envelope.requires_parameters and not model.has_search_price:
        options = msgspec.structs.replace(options, search=None)
    return _unpriced(options, provider, model) or _kept(options, provider) or AS_SENT


def fit_attempts(envelope: Envelope, attempts: Sequence[Attempt]) -> "tuple[Sequence[Attempt], Mapping[str, Fit]] | Refusal":
    """The attempts that can serve it, and what to change for which model (by id); the first refusal when none can."""
    if envelope.options is None and envelope.preferences is None:
        names = envelope.members.keys()
        if all(names <= attempt.model.takes for attempt in attempts):
            return attempts, NO_FITS
    fits: dict[str, Fit | Refusal] = {}
    for attempt in attempts:
        if attempt.model.id not in fits:
            fits[attempt.model.id] = fit(envelope, attempt.provider, attempt.model)
    good = {name: each for name, each in fits.items() if isinstance(each, Fit)}
    if not good:
        return next(each for each in fits.values() if isinstance(each, Refusal))
    return [attempt for attempt in attempts if attempt.model.id in good], good


def _unpriced(options: Options, provider: Provider, model: Model) -> Refusal | None:
    rates = model.rates
    entry = f'[providers.{provider.name}.models."{model.id.removeprefix(provider.name + "/")}"]'
    if options.tier and options.tier not in model.tariff.tiers:
        what = f"the {options.tier_param} {options.tier[:64]!r}"
        return _no_price(model, options.tier_param, what, f"tiers.{_toml_name(options.tier)} = {{ … }} in {entry}")
    if options.search is not None and not model.has_search_price:
        return _no_price(model, options.search, "searching the web", f"search in {entry}")
    if options.audio_output is not None and rates.audio_completion is None:
        return _no_price(model, options.audio_output, "an answer in sound", f"audio_output in {entry}")
    if options.image_output is not None and rates.image_completion is None:
        return _no_price(model, options.image_output, "an answer in pictures", f"image_output in {entry}")
    for life in options.cache_lives:
        if life not in _SHORT_LIVES and _long_write(rates, life) is None:
            name = f"cache_write_{life}" if life in _LONG_LIVES else "cache_write_1h"
            return _no_price(model, "cache_control", f"a cache that lives {life[:16]!r}", f"{name} in {entry}")
    return None


_SHORT_LIVES: Final = frozenset(("5m", "30m", "in_memory"))
"""Written at the price of `cache_write`."""
_LONG_LIVES: Final = ("1h", "12h")


def _long_write(rates: Rates, life: str) -> int | None:
    return rates.cache_write_1h if life == "1h" else rates.cache_write_12h if life == "12h" else None


def _toml_name(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else "NAME"


def _no_price(model: Model, param: str, what: str, mend: str) -> Refusal:
    message = (
        f"{what} has no price here for {model.id}, and what has no price is not forwarded: leave it out"
        f" (the operator can allow it by setting {mend})"
    )
    return Refusal(400, "unpriced_option", message, param=param)


def _kept(options: Options, provider: Provider) -> Refusal | None:
    if options.state is None or provider.allow_state:
        return None
    message = (
        f"'{options.state}' refers to what is kept at {provider.name}, where all callers of this proxy share one account: send"
        f" the content itself (an operator whose key is one tenant's can set allow_state = true in [providers.{provider.name}])"
    )
    return Refusal(400, "stored_state", message, param=options.state)


def _fitted(envelope: Envelope, provider: Provider, model: Model) -> Fit | Refusal:
    members = envelope.members
    drops: list[str] = []
    ignored: list[str] = list(envelope.options.ignored) if envelope.options is not None else []
    if envelope.preferences is not None:
        ignored += envelope.preferences.ignored
    sets: dict[str, Raw] = {}
    for name in members.keys() - model.takes:
        if name not in KNOWN and name != "plugins":
            continue
        drops.append(name)
        raw = bytes(members[name])
        if name in OURS or name == "plugins" or is_neutral(name, raw):
            continue
        counterpart = _COUNTERPARTS.get(name)
        mapped = _mapped(counterpart, raw, envelope, model) if counterpart is not None else None
        if mapped is not None:
            sets.update({key: value for key, value in mapped.items() if key not in members})
            lost = _lost(name, raw)
            if lost and envelope.requires_parameters:
                return _not_taken(lost[0], provider, model)
            ignored += lost
        elif name in OFFERS and not envelope.requires_parameters:
            ignored.append(name)
        else:
            return _not_taken(name, provider, model)
    if envelope.options is not None and envelope.options.cache_lives and "cache_control" not in model.takes:
        for name in ("messages", "tools"):
            if name in members and b'"cache_control"' in bytes(members[name]):
                sets[name] = without(members[name], "cache_control")
                ignored.append(f"{name}[].cache_control")
    if not drops and not ignored and not sets:
        return AS_SENT
    return Fit(tuple(drops), sets, tuple(sorted(ignored)))


def _lost(name: str, raw: bytes) -> list[str]:
    """What of OpenRouter's `reasoning` has no counterpart beside the effort that it became."""
    if name != "reasoning":
        return []
    value = _decode(raw)
    says = {"effort": value.get("effort") is not None, "max_tokens": value.get("effort") is None}
    says |= {"enabled": True, "exclude": value.get("exclude") is not True, "summary": value.get("summary") in (None, "auto")}
    return [f"reasoning.{each[:64]}" for each in value if not says.get(each, False) and value[each] is not None]


def _mapped(counterpart: "Counterpart", raw: bytes, envelope: Envelope, model: Model) -> "Mapped":
    try:
        return counterpart(raw, envelope, model)
    except (msgspec.DecodeError, RecursionError):
        return None


def _not_taken(name: str, provider: Provider, model: Model) -> Refusal:
    message = (
        f"{provider.name} does not take '{name}' for {model.id}: leave it out, or call a model that does (GET /models tells)"
    )
    return Refusal(400, "unsupported_parameter", message, param=name)


def without(raw: Raw, name: str) -> Raw:
    """JSON without any member of that name, however deep."""
    value = _decode(raw)
    level = [value]
    while level:
        for node in level:
            if isinstance(node, dict):
                node.pop(name, None)
        level = [
            each
            for node in level
            for each in (node.values() if isinstance(node, dict) else node)
            if isinstance(each, dict | list)
        ]
    return _raw(value)


Mapped = dict[str, Raw] | None
Counterpart = Callable[[bytes, Envelope, Model], Mapped]


def _raw(value: Any) -> Raw:
    return Raw(_encode(value))


def _effort(value: str, model: Model) -> Mapped:
    return {"reasoning_effort": _raw(value)} if value in _EFFORTS and "reasoning_effort" in model.takes else None


def _from_reasoning(raw: bytes, envelope: Envelope, model: Model) -> Mapped:
    """OpenRouter's `reasoning`: {effort, max_tokens, exclude, enabled}."""
    value = _decode(raw)
    if not isinstance(value, dict):
        return None
    effort, budget = value.get("effort"), value.get("max_tokens")
    if isinstance(effort, str):
        return _effort(effort, model)
    if value.get("enabled") is False:
        return _effort("none", model)
    if isinstance(budget, int) and not isinstance(budget, bool) and budget > 0:
        share = budget / (envelope.max_tokens or model.max_output_tokens or 16_384)
        return _effort(next((name for bound, name in _EFFORT_SHARE if share <= bound), "high"), model)
    if value.get("enabled") is True:
        return _effort("medium", model)
    # Nothing but what the answer shows: what a provider shows of its thoughts is passed as it comes.
    return {} if not value.keys() - {"exclude", "summary"} and value.get("exclude") is not True else None


def _from_include_reasoning(raw: bytes, _: Envelope, __: Model) -> Mapped:
    return {} if raw == b"true" else None


def _from_think(raw: bytes, _: Envelope, model: Model) -> Mapped:
    """Ollama's: true, false or an effort."""
    value = _decode(raw)
    if isinstance(value, bool):
        return _effort("medium" if value else "none", model)
    return _effort(value, model) if isinstance(value, str) else None


def _from_format(raw: bytes, _: Envelope, model: Model) -> Mapped:
    """Ollama's: "json", or the schema of the answer."""
    if "response_format" not in model.takes:
        return None
    value = _decode(raw)
    if value == "json":
        return {"response_format": Raw(b'{"type":"json_object"}')}
    if isinstance(value, dict):
        return {"response_format": Raw(b'{"type":"json_schema","json_schema":{"name":"format","schema":%b}}' % raw)}
    return None


def _from_seed(raw: bytes, _: Envelope, model: Model) -> Mapped:
    """Mistral's name of it."""
    return {"random_seed": Raw(raw)} if "random_seed" in model.takes else None


_COUNTERPARTS: Final[dict[str, Counterpart]] = {
    "seed": _from_seed,
    "reasoning": _from_reasoning,
    "include_reasoning": _from_include_reasoning,
    "think": _from_think,
    "format": _from_format,
}
