"""`tollway prices update`: the table's prices beside those of genai-prices, the difference first; with --write they are taken
over.

Rule: nothing is written that was not shown; prices of what the list does not know, and prices for service tiers, stay as they
are.
Rule: only input, cached_input, cache_write, output, and the same above a threshold. Strategy: tomlkit, so comments and order
stay. Source: genai-prices (Pydantic), as it is installed; `pip install -U genai-prices` first.
"""

import datetime
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from edge.settings import SettingError
from routing.table.config import Config, parse
from routing.table.provider import ECHO

NAMES = {"xai": "x-ai", "moonshot": "moonshotai", "voyage": "voyageai", "gemini": "google", "bedrock": "aws"}
"""Providers that the list calls otherwise."""
FIELDS = {"input": "input_mtok", "cached_input": "cache_read_mtok", "cache_write": "cache_write_mtok", "output": "output_mtok"}


class Change(msgspec.Struct, frozen=True):
    """One price that differs. `threshold` is the number of prompt tokens above which it holds, 0 for the plain one."""

    provider: str
    model: str
    field: str
    threshold: int
    old: str
    new: str

    def __str__(self) -> str:
        above = f" above {self.threshold}" if self.threshold else ""
        return f"{self.provider}/{self.model}: {self.field}{above} {self.old or 'none'} -> {self.new}"


def update(path: Path, text: str, *, writes: bool, today: datetime.date | None = None) -> int:
    """Show what differs, and with `writes` take it over. The exit status: 1 when something differs and was not written."""
    changes = list(changes_of(text, today or datetime.date.today()))
    for change in changes:
        sys.stdout.write(f"{change}\n")
    if not changes:
        sys.stdout.write("no price differs from genai-prices\n")
        return 0
    if not writes:
        sys.stdout.write(f"{len(changes)} prices differ; --write takes them over\n")
        return 1
    made = written(text, changes)
    parse(made)
    path.write_text(made, encoding="utf-8")
    sys.stdout.write(f"{len(changes)} prices are written to {path}; a table that is in force is reloaded by itself\n")
    return 0


def changes_of(text: str, today: datetime.date) -> Iterator[Change]:
    """Every price of the table that the list has otherwise. ConfigError; SettingError: the list is not installed."""
    document = _document(text)
    config: Config = parse(text)
    for provider in config.providers.values():
        if provider.name == ECHO:
            continue
        for name, model in provider.models.items():
            listed = _listed(provider.name, model.name, today)
            entry = document["providers"].get(provider.name, {}).get("models", {}).get(name)
            if listed is not None and isinstance(entry, Mapping):
                yield from _of_entry(provider.name, name, entry, listed)


def _of_entry(provider: str, model: str, entry: Mapping[str, Any], listed: Any) -> Iterator[Change]:
    for field, theirs in FIELDS.items():
        price = getattr(listed, theirs, None)
        if price is None or (field not in entry and field == "cache_write"):
            continue
        base = getattr(price, "base", price)
        if _differs(entry.get(field), base):
            yield Change(provider, model, field, 0, str(entry.get(field, "")), _spelled(base))
        for step in getattr(price, "tiers", ()):
            above = next((entry[name] for name in entry if _threshold(name) == step.start), None)
            if above is not None and _differs(above.get(field), step.price):
                yield Change(provider, model, field, step.start, str(above.get(field, "")), _spelled(step.price))


def written(text: str, changes: list[Change]) -> str:
    """The text with these prices."""
    document = _document(text)
    for change in changes:
        entry = document["providers"][change.provider]["models"][change.model]
        if change.threshold:
            entry = next(entry[name] for name in entry if _threshold(name) == change.threshold)
        entry[change.field] = change.new
    import tomlkit

    return tomlkit.dumps(document)


def _document(text: str) -> Any:
    try:
        import tomlkit
    except ModuleNotFoundError:
        raise SettingError("`tollway prices` needs tomlkit and genai-prices: pip install 'tollway[tools]'") from None
    return tomlkit.parse(text)


def _listed(provider: str, model: str, today: datetime.date) -> Any:
    """The prices of a model that the list has in force on that day; None when it does not know it."""
    try:
        from genai_prices import data
    except ModuleNotFoundError:
        raise SettingError("`tollway prices` needs tomlkit and genai-prices: pip install 'tollway[tools]'") from None
    known = next((each for each in data.providers if each.id == NAMES.get(provider, provider)), None)
    found = None if known is None else next((each for each in known.models if each.is_match(model)), None)
    if found is None or not isinstance(found.prices, list):
        return None if found is None else found.prices
    current = None
    for each in found.prices:
        if type(each.constraint).__name__ == "TimeOfDateConstraint":
            return None  # a price that goes by the hour is nothing that an entry could say
        starts = getattr(each.constraint, "start_date", None)
        if each.constraint is None or (starts is not None and starts <= today):
            current = each.prices
    return current


def _threshold(name: str) -> int:
    digits = name.removeprefix("above_")
    if digits == name:
        return 0
    return int(digits[:-1]) * 1000 if digits.endswith("k") and digits[:-1].isdigit() else int(digits) if digits.isdigit() else 0


def _differs(ours: Any, theirs: Decimal) -> bool:
    return ours is None or Decimal(str(ours)) != theirs


def _spelled(price: Decimal) -> str:
    return format(price.normalize(), "f")
