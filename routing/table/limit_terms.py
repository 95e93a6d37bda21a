"""Limits in the routing table: `[rate_limits.key]`, `[rate_limits.account]` and `rate_limits` of a provider."""

from typing import Final

from routing.table import field
from routing.table.field import TomlTable
from usage.limit import NAMES, LimitTerms

LIMIT_FIELDS: Final = (*NAMES.values(), "hard", "shadow", "count")


def read_rate_limits(table: TomlTable) -> LimitTerms:
    """What each field means to the operator stands at the top of providers.toml."""
    requests, tokens, concurrent = (table.take(name, field.whole(), None) for name in NAMES.values())
    terms = LimitTerms(
        requests,
        tokens,
        concurrent,
        hard=table.take("hard", field.flag, False),
        shadow=table.take("shadow", field.flag, False),
        count=table.take("count", field.one_of("expected", "worst"), "expected"),
    )
    table.close()
    return terms
