"""What an edge node and the collector say to each other.

Strategy: six messages, the same over HTTP (`usage.protocol.http`) and in process when the collector is embedded.
Every message may be lost, repeated or reordered: `boot` fences older epochs, `acquire` is idempotent on `grant_id`,
`ingest` on `gen_id`, `give_back` on `return_id`, `close` on (node, epoch); `poll` changes nothing.

A purse is what money is leased from: `<account>`, or `<account>/<key_id>` for a key with a spending limit of its own. There is
one lease per (node, epoch, purse); each grant adds to it, each return and the final close take from it.
"""

from typing import Protocol

import msgspec

from usage.limit import LimitReport, LimitShare, LimitTerms
from usage.record import UsageRecord

RECORDS_MAX = 5_000
"""Records in a batch, at most. Both ends go by it: an edge sends fewer, a collector refuses more."""
MESSAGE_BYTES_MAX = 8 * 1024 * 1024
"""Of a message as JSON, decompressed; likewise."""


class Unreachable(Exception):
    """The collector did not answer, or answered that it cannot now; `retry_after_s` is its wish, if it named one.

    `is_lasting`: it will not get better by itself (the database is damaged).
    """

    def __init__(self, reason: str, retry_after_s: float | None = None, *, is_lasting: bool = False) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.is_lasting = is_lasting


class Refused(Exception):
    """The collector understood and said no; asking again will not help.

    Codes: `fenced`, `node_in_use`, `bad_node_token`, `revoked` (it was known, and an operator ended it), `too_large`, `invalid`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Boot(msgspec.Struct, frozen=True, omit_defaults=True):
    """A process of `node` begins. `boot_id` makes a repeated boot return the same epoch.

    `instance` names the machine by its data folder, for good: the same node from another one is refused (`node_in_use`) while
    the first is alive. Empty: an edge that does not say, and fences whoever was there before.
    """

    node: str
    boot_id: str
    instance: str = ""


class Enrol(msgspec.Struct, frozen=True):
    """A machine that holds its group's token asks for one of its own. Over HTTP only."""

    node: str
    instance: str


class Enrolled(msgspec.Struct, frozen=True):
    """`token` is the node's own, shown once: the tokens that this node was given before are void."""

    token: str


class Booted(msgspec.Struct, frozen=True):
    """The new epoch: greater than any before, and from now on the only one of this node that is granted credit.

    `deployment`: the secret, in hexadecimal, that marks the keys issued here (`usage.key`); empty: they are not marked.
    `takes_unmarked`: there are usable keys from before there were marks, so that a key without one has to be asked about.
    """

    epoch: int
    ship_interval_s: float = 1.0
    open_epochs: tuple[int, ...] = ()
    deployment: str = ""
    takes_unmarked: bool = True
    key_version: int = 0
    now_ms: int = 0
    """The collector's clock when it answered; 0: it does not say. An edge's clock goes by it."""


