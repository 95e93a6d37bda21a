"""What an answer cost, told in the usage object of its own format."""

from typing import Final

import msgspec
from msgspec import Raw

from routing.metering.meter import Meter
from routing.wire.members import REFUSED, Members, replace
from routing.wire.repair import readable
from usage.pricing import dollars

_encode: Final = msgspec.json.encode


def usage_with_cost(usage: Raw | None, meter: Meter, counts: dict[str, int]) -> Raw:
    """A provider's usage object with `cost` in dollars; `counts` are what is charged, told where that is not the provider's."""
    bill = meter.bill()
    try:
        members = {} if usage is None else readable(bytes(usage))[1]
    except REFUSED:
        members = {}
    values: Members = {"cost": Raw(dollars(bill.cost_nano).encode())}
    if bill.source != "provider" or not members:
        values |= {name: Raw(b"%d" % number) for name, number in counts.items()}
    if bill.source != "provider":
        values["usage_source"] = Raw(_encode(bill.source))
    return Raw(replace(bytes(usage), members, values)) if members and usage is not None else Raw(_encode(values))
