"""What makes a usage record one that the collector will never take.

Rule: the cost recomputes from tokens and rates on this side too; a record that does not add up is refused, not corrected.
Rule: a fault of one record is no fault of its neighbours. A text on which no money hangs is no fault: a long one is cut when the
record is kept (`usage.record.fitted`). Limits: amounts and counts are bounded, so that sums stay below 2**63.
Strategy: a batch is judged by its columns first; record by record only where that does not tell that all are sound.
"""

from collections.abc import Sequence
from operator import attrgetter

from msgspec.structs import astuple

from usage.gen_id import first_of, is_shaped, time_ms_of
from usage.pricing import cost_nano, is_cost
from usage.record import COST_NANO_MAX, COUNT_MAX, TEXT_CHARS_MAX, UPSTREAM_COST_PICO_MAX, Tokens, UsageRecord

TIME_MS_MAX = 253_402_300_799_999
"""The end of the year 9999."""
HOUR_MS = 3_600_000
GEN_ID_SLACK_MS = 86_400_000
"""How far the time in a generation's id and `started_ms` may lie apart: a request can wait, and a clock can be set."""

_COUNTS = Tokens.__struct_fields__
_TEXTS = ("account", "key_id", "purse", "model", "provider", "upstream_model", "route")
SEQ_END = 2**62
_kind_of = attrgetter(*_TEXTS, "rates")
_home_of = attrgetter("node", "epoch")
_columns_of = attrgetter("gen_id", "seq", "started_ms", "cost_nano", "hold_nano", "tokens", "rates", "upstream_cost_pico")