class Policy(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the collector says about a key. `models` empty means all; an entry is a model id or a prefix ending in `*`."""

    digest: str
    key_id: str
    account: str
    purse: str
    disabled: bool = False
    models: tuple[str, ...] = ()
    expires_ms: int | None = None
    label: str = ""
    limits: LimitTerms | None = None
    account_limits: LimitTerms | None = None
    """What was set for the key, and for its account; where nothing was, the edge's table says."""


class Acquire(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask for credit, by the key's digest. `want_nano` 0 asks for the policy alone. `min_nano` is the least that helps."""

    node: str
    epoch: int
    grant_id: str
    digest: str
    want_nano: int = 0
    min_nano: int = 0


class Granted(msgspec.Struct, frozen=True, omit_defaults=True):
    """Credit moved from the purse to this node's lease; it was debited from `available` before this was sent.

    `ttl_s` is the admission life, counted by the edge from the moment it sent the request, on its monotonic clock.
    `low_water_nano`: renew when less than this is left. `final`: the purse is nearly empty, ask for single requests.
    """

    purse: str
    grant_id: str
    granted_nano: int
    ttl_s: float = 900.0
    low_water_nano: int = 0
    final: bool = False


class Acquired(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to Acquire. No policy: the key does not exist. No grant though one was wanted: exhausted, or (`recalled_nano`)
    not here now: so much lies in leases of other nodes that live, and is being called back.

    `exhausted_by`: `credits`, or `key_limit` when the key's own spending limit is what ran out.
    `available_nano` is what the purse could still give, so a refusal can say what it would buy.
    """

    policy: Policy | None = None
    granted: Granted | None = None
    available_nano: int = 0
    exhausted_by: str = ""
    recalled_nano: int = 0


class Batch(msgspec.Struct, frozen=True, omit_defaults=True):
    """Records of one (node, epoch) in `seq` order, and the renewals that ride along.

    `complete_ms` (Unix milliseconds, the node's clock): with this batch, everything that this epoch settled before then has been
    sent; 0 claims nothing. It is what a history may be called complete by.
    """

    node: str
    epoch: int
    records: tuple[UsageRecord, ...] = ()
    renew: tuple[Acquire, ...] = ()
    complete_ms: int = 0
    limits: tuple[LimitReport, ...] = ()


class Rejected(msgspec.Struct, frozen=True):
    """One record the collector will never take; it counts as acknowledged and the edge dead-letters it."""

    seq: int
    gen_id: str
    reason: str


class Balance(msgspec.Struct, frozen=True):
    """What a purse could give when the collector answered."""

    purse: str
    available_nano: int


class Ack(msgspec.Struct, frozen=True, omit_defaults=True):
    """All records through `acked_through` are durable at the collector, gap-free. It never goes back."""

    acked_through: int
    rejected: tuple[Rejected, ...] = ()
    leases: tuple[Granted, ...] = ()
    balances: tuple[Balance, ...] = ()
    revoked: tuple[str, ...] = ()
    """Digests of keys whose policy changed since the last batch: forget them and ask again."""
    limits: tuple[LimitShare, ...] = ()


class Return(msgspec.Struct, frozen=True):
    """Unspent, unheld credit goes back to the purse (idle lease, or drain)."""

    node: str
    epoch: int
    return_id: str
    purse: str
    amount_nano: int


class Returned(msgspec.Struct, frozen=True):
    """What went back: no more than the lease still held."""

    returned_nano: int


class Poll(msgspec.Struct, frozen=True):
    """A node asks every two seconds what it has to hear. `key_version`: the last change of a key that it knows of."""

    node: str
    epoch: int
    key_version: int = 0
    limits: tuple[LimitReport, ...] = ()


class Polled(msgspec.Struct, frozen=True, omit_defaults=True):
    """`is_newest`: this epoch is in force, so the admission life of its leases counts from the moment the poll was sent.

    `recalled`: purses whose free credit should go back now, because somebody else is refused for want of it. `changed`: digests
    of keys whose policy changed since `key_version`; the new one is in the answer.
    """

    is_newest: bool
    recalled: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    key_version: int = 0
    now_ms: int = 0
    """As in Booted."""
    limits: tuple[LimitShare, ...] = ()


class Close(msgspec.Struct, frozen=True):
    """No record of this epoch will follow `final_seq` (0: there were none). What its leases still hold returns to the purses."""

    node: str
    epoch: int
    final_seq: int


class Closed(msgspec.Struct, frozen=True):
    """`closed` is False while records up to `final_seq` are missing: ship `acked_through` + 1 onwards first."""

    closed: bool
    acked_through: int


class CollectorClient(Protocol):
    """What an edge needs of the collector. Each call may raise Unreachable or Refused."""

    async def boot(self, message: Boot) -> Booted: ...
    async def acquire(self, message: Acquire) -> Acquired: ...
    async def ingest(self, message: Batch) -> Ack: ...
    async def give_back(self, message: Return) -> Returned: ...
    async def close(self, message: Close) -> Closed: ...
    async def poll(self, message: Poll) -> Polled: ...


GROUP_PREFIX = "ng_"
"""Of a group's token, `ng_<group>.<secret>`: with it a machine may make itself a node of that group, and nothing else."""


def group_of(token: str) -> str:
    """The group that a token names; empty for one that is no group's."""
    name, dot, secret = token.removeprefix(GROUP_PREFIX).rpartition(".")
    return name if token.startswith(GROUP_PREFIX) and dot and secret else ""


def name_in(group: str, machine: str) -> str:
    """What a machine is called in its group: by its own name, with the group before it unless it begins with that."""
    return machine if machine.startswith(f"{group}-") else f"{group}-{machine}"[:63]


MESSAGES: dict[str, tuple[type[msgspec.Struct], type[msgspec.Struct]]] = {
    "boot": (Boot, Booted),
    "acquire": (Acquire, Acquired),
    "ingest": (Batch, Ack),
    "give_back": (Return, Returned),
    "close": (Close, Closed),
    "poll": (Poll, Polled),
}
"""Message name → (request, answer). The name is that of the method of `CollectorClient`."""
