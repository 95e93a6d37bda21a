"""From a caller's head to the policy of its key; what can be refused without asking the collector is refused here.

Rule: shape and checksum (`edge.auth.header`), then what is known, then the mark of the deployment, and only then a look-up, which
is shared by all who wait for it and bounded (`edge.auth.key_cache`). An invented key dies before it costs more than two hashes.
"""

import msgspec

from edge.auth.header import Reason, digest_of, key_of
from edge.clock import Clock
from edge.credit.credit import Credit
from routing.plan.refusal import Denied, Refusal
from routing.wire.headers import Arrival
from usage.key import ACCOUNT_PREFIXES, is_checked, is_marked
from usage.protocol import Booted, Policy, Unreachable

_AWAY = "the collector cannot be reached, so this key cannot be verified"


class Deployment(msgspec.Struct, frozen=True):
    """What marks the keys of this deployment. No secret: the collector does not mark keys yet."""

    secret: bytes = b""
    takes_unmarked: bool = True

    @staticmethod
    def of(booted: Booted) -> "Deployment":
        try:
            return Deployment(bytes.fromhex(booted.deployment), booted.takes_unmarked)
        except ValueError:
            return Deployment()


class Authenticator:
    """Belongs to one epoch of the node."""

    def __init__(self, credit: Credit, deployment: Deployment, clock: Clock) -> None:
        self._clock = clock
        self._credit = credit
        self._deployment = deployment

    async def policy_of(self, arrival: Arrival) -> Policy:
        """The policy of a caller who may be served. Denied: 401, or 503 while the key cannot be verified."""
        digest = digest_of(arrival.authorization)
        policy = self._credit.find(digest) if isinstance(digest, str) else None
        if policy is None:
            policy = await self.look_up(digest, arrival.authorization)
        check(policy, self._clock)
        return policy

    def is_account_key(self, authorization: bytes) -> bool:
        """Whether this is, by shape and mark, a key of ours that reads or manages an account, or an operator's token."""
        scheme, _, bearer = authorization.partition(b" ")
        secret = (bearer if scheme.lower() == b"bearer" else scheme).strip()
        if not any(secret.startswith(prefix) and is_checked(secret, prefix) for prefix in ACCOUNT_PREFIXES):
            return False
        return not self._deployment.secret or is_marked(secret, self._deployment.secret)

    async def look_up(self, digest: str | Reason, authorization: bytes | None) -> Policy:
        """The policy of a key that is not known here yet. Denied."""
        if isinstance(digest, Reason):
            raise Denied(Refusal(401, "invalid_api_key", digest.value))
        key = key_of(authorization)
        assert isinstance(key, bytes)
        deployment = self._deployment
        has_mark = bool(deployment.secret) and is_marked(key, deployment.secret)
        if deployment.secret and not has_mark and not deployment.takes_unmarked:
            raise Denied(_no_such_key())
        try:
            policy = await self._credit.look_up(digest, has_mark or not deployment.secret)
        except Unreachable as problem:
            raise Denied(unverifiable(problem.retry_after_s, f"{_AWAY} ({problem})")) from problem
        if policy is None:
            raise Denied(_no_such_key())
        return policy


def check(policy: Policy, clock: Clock) -> None:
    """Denied: the key may no longer be used."""
    if policy.disabled:
        raise Denied(Refusal(401, "invalid_api_key", "this API key was revoked"))
    if policy.expires_ms is not None and clock.now_ns() >= policy.expires_ms * 1_000_000:
        raise Denied(Refusal(401, "invalid_api_key", "this API key has expired"))


def unverifiable(retry_after_s: float | None, reason: str) -> Refusal:
    message = f"{reason}; nothing was charged, try again"
    return Refusal(503, "credit_unverifiable", message, retry_after_s=retry_after_s or 1.0)


def _no_such_key() -> Refusal:
    return Refusal(401, "invalid_api_key", "this API key does not exist")
