"""Which connections are let in: a bound for all, a share for each address, and who makes room when the bound is reached.

Rule: a newcomer is never shut out by connections that do nothing: the one that has waited longest for its first request is
closed for it, then the one that has been idle longest. Only when all are being answered is it refused.
Rule: the bound leaves descriptors for the providers' side and the journal (`edge.limits.capacity`).
Limits: peers in `trusted` (load balancers) bring many callers from one address and have no share; their callers are theirs to
bound.
"""

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Protocol

Networks = tuple[IPv4Network | IPv6Network, ...]
ADMISSION = "tollway.admission"
"""In the state of an application's lifespan: the Admission that its server is to use."""
LOG_S = 10.0
log = logging.getLogger("tollway.downstream")


class Admitted(Protocol):
    """A connection."""

    @property
    def address(self) -> str: ...

    def close(self) -> None: ...


class Admission:
    """`connections_max` of all; `per_address_max` of one that is not trusted, 0 for no bound."""

    def __init__(self, connections_max: int, per_address_max: int = 0, trusted: Networks = ()) -> None:
        self.connections_max = connections_max
        self.per_address_max = per_address_max
        self.open = 0
        self.evicted_total = 0
        self.refused_total = 0
        self._by_address: Counter[str] = Counter()
        self._silent: OrderedDict[Admitted, None] = OrderedDict()
        """Whose first request is not there yet, the longest waiting first."""
        self._idle: OrderedDict[Admitted, None] = OrderedDict()
        """Between two requests."""
        self._is_trusted: Callable[[str], bool] = lru_cache(4_096)(lambda address: is_within(address, trusted))
        self._logged_s = float("-inf")
        self._untold = 0

    def admit(self, connection: Admitted, now_s: float) -> int:
        """0, or the status with which it is refused."""
        self.open += 1
        address = connection.address
        self._by_address[address] += 1
        if self.per_address_max and self._by_address[address] > self.per_address_max and not self._is_trusted(address):
            self.refused_total += 1
            self._log(f"{address} has {self.per_address_max} connections, as many as one address may; more are refused", now_s)
            return 429
        if self.open > self.connections_max and not self._make_room(now_s):
            self.refused_total += 1
            self._log(f"all {self.connections_max} connections are busy; more are refused", now_s)
            return 503
        self._silent[connection] = None
        return 0

    def _make_room(self, now_s: float) -> bool:
        waiting = self._silent or self._idle
        if not waiting:
            return False
        connection, _ = waiting.popitem(last=False)
        self.evicted_total += 1
        self._log(f"all {self.connections_max} connections are taken; those that do nothing are closed for new ones", now_s)
        connection.close()
        return True

    def forget(self, connection: Admitted) -> None:
        """It is closed."""
        self.open -= 1
        address = connection.address
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]
        self.take_up(connection)

    def take_up(self, connection: Admitted) -> None:
        """It is being answered."""
        if self._idle.pop(connection, self) is self:
            self._silent.pop(connection, None)

    def lay_down(self, connection: Admitted) -> None:
        """It waits for its next request."""
        self._idle[connection] = None

    def _log(self, what: str, now_s: float) -> None:
        """One line in LOG_S at most, with how often it happened."""
        self._untold += 1
        if now_s - self._logged_s >= LOG_S:
            log.warning("%s (%d times; %d open)", what, self._untold, self.open)
            self._logged_s, self._untold = now_s, 0


def is_within(address: str, networks: Networks) -> bool:
    """Whether an address lies in one of the networks; one that is none (a Unix socket's) is our own machine's."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return True
    mapped = getattr(found, "ipv4_mapped", None)
    return any((mapped or found) in network for network in networks)
