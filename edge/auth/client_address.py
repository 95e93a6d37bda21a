"""Who calls, as an address: the peer's, or the one that a trusted proxy names; and the log of credentials that were refused.

Rule: a header is believed only from a peer in TOLLWAY_TRUSTED_PROXIES, and of a list of addresses only the last, which that peer
wrote itself. Rule: nothing of a key is logged.
"""

import logging
from collections.abc import Callable
from ipaddress import ip_address
from time import monotonic

from starlette.types import Scope

from edge.downstream.admission import Networks, is_within
from usage.throttle import Throttle

log = logging.getLogger("tollway.auth")


def client_of(scope: Scope, header: bytes | None, trusted: Networks) -> str:
    """The caller's address; empty where it is not known."""
    peer = scope.get("client")
    address: str = peer[0] if peer else ""
    if header is None or not is_within(address, trusted):
        return address
    for name, value in reversed(scope["headers"]):
        if name == header:
            named = value.decode("latin-1").rpartition(",")[2].strip()
            try:
                return str(ip_address(named))
            except ValueError:
                return address
    return address


class FailedAuthentications:
    """Counts and logs refused credentials, with where they came from."""

    def __init__(self, header: bytes | None = None, trusted: Networks = (), clock: Callable[[], float] = monotonic) -> None:
        self._header = header
        self._trusted = trusted
        self._clock = clock
        self._throttle = Throttle()

    @property
    def total(self) -> int:
        return self._throttle.total

    def client_of(self, scope: Scope) -> str:
        """The caller's address, as it is logged."""
        return client_of(scope, self._header, self._trusted)

    def count(self, scope: Scope, reason: str) -> None:
        """A request was answered 401; `reason` quotes nothing of its key."""
        more = self._throttle.note(self._clock())
        if more is not None:
            client = self.client_of(scope) or "an unknown address"
            log.warning("credentials from %s were refused at %s: %s%s", client, scope["path"][:80], reason, more)
