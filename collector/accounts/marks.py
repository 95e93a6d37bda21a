"""Which credentials can be this deployment's at all, told by their mark and without the store.

Rule: everything that the collector makes is marked; keys from before there were marks are taken as long as one of them can
be used. What is neither was invented, and dies here: it costs a hash and no transaction.
"""

from collections.abc import Awaitable, Callable
from time import monotonic

from collector.accounts.accounts import has_unmarked_keys, known_deployment_secret
from collector.store.contract import Tx
from usage.key import is_marked, is_well_formed

Found = tuple[str, bool]
ASK_S = 10.0
"""How old what is known may be while it may still change: the last unmarked key is revoked, the first marked one is made."""


class Marks:
    """`read`: runs work(tx, now_ms) on the store."""

    def __init__(self, read: Callable[[Callable[[Tx, int], Found]], Awaitable[Found]]) -> None:
        self._read = read
        self._secret = b""
        self._takes_unmarked = True
        self._asked_s = float("-inf")

    async def may_be_ours(self, credential: str) -> bool:
        """Whether a credential of a right shape is worth a look-up. Raises what `read` raises."""
        text = credential.encode("latin-1", "replace")
        if (not self._secret or self._takes_unmarked) and monotonic() - self._asked_s >= ASK_S:
            secret, self._takes_unmarked = await self._read(lambda tx, now: (known_deployment_secret(tx), has_unmarked_keys(tx)))
            self._secret = bytes.fromhex(secret)
            self._asked_s = monotonic()
        if not self._secret or is_marked(text, self._secret):
            return True
        return self._takes_unmarked and is_well_formed(text)
