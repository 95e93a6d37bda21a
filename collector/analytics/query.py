"""A question to the history, and the table that answers it; as values.

Rule: times are Unix milliseconds and ranges half-open. A range that does not lie on quarters of an hour is widened to them, and
the answer says which it is. Amounts are nano-dollars, exact.
"""

import msgspec

from collector.store.contract import MEASURES

DIMENSIONS = {"account": "account", "key": "key_id", "model": "model", "provider": "provider"}
"""What can be grouped and filtered by, and the column it is."""


class QueryProblem(ValueError):
    """The question cannot be answered; `param` names what is wrong with it."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


class Query(msgspec.Struct, frozen=True):
    """`account` None asks for all of them. `every` is one of calendar.PERIODS, or "" for one row per group.

    `top` keeps the groups that are largest in `rank_by` over the whole range, and adds the rest up as one more; 0 keeps all.
    """

    account: str | None
    start_ms: int
    end_ms: int
    tz: str = "UTC"
    every: str = ""
    by: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    top: int = 0
    rank_by: str = "cost_nano"

    @property
    def filters(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """(column, the values it may have) of those that are set."""
        named = (("account", self.accounts), ("key_id", self.keys), ("model", self.models), ("provider", self.providers))
        return tuple((column, values) for column, values in named if values)


class Sums(msgspec.Struct, frozen=True, gc=False):
    """The measures of a row, in the order of MEASURES. Averages are a matter of whoever shows them."""

    requests: int = 0
    errors: int = 0
    prompt: int = 0
    cached: int = 0
    cache_write: int = 0
    completion: int = 0
    reasoning: int = 0
    cost_nano: int = 0
    latency_ms: int = 0
    ttft_ms: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt + self.completion


assert Sums.__struct_fields__ == MEASURES


class QueryRow(msgspec.Struct, frozen=True):
    """The sums of one period and group. `group` has a value for each of `Query.by`; None is all that are not in the top."""

    start_ms: int
    end_ms: int
    group: tuple[str, ...] | None
    sums: Sums


class Result(msgspec.Struct, frozen=True):
    """The answer: lines by period, then by group as it ranks; and their total, which is what they add up to.

    `complete_through_ms`: whatever ended before then, on any node that lives, is in here; None when a node makes no such promise.
    `periods`: (start, end) of every period of the range, also of those in which nothing was used.
    """

    lines: tuple[QueryRow, ...]
    total: Sums
    start_ms: int
    end_ms: int
    periods: tuple[tuple[int, int], ...]
    as_of_ms: int
    complete_through_ms: int | None
    has_other: bool = False
