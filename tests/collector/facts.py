"""Usage facts and messages as an edge would send them, at round prices."""

import hashlib
from collections.abc import Iterable

import msgspec

from collector.accounts.keys import KeyTerms
from collector.leasing.leasing import sum_of
from collector.service import Collector
from collector.store.contract import Store
from usage.gen_id import first_of, time_ms_of
from usage.key import digest
from usage.pricing import cost_nano
from usage.protocol import Acquire, Acquired, Batch, Boot
from usage.record import Rates, Tokens, UsageRecord

NOON_MS = 1_795_348_800_000
"""A Sunday, 2026-11-22, 12:00 UTC."""
RATES = Rates(input=150_000, output=600_000, version="test")
PER_REQUEST = Rates(request=1_000_000)
"""1,000 nano-dollars per request, tokens for nothing: hold and cost are the same."""


class Clock:
    """A clock that moves when told."""

    def __init__(self, now_ms: int = NOON_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


class Caller(msgspec.Struct, frozen=True):
    """A key as its owner knows it."""

    key: str
    digest: str
    key_id: str
    account: str
    purse: str


async def make_caller(
    collector: Collector, account: str = "acme", credit_nano: int = 1_000_000, terms: KeyTerms | None = None
) -> Caller:
    """A key of an account that was topped up."""
    if credit_nano:
        await collector.add_credit(account, credit_nano)
    key = await collector.create_key(account, terms)
    acquired = await collector.acquire(Acquire("any", 0, "", digest(key.encode())))
    assert acquired.policy is not None
    return Caller(key, digest(key.encode()), acquired.policy.key_id, account, acquired.policy.purse)


class Node:
    """One process of an edge node, as far as the collector can see it."""

    def __init__(self, collector: Collector, name: str = "fra-1", epoch: int = 0) -> None:
        self.collector, self.name, self.epoch = collector, name, epoch
        self.link = collector.for_node(name)
        self.asked = 0

    async def boot(self, boot_id: str = "boot-1") -> "Node":
        self.epoch = (await self.link.boot(Boot(self.name, boot_id))).epoch
        return self

    async def acquire(self, caller: Caller, want_nano: int, min_nano: int = 1, grant_id: str = "") -> Acquired:
        self.asked += 1
        grant_id = grant_id or f"{self.name}-{self.epoch}-{self.asked}"
        return await self.link.acquire(Acquire(self.name, self.epoch, grant_id, caller.digest, want_nano, min_nano))

    def fact(self, seq: int, caller: Caller, cost: int = 1_000, gen_id: str = "") -> UsageRecord:
        """A record that cost `cost` nano-dollars, by a price per request."""
        return make_fact(
            seq, caller, self.name, self.epoch, gen_id or f"gen-{self.name}-{self.epoch}-{seq:08d}", Rates(request=cost * 1_000)
        )

    def batch(self, facts: Iterable[UsageRecord], renew: tuple[Acquire, ...] = ()) -> Batch:
        return Batch(self.name, self.epoch, tuple(facts), renew)


def id_of(label: str, started_ms: int = NOON_MS) -> str:
    """A well-formed generation id that was drawn at `started_ms`: the same one for the same label."""
    chance = int.from_bytes(hashlib.sha256(label.encode()).digest()[:10], "big")
    return first_of(started_ms) + "".join("0123456789abcdefghjkmnpqrstvwxyz"[(chance >> at) & 31] for at in range(75, -1, -5))


def at_time(fact: UsageRecord, started_ms: int) -> UsageRecord:
    """The same fact, but of another time."""
    return msgspec.structs.replace(fact, gen_id=id_of(fact.gen_id, started_ms), started_ms=started_ms)


def make_fact(
    seq: int, caller: Caller, node: str, epoch: int, gen_id: str, rates: Rates = RATES, tokens: Tokens | None = None
) -> UsageRecord:
    tokens = tokens or Tokens(prompt=10, completion=4)
    cost = cost_nano(tokens, rates)
    return UsageRecord(
        gen_id=gen_id if time_ms_of(gen_id) is not None else id_of(gen_id),
        seq=seq,
        node=node,
        epoch=epoch,
        account=caller.account,
        key_id=caller.key_id,
        purse=caller.purse,
        model="echo/small",
        provider="echo",
        upstream_model="small",
        tokens=tokens,
        rates=rates,
        cost_nano=cost,
        hold_nano=cost,
        started_ms=NOON_MS,
        status=200,
        end_reason="completed",
        usage_source="provider",
    )


def spent_nano(store: Store, account: str = "acme") -> int:
    return store.read(lambda tx: sum_of(tx, "SELECT spent_nano FROM accounts WHERE account = ?", account))


def available_nano(store: Store, account: str = "acme") -> int:
    return store.read(lambda tx: sum_of(tx, "SELECT available_nano FROM accounts WHERE account = ?", account))


def absorbed_nano(store: Store, account: str = "acme") -> int:
    return store.read(lambda tx: sum_of(tx, "SELECT absorbed_nano FROM accounts WHERE account = ?", account))
