"""The routing table in words, for the operator: what it offers, and what becomes of one model id.

Rule: pure text out of the same decisions that requests take; nothing here decides anything. Names of keys are told, never keys.
"""

from routing.plan.plan import Plan, Routes, is_offered
from routing.plan.unplanned import missing_keys
from routing.table.config import Config
from routing.table.provider import Provider
from routing.table.tariff import Tariff
from usage.pricing import PICO_PER_DOLLAR, PICO_PER_NANO, TOKENS_PER_PRICE, dollars
from usage.record import Rates

_PRICE_NAMES = (
    ("cached", "cached input"),
    ("cache_write", "cache write"),
    ("cache_write_1h", "cache write for an hour"),
    ("cache_write_12h", "cache write for twelve hours"),
    ("audio_prompt", "audio input"),
    ("image_prompt", "image input"),
    ("reasoning", "reasoning"),
    ("audio_completion", "audio output"),
    ("image_completion", "image output"),
)
_PIECE_NAMES = (
    ("request", "request"),
    ("search", "web search"),
    ("second", "second of sound"),
    ("character", "character"),
    ("image", "image"),
)


def prices(rates: Rates) -> str:
    """`$0.15 input, $0.6 output per million tokens`, and whatever else has a price."""
    parts = [f"{_per_million(rates.input)} input", f"{_per_million(rates.output)} output"]
    parts += [f"{_per_million(rate)} {name}" for field, name in _PRICE_NAMES if (rate := getattr(rates, field)) is not None]
    pieces = [f", ${_decimal(rate)} per {one}" for field, one in _PIECE_NAMES if (rate := getattr(rates, field))]
    return f"{', '.join(parts)} per million tokens{''.join(pieces)}"


def _per_million(pico: int) -> str:
    return f"${_decimal(pico * TOKENS_PER_PRICE)}"


def _decimal(pico: int) -> str:
    """Pico-dollars as exact dollars."""
    nano, rest = divmod(pico, PICO_PER_NANO)
    if not rest:
        return dollars(nano)
    return f"{pico // PICO_PER_DOLLAR}.{pico % PICO_PER_DOLLAR:012d}".rstrip("0")


def describe(config: Config, offered: frozenset[str]) -> list[str]:
    """The table in lines, one per provider and alias: offered or why not, where, how many models."""
    lines = [f"table {config.version}: {len(config.providers)} providers, {len(config.aliases)} aliases"]
    for provider in config.providers.values():
        state = "offered    " if is_offered(provider, offered) else "not offered"
        models = f"{len(provider.models)} models" + (" and any other" if provider.unlisted else "")
        why = "" if is_offered(provider, offered) else f", because {missing_keys(provider)}"
        lines.append(f"  {state}  {provider.name}: {_place(provider)}, {models}{why}")
    lines += [f"  alias        {name} -> {', '.join(targets)}" for name, targets in config.aliases.items()]
    return lines


def explain(config: Config, offered: frozenset[str], model_id: str) -> list[str]:
    """What happens to a request for `model_id` when all providers are well."""
    plan = Routes(config, offered).plan(model_id, (), {}, 0.0, 0.0)
    if not isinstance(plan, Plan):
        return [f"{model_id}: refused with {plan.status} {plan.code}", f"  {plan.message}"]
    lines = [f"{model_id}: up to {len(plan.attempts)} attempts, the next only if the one before cost nothing"]
    if model_id in config.aliases:
        lines.append(f"  an alias of {', '.join(config.aliases[model_id])}")
    for number, attempt in enumerate(plan.attempts, 1):
        key = f"with the key {attempt.key_ref}" if attempt.key_ref else "without a key"
        lines.append(f"  {number}. {attempt.model.name} at {attempt.provider.name}, {_place(attempt.provider)}, {key}")
        lines.append(f"     {prices(attempt.rates)}{'' if attempt.model.is_listed else ' (not listed: the price for any other)'}")
        lines += [f"     {line}" for line in _further_prices(attempt.model.tariff)]
        lines.append(f"     {_bounds(attempt.provider, attempt.model.context_tokens, attempt.model.max_output_tokens)}")
    return lines


def _further_prices(tariff: Tariff) -> list[str]:
    """What a long prompt and each service tier cost."""
    lines = [f"above {step.tokens} prompt tokens: {prices(step.rates)}" for step in reversed(tariff.above)]
    for name, tier in tariff.tiers.items():
        lines.append(f"service tier {name}: {prices(tier.rates)}")
        lines += [f"service tier {name}, {line}" for line in _further_prices(tier)]
    return lines


def _place(provider: Provider) -> str:
    return "built in" if provider.dialect == "echo" else provider.base_url.text


def _bounds(provider: Provider, context_tokens: int | None, max_output_tokens: int | None) -> str:
    tokens = (
        f"context {context_tokens or 'unknown'}, output at most {max_output_tokens or 'unknown'} tokens; "
        f"first byte within {provider.first_byte_timeout_s:g} s, silence at most {provider.idle_timeout_s:g} s, "
        f"in all {provider.total_timeout_s:g} s"
    )
    return f"{tokens}; when the caller leaves: {provider.on_disconnect}"
