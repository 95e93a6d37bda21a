"""What makes a usage record one that the centre will never take.

Rule: the cost recomputes from tokens and rates on this side too; a record that does not add up is refused, not corrected.
Rule: a fault of one record is no fault of its neighbours. Limits: amounts and counts are bounded, so that sums stay below 2**63.
"""

from functools import lru_cache
from operator import attrgetter

from msgspec.structs import astuple

from usage.pricing import cost_nano
from usage.record import Rates, Tokens, UsageRecord

COST_NANO_MAX = 10**15
"""A million dollars for one generation."""
COUNT_MAX = 2**40
TIME_MS_MAX = 253_402_300_799_999
"""The end of the year 9999."""
TEXT_CHARS_MAX = 1_000

_COUNTS = Tokens.__struct_fields__
_TEXTS = ("gen_id", "account", "key_id", "purse", "model", "provider", "upstream_model")
_texts_of = attrgetter(*_TEXTS)


def find_fault(record: UsageRecord, node: str, epoch: int, owners: dict[str, str]) -> str:
    """Why the record is refused, or "". `owners`: account by key id, of the keys that exist."""
    if (record.node, record.epoch) != (node, epoch):
        return f"the record is of ({record.node}, {record.epoch}), the batch of ({node}, {epoch})"
    if not 0 < record.seq < 2**62:
        return "seq must be positive"
    if not record.gen_id:
        return "gen_id is empty"
    texts: tuple[str, ...] = _texts_of(record)
    if "\0" in "".join(texts) or max(map(len, texts)) > TEXT_CHARS_MAX:
        name = next(name for name, text in zip(_TEXTS, texts, strict=True) if "\0" in text or len(text) > TEXT_CHARS_MAX)
        return f"{name} is longer than {TEXT_CHARS_MAX} characters or has a NUL in it"
    return _fault_of_owner(record, owners) or _fault_of_numbers(record)


def _fault_of_owner(record: UsageRecord, owners: dict[str, str]) -> str:
    account = owners.get(record.key_id)
    if account is None:
        return f"there is no key {record.key_id}"
    if record.account != account:
        return f"key {record.key_id} is not a key of account {record.account}"
    if record.purse != account and record.purse != f"{account}/{record.key_id}":
        return f"purse {record.purse} is not of account {account} and key {record.key_id}"
    return ""


def _fault_of_numbers(record: UsageRecord) -> str:
    tokens, rates = record.tokens, record.rates
    counts: tuple[int, ...] = astuple(tokens)
    if min(counts) < 0 or max(counts) > COUNT_MAX:
        name = next(name for name, count in zip(_COUNTS, counts, strict=True) if not 0 <= count <= COUNT_MAX)
        return f"tokens.{name} is negative or too large"
    if wrong := _fault_of_rates(rates):
        return wrong
    if not 0 <= record.cost_nano <= COST_NANO_MAX:
        return "cost_nano is negative or too large"
    if not 0 <= record.started_ms <= TIME_MS_MAX:
        return "started_ms is no time"
    cost = cost_nano(tokens, rates)
    if cost != record.cost_nano:
        return f"cost_nano is {record.cost_nano}, tokens and rates make {cost}"
    return ""


@lru_cache(1_024)
def _fault_of_rates(rates: Rates) -> str:
    """Remembered, because all records of a model have the same ones."""
    for name in rates.__struct_fields__:
        rate = getattr(rates, name)
        if isinstance(rate, int) and rate < 0:
            return f"rates.{name} is negative"
    return ""