class Screen:
    """Looks at the records of one batch; what many have in common is judged once.

    `owners`: account by key id, of the keys that exist. Ids drawn before `from_ms` (what retention has dropped) or at `to_ms` and
    later have no place in the store.
    """

    def __init__(self, node: str, epoch: int, owners: dict[str, str], from_ms: int = 0, to_ms: int = TIME_MS_MAX + 1) -> None:
        self._from_ms, self._to_ms = from_ms, to_ms
        self._bounds: dict[int, tuple[str, str]] = {}
        self._node = node
        self._epoch = epoch
        self._owners = owners
        self._kinds: dict[object, str] = {}

    def faults_of(self, records: Sequence[UsageRecord]) -> dict[int, str]:
        """Which of them are refused, by their places, and why."""
        if self.are_sound(records):
            return {}
        return {at: fault for at, record in enumerate(records) if (fault := self.fault_of(record))}

    def are_sound(self, records: Sequence[UsageRecord]) -> bool:
        """Whether `fault_of` finds nothing in any of them, as far as that can be told of all at once: where they are of the same
        days it can."""
        if not records:
            return True
        ids, seqs, starts, costs, holds, tokens, rates, upstream = zip(*map(_columns_of, records), strict=True)
        counts, amounts, upstream = list(map(astuple, tokens)), costs + holds, tuple(filter(None, upstream))
        low, high = self._bounds_of(max(starts) // HOUR_MS)[0], self._bounds_of(min(starts) // HOUR_MS)[1]
        return (
            set(map(_home_of, records)) == {(self._node, self._epoch)}
            and 0 < min(seqs) <= max(seqs) < SEQ_END
            and low <= min(ids) <= max(ids) < high
            and all(map(is_shaped, ids))
            and 0 <= min(map(min, counts)) <= max(map(max, counts)) <= COUNT_MAX
            and 0 <= min(amounts) <= max(amounts) <= COST_NANO_MAX
            and 0 <= min(starts) <= max(starts) <= TIME_MS_MAX
            and 0 <= min(upstream, default=0) <= max(upstream, default=0) <= UPSTREAM_COST_PICO_MAX
            and not any(map(self._fault_of_kind, dict(zip(map(_kind_of, records), records, strict=True)).values()))
            and tuple(map(cost_nano, tokens, rates)) == costs
        )

    def fault_of(self, record: UsageRecord) -> str:
        """Why the record is refused, or ""."""
        if record.node != self._node or record.epoch != self._epoch:
            return f"the record is of ({record.node}, {record.epoch}), the batch of ({self._node}, {self._epoch})"
        if not 0 < record.seq < SEQ_END:
            return "seq must be positive"
        gen_id, bounds = record.gen_id, self._bounds.get(record.started_ms // HOUR_MS)
        if bounds is None or not bounds[0] <= gen_id < bounds[1] or not is_shaped(gen_id):
            fault = self.fault_of_id(record)
            if fault:
                return fault
        kind = _kind_of(record)
        known = self._kinds.get(kind)
        if known is None:
            known = self._kinds[kind] = self._fault_of_kind(record)
        return known or _fault_of_numbers(record)

    def _fault_of_kind(self, record: UsageRecord) -> str:
        return _fault_of_texts(record) or _fault_of_owner(record, self._owners) or _fault_of_rates(record)

    def fault_of_id(self, record: UsageRecord) -> str:
        """Whether the id has a place in the store: of our form, of the record's time, of a time that is kept."""
        hour = record.started_ms // HOUR_MS
        bounds = self._bounds.get(hour) or self._bounds_of(hour)
        if bounds[0] <= record.gen_id < bounds[1] and is_shaped(record.gen_id):
            return ""
        drawn_ms = time_ms_of(record.gen_id)
        if drawn_ms is None:
            return "gen_id is not `gen-` and 26 characters of Crockford's base 32"
        if not -GEN_ID_SLACK_MS <= drawn_ms - record.started_ms <= GEN_ID_SLACK_MS:
            return "gen_id was drawn more than a day from started_ms"
        if not self._from_ms <= drawn_ms < self._to_ms:
            return "gen_id was drawn at a time that this store keeps no records of"
        return ""

    def _bounds_of(self, hour: int) -> tuple[str, str]:
        """Ids between these are right for every record that started in this hour; those outside are looked at closely."""
        low_ms = max((hour + 1) * HOUR_MS - GEN_ID_SLACK_MS, self._from_ms)
        high_ms = min(hour * HOUR_MS + GEN_ID_SLACK_MS, self._to_ms)
        bounds = self._bounds[hour] = (first_of(low_ms), first_of(high_ms))
        return bounds


def _fault_of_texts(record: UsageRecord) -> str:
    for name in _TEXTS:
        text = getattr(record, name)
        if len(text) > TEXT_CHARS_MAX or "\0" in text:
            return _too_long(name)
    return ""


def _too_long(name: str) -> str:
    return f"{name} is longer than {TEXT_CHARS_MAX} characters or has a NUL in it"


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
    tokens, cost, hold, started = record.tokens, record.cost_nano, record.hold_nano, record.started_ms
    upstream = record.upstream_cost_pico or 0
    counts: tuple[int, ...] = astuple(tokens)
    # The bitwise union of numbers is negative if one of them is.
    if (min(counts) | cost | hold | started | upstream) < 0 or max(counts) > COUNT_MAX or max(cost, hold) > COST_NANO_MAX:
        return _out_of_bounds(record, counts)
    if started > TIME_MS_MAX or upstream > UPSTREAM_COST_PICO_MAX:
        return _out_of_bounds(record, counts)
    if cost != cost_nano(tokens, record.rates) and not is_cost(cost, tokens, record.rates):
        return f"cost_nano is {cost}, tokens and rates make {cost_nano(tokens, record.rates)}"
    return ""


def _out_of_bounds(record: UsageRecord, counts: tuple[int, ...]) -> str:
    if min(counts) < 0 or max(counts) > COUNT_MAX:
        name = next(name for name, count in zip(_COUNTS, counts, strict=True) if not 0 <= count <= COUNT_MAX)
        return f"tokens.{name} is negative or too large"
    if not 0 <= record.cost_nano <= COST_NANO_MAX:
        return "cost_nano is negative or too large"
    if not 0 <= record.hold_nano <= COST_NANO_MAX:
        return "hold_nano is negative or too large"
    if not 0 <= (record.upstream_cost_pico or 0) <= UPSTREAM_COST_PICO_MAX:
        return "upstream_cost_pico is negative or too large"
    return "started_ms is no time"


def _fault_of_rates(record: UsageRecord) -> str:
    for name in record.rates.__struct_fields__:
        rate = getattr(record.rates, name)
        if isinstance(rate, int) and rate < 0:
            return f"rates.{name} is negative"
    return ""
