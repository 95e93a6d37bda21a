"""Which credentials can be this deployment's at all, told by their mark and without the store.

Rule: everything that the collector makes is marked: keys, and what opens something for a while (`ExpiringSecret`). What is from
before there were marks is taken as long as one of its kind can be used. What is neither was invented, and is refused here: that
costs a hash and no transaction.
"""

import os
import re
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final, NamedTuple

from collector.accounts.keys import deployment_secret, has_unmarked_keys, known_deployment_secret
from collector.store.contract import Tx
from usage.key import ENTROPY_BYTES, is_checked, is_marked, is_well_formed, mint


class ExpiringSecret(NamedTuple):
    """A kind of secret that opens something until it expires: its prefix, and the table that has the digests."""

    prefix: str
    table: str


LINK: Final = ExpiringSecret("login_", "login_links")
SESSION: Final = ExpiringSecret("session_", "sessions")
CODE: Final = ExpiringSecret("code_", "auth_codes")
KINDS: Final = (LINK, SESSION, CODE)
KEYS: Final = "keys"
Found = tuple[str, frozenset[str]]
ASK_S = 10.0
"""How old what is known may be while it may still change: the last unmarked key is revoked, the first marked one is made."""
_UNMARKED = re.compile(r"(code_)?[A-Za-z0-9_-]{43}").fullmatch
"""The secrets of a `ExpiringSecret` kind before there were marks."""


def make_secret(tx: Tx, kind: ExpiringSecret) -> str:
    """A new secret of this kind, 155 random bits with the deployment's mark. Its digest is to be kept, as marked."""
    return mint(os.urandom(ENTROPY_BYTES), bytes.fromhex(deployment_secret(tx)), kind.prefix)[0]


def _look(tx: Tx, now_ms: int) -> Found:
    """The deployment's secret, and the tables that still have something usable without a mark."""
    unmarked = {
        kind.table
        for kind in KINDS
        if tx.row(f"SELECT digest FROM {kind.table} WHERE marked = 0 AND expires_ms > ? LIMIT 1", now_ms) is not None
    }
    if has_unmarked_keys(tx):
        unmarked.add(KEYS)
    return known_deployment_secret(tx), frozenset(unmarked)


class Marks:
    """`read`: runs work(tx, now_ms) on the store."""

    def __init__(self, read: Callable[[Callable[[Tx, int], Found]], Awaitable[Found]]) -> None:
        self._read = read
        self._secret = b""
        self._unmarked = frozenset((KEYS,))
        self._asked_s = float("-inf")

    async def may_be_ours(self, credential: str) -> bool:
        """Whether a credential of a right shape is worth a look-up. Raises what `read` raises."""
        text = credential.encode("latin-1", "replace")
        await self._ask()
        if not self._secret or is_marked(text, self._secret):
            return True
        return KEYS in self._unmarked and is_well_formed(text)

    async def may_open(self, secret: str, kind: ExpiringSecret) -> bool:
        """Whether a secret, whatever was sent as one, is worth a look-up as one of this kind. Raises what `read` raises."""
        await self._ask()
        text = secret.encode("latin-1", "replace")
        if is_checked(text, kind.prefix.encode()) and (not self._secret or is_marked(text, self._secret)):
            return True
        return kind.table in self._unmarked and _UNMARKED(secret) is not None

    async def _ask(self) -> None:
        if (self._secret and not self._unmarked) or monotonic() - self._asked_s < ASK_S:
            return
        secret, self._unmarked = await self._read(_look)
        self._secret = bytes.fromhex(secret)
        self._asked_s = monotonic()
