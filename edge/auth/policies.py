"""What is known about keys: the policies the collector gave, and the digests it does not know. No loop, no clock, no network.

Rule: bounded in every direction. Invented keys push out other invented keys, never a real one.
Rule: a policy is asked for anew every few minutes in the background, and is not used at all once its life is over, which counts
from the last answer of the collector that concerned it: a revoked key stops working within that time even while the collector is
away, and within two seconds while it is there.
"""

import msgspec

from usage.protocol import Policy

REFRESH_S = 300.0
LIFE_S = 900.0
RETRY_S = 10.0
MISSING_S = 10.0
KNOWN_MAX = 65_536
MISSING_MAX = 10_000


class CachedPolicy(msgspec.Struct):
    """A policy, and when it is to be asked for anew and is no longer to be used, in seconds of the caller's clock."""

    policy: Policy
    refresh_s: float
    until_s: float


class Policies:
    """Policies by digest, as far as this process knows them."""

    def __init__(self) -> None:
        self._known: dict[str, CachedPolicy] = {}
        self._missing: dict[str, float] = {}
        self._confirmed_until_s = 0.0

    def __len__(self) -> int:
        return len(self._known)

    def find(self, digest: str, now_s: float) -> CachedPolicy | None:
        """What is known of a key and fresh enough."""
        known = self._known.get(digest)
        return known if known is not None and (now_s < known.until_s or now_s < self._confirmed_until_s) else None

    def is_missing(self, digest: str, now_s: float) -> bool:
        """Whether the collector said, a moment ago, that there is no such key."""
        until_s = self._missing.get(digest)
        return until_s is not None and now_s < until_s

    def learn(self, digest: str, policy: Policy | None, asked_s: float) -> None:
        """What the collector said to a question asked at `asked_s`."""
        if policy is None:
            self._known.pop(digest, None)
            self._missing.pop(digest, None)
            if len(self._missing) >= MISSING_MAX:
                del self._missing[next(iter(self._missing))]
            self._missing[digest] = asked_s + MISSING_S
            return
        self._missing.pop(digest, None)
        self._known.pop(digest, None)
        if len(self._known) >= KNOWN_MAX:
            del self._known[next(iter(self._known))]
        self._known[digest] = CachedPolicy(policy, asked_s + REFRESH_S, asked_s + LIFE_S)

    def confirm(self, asked_s: float) -> None:
        """The collector has named all that changed up to `asked_s`: what is still known here is as good as asked for then."""
        self._confirmed_until_s = asked_s + LIFE_S

    def forget(self, digest: str) -> None:
        """Its policy changed at the collector."""
        self._known.pop(digest, None)
        self._missing.pop(digest, None)
