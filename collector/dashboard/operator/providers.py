"""The operator's view of providers: how they did in the last day, and what they say they bill us against what we charged.

Strategy: sums come from the read engine; what providers report stands in records only, so the newest `LOOKED_AT` are read.
"""

import msgspec
from starlette.responses import Response

from collector.analytics import engine
from collector.analytics.query import Query, Sums
from collector.dashboard.display.bill import pico_dollars
from collector.dashboard.display.spans import DAY_MS
from collector.dashboard.visit import Visit
from collector.store.contract import Tx
from usage.pricing import PICO_PER_NANO
from usage.record import UsageRecord

LOOKED_AT = 5_000
_decode = msgspec.json.Decoder(UsageRecord).decode


class Reported(msgspec.Struct):
    """Of the records in which a provider says its own price: how many, what it says, and what we charged for the same."""

    records: int = 0
    theirs_pico: int = 0
    ours_pico: int = 0
    bounded: int = 0

    @property
    def theirs(self) -> str:
        return f"${pico_dollars(self.theirs_pico)}"

    @property
    def ours(self) -> str:
        return f"${pico_dollars(self.ours_pico)}"

    @property
    def is_off(self) -> bool:
        """Whether they differ by more than a hundredth, so that the table's price is likely wrong."""
        return abs(self.theirs_pico - self.ours_pico) * 100 > max(self.theirs_pico, 1)


def reported_by(tx: Tx) -> dict[tuple[str, str], Reported]:
    """By provider and its model, over the newest records of all accounts."""
    found: dict[tuple[str, str], Reported] = {}
    for (payload,) in tx.rows("SELECT payload FROM records ORDER BY gen_id DESC LIMIT ?", LOOKED_AT):
        record = _decode(payload)
        if record.upstream_cost_pico is None and record.usage_source != "bounded":
            continue
        reported = found.setdefault((record.provider, record.upstream_model), Reported())
        reported.bounded += record.usage_source == "bounded"
        if record.upstream_cost_pico is not None:
            reported.records += 1
            reported.theirs_pico += record.upstream_cost_pico
            reported.ours_pico += record.cost_nano * PICO_PER_NANO
    return dict(sorted(found.items()))


async def show(visit: Visit) -> Response:
    now_ms = visit.now_ms

    def work(tx: Tx, now: int) -> tuple[list[tuple[str, Sums]], dict[tuple[str, str], Reported]]:
        table = engine.run(tx, Query(None, now_ms - DAY_MS, now_ms, by=("provider",)), now)
        return [(line.group[0], line.sums) for line in table.lines if line.group], reported_by(tx)

    rows, reported = await visit.read(work)
    return visit.render("operator/providers.html", {"rows": rows, "reported": reported, "looked_at": LOOKED_AT})
