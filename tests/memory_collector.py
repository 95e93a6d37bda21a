"""The collector in memory: the collector's own ledger and grant sizing, in dictionaries instead of a database.

Rule: what decides about money is `collector.ledger.ledger` and `collector.leasing.grant`; this file only remembers, as the
collector's SQL does. A test plays the same messages to both and compares every answer and every balance.
Strategy: synchronous and cheap, so that a simulator can take millions of steps.
"""

import copy

import msgspec

from collector.ingest.screening import Screen
from collector.leasing.grant import ACTIVE_MS, TTL_S, PurseState, size_grant
from collector.leasing.recall import LIVING_MS, RECALL_MS, SEEN_MS
from collector.ledger.ledger import (
    AccountRow,
    LeaseKey,
    LeaseRow,
    Posting,
    Tables,
    add_postings,
    charge_late,
    give_back,
    grant,
    settle,
)
from collector.ledger.ledger import top_up as topped_up
from collector.limits.board import LimitBoard
from usage.lease import leased_part
from usage.protocol import (
    Ack,
    Acquire,
    Acquired,
    Balance,
    Batch,
    Boot,
    Booted,
    Close,
    Closed,
    Granted,
    Policy,
    Poll,
    Polled,
    Refused,
    Rejected,
    Return,
    Returned,
)
from usage.record import UsageRecord


class Epoch(msgspec.Struct):
    """One process's time, as the collector knows it."""

    seen_ms: int = 0

    state: str = "open"
    acked_through: int = 0
    ahead: set[int] = msgspec.field(default_factory=set)
    purses: set[str] = msgspec.field(default_factory=set)
    ids: list[tuple[str, str]] = msgspec.field(default_factory=list)


class LooseScreen(Screen):
    """Takes the simulator's short ids: what an id must look like is no matter of money, and the worlds keep their seeds."""

    def fault_of_id(self, record: UsageRecord) -> str:
        return ""


class MemoryCollector:
    """All the books of a collector. `clock_ms` is Unix time in milliseconds, set by its owner."""

    def __init__(self) -> None:
        self.limits = LimitBoard(started_s=-60.0)
        self.clock_ms = 1_700_000_000_000
        self.tables = Tables()
        self.keys: dict[str, Policy] = {}
        self.key_limits: dict[str, int] = {}
        self.owners: dict[str, str] = {}
        self.newest: dict[str, int] = {}
        self.boots: dict[tuple[str, str], int] = {}
        self.epochs: dict[tuple[str, int], Epoch] = {}
        self.touched_ms: dict[LeaseKey, int] = {}
        self.grants: dict[str, tuple[str, int, Granted]] = {}
        self.returns: dict[str, int] = {}
        self.records: dict[str, UsageRecord] = {}
        self.recalls: dict[str, int] = {}
        self.charges = 0
        self.rejected: list[Rejected] = []

    def restored_copy(self) -> "MemoryCollector":
        """What a backup holds."""
        return copy.deepcopy(self)

    # What operators do.

    def open_account(self, account: str, amount_nano: int) -> None:
        self.tables.accounts.setdefault(account, AccountRow())
        if amount_nano:
            self.post(topped_up(account, amount_nano))

    def add_key(self, digest: str, account: str, key_id: str, limit_nano: int | None = None) -> Policy:
        purse = account if limit_nano is None else f"{account}/{key_id}"
        self.keys[digest] = policy = Policy(digest, key_id, account, purse)
        self.owners[key_id] = account
        if limit_nano is not None:
            self.key_limits[purse] = limit_nano
        return policy

    # The five messages.

    def boot(self, message: Boot) -> Booted:
        known = self.boots.get((message.node, message.boot_id))
        if known is None:
            known = max(self.newest.get(message.node, 0) + 1, self.clock_ms // 1000)
            self.newest[message.node] = known
            self.boots[message.node, message.boot_id] = known
            self.epochs[message.node, known] = Epoch(self.clock_ms)
        older = [e for (n, e), row in self.epochs.items() if n == message.node and e < known and row.state == "open"]
        return Booted(known, open_epochs=tuple(sorted(older)), now_ms=self.clock_ms)

    def acquire(self, message: Acquire) -> Acquired:
        if message.want_nano and self._is_fenced(message.node, message.epoch):
            raise Refused("fenced", "a newer epoch has begun")
        return self._grant(message)

    def ingest(self, batch: Batch) -> Ack:
        at = (batch.node, batch.epoch)
        epoch = self.epochs.setdefault(at, Epoch())
        epoch.seen_ms = self.clock_ms
        rejected, accepted = [], []
        screen = LooseScreen(batch.node, batch.epoch, self.owners)
        for record in batch.records:
            fault = screen.fault_of(record)
            if fault:
                rejected.append(Rejected(record.seq, record.gen_id, fault))
            else:
                accepted.append(record)
        costs: dict[tuple[str, str], tuple[int, int]] = {}
        for record in accepted:
            if record.gen_id not in self.records:
                self.records[record.gen_id] = record
                payer = (record.account, record.purse)
                cost_nano, leased_nano = costs.get(payer, (0, 0))
                costs[payer] = cost_nano + record.cost_nano, leased_nano + leased_part(record.hold_nano, record.cost_nano)
        for (account, purse), (cost_nano, leased_nano) in costs.items():
            self._charge(at, epoch, account, purse, cost_nano, leased_nano)
        self.rejected += rejected
        self._advance(epoch, [record.seq for record in batch.records])
        renewals = () if self._is_fenced(*at) else batch.renew
        leases = tuple(answer.granted for answer in map(self._grant, renewals) if answer.granted is not None)
        purses = {record.purse: record for record in accepted}
        balances = tuple(Balance(purse, self._available(record.account, purse)[0]) for purse, record in sorted(purses.items()))
        return Ack(epoch.acked_through, tuple(rejected), leases, balances)

    def give_back(self, message: Return) -> Returned:
        known = self.returns.get(message.return_id)
        if known is not None:
            return Returned(known)
        at = (message.node, message.epoch)
        epoch = self.epochs.get(at)
        lease = LeaseKey(message.node, message.epoch, message.purse)
        if epoch is None or epoch.state != "open" or message.purse not in epoch.purses:
            return Returned(0)
        account = message.purse.partition("/")[0]
        amount_nano = min(message.amount_nano, self._open_nano(lease))
        self.post(give_back(account, lease, self._open_nano(lease), amount_nano))
        self.returns[message.return_id] = amount_nano
        epoch.ids.append(("return", message.return_id))
        return Returned(amount_nano)

    def close(self, message: Close) -> Closed:
        epoch = self.epochs.get((message.node, message.epoch))
        if epoch is None:
            return Closed(message.final_seq <= 0, 0)
        if epoch.acked_through < message.final_seq:
            return Closed(False, epoch.acked_through)
        if epoch.state == "open":
            self.end_epoch(message.node, message.epoch, "closed")
        return Closed(True, epoch.acked_through)

    def poll(self, message: Poll) -> Polled:
        epoch = self.epochs.get((message.node, message.epoch))
        is_newest = not self._is_fenced(message.node, message.epoch)
        if epoch is not None and is_newest and self.clock_ms - epoch.seen_ms >= SEEN_MS:
            epoch.seen_ms = self.clock_ms
        wanted = {scope for scope, until_ms in self.recalls.items() if until_ms > self.clock_ms}
        recalled = {
            lease.purse
            for lease in lease_rows(self)
            if (lease.node, lease.epoch) == (message.node, message.epoch)
            and not wanted.isdisjoint((lease.purse, lease.purse.partition("/")[0]))
        }
        shares = self.limits.answer(message.node, message.epoch, message.limits)
        return Polled(is_newest, tuple(sorted(recalled)), now_ms=self.clock_ms, limits=shares)

    def end_epoch(self, node: str, number: int, state: str) -> None:
        """Close or forfeit."""
        epoch = self.epochs[node, number]
        for purse in sorted(epoch.purses):
            lease = LeaseKey(node, number, purse)
            open_nano = self._open_nano(lease)
            self.post(give_back(purse.partition("/")[0], lease, open_nano, open_nano, "close"))
        epoch.state = state
        for kind, one in epoch.ids:
            (self.grants if kind == "grant" else self.returns).pop(one, None)

    # Inside.

    def post(self, postings: tuple[Posting, ...]) -> None:
        add_postings(self.tables, postings)
        for posting in postings:
            if posting.lease is not None:
                self.touched_ms[posting.lease] = self.clock_ms

    def _is_fenced(self, node: str, number: int) -> bool:
        epoch = self.epochs.get((node, number))
        return self.newest.get(node) != number or epoch is None or epoch.state != "open"

    def _open_nano(self, lease: LeaseKey) -> int:
        row = self.tables.leases.get(lease)
        return 0 if row is None else row.open_nano

    def _charge(self, at: tuple[str, int], epoch: Epoch, account: str, purse: str, cost_nano: int, leased_nano: int) -> None:
        self.charges += 1
        lease = LeaseKey(*at, purse)
        available_nano = self.tables.accounts[account].available_nano
        if epoch.state == "open":
            self.post(settle(account, lease, self._open_nano(lease), available_nano, cost_nano, leased_nano))
        else:
            self.post(charge_late(account, lease, available_nano, cost_nano))

    def _advance(self, epoch: Epoch, seqs: list[int]) -> None:
        epoch.ahead.update(seq for seq in seqs if seq > epoch.acked_through)
        while epoch.acked_through + 1 in epoch.ahead:
            epoch.acked_through += 1
            epoch.ahead.discard(epoch.acked_through)

    def _available(self, account: str, purse: str) -> tuple[int, str]:
        account_nano = self.tables.accounts[account].available_nano
        limit_nano = self.key_limits.get(purse)
        if limit_nano is None:
            return account_nano, "credits"
        spent_nano = sum(record.cost_nano for record in self.records.values() if record.purse == purse)
        open_nano = sum(row.open_nano for lease, row in self.tables.leases.items() if lease.purse == purse)
        left_nano = max(limit_nano - spent_nano - open_nano, 0)
        return (left_nano, "key_limit") if left_nano < account_nano else (account_nano, "credits")

    def _grant(self, message: Acquire) -> Acquired:
        policy = self.keys.get(message.digest)
        if policy is None:
            return Acquired()
        available_nano, by = self._available(policy.account, policy.purse)
        known = self.grants.get(message.grant_id)
        if known is not None or message.want_nano == 0 or policy.disabled:
            exhausted_by = "" if known or available_nano or message.want_nano else by
            return Acquired(policy, known[2] if known else None, available_nano, exhausted_by)
        nodes = self._nodes_active(policy.account, message.node)
        is_wanted = any(self.recalls.get(scope, 0) > self.clock_ms for scope in (policy.account, policy.purse))
        lease = LeaseKey(message.node, message.epoch, policy.purse)
        leased_nano = self._open_nano(lease)
        size = size_grant(message.want_nano, message.min_nano, PurseState(available_nano, nodes, is_wanted, leased_nano))
        if size.amount_nano == 0:
            return Acquired(policy, None, available_nano, by, self._call_back(message, policy, by, lease))
        account_nano = self.tables.accounts[policy.account].available_nano
        self.post(grant(policy.account, lease, account_nano, size.amount_nano, message.grant_id))
        granted = Granted(policy.purse, message.grant_id, size.amount_nano, TTL_S, size.low_water_nano, size.final)
        self.grants[message.grant_id] = (message.node, message.epoch, granted)
        epoch = self.epochs[message.node, message.epoch]
        epoch.purses.add(policy.purse)
        epoch.ids.append(("grant", message.grant_id))
        return Acquired(policy, granted, available_nano - size.amount_nano)

    def _call_back(self, message: Acquire, policy: Policy, by: str, asker: LeaseKey) -> int:
        if message.min_nano <= 1:
            return 0
        scope = policy.account if by == "credits" else policy.purse
        found_nano = sum(
            row.open_nano
            for lease, row in lease_rows(self).items()
            if lease != asker
            and scope in (lease.purse, lease.purse.partition("/")[0])
            and self.epochs[lease.node, lease.epoch].seen_ms > self.clock_ms - LIVING_MS
        )
        if found_nano:
            self.recalls[scope] = self.clock_ms + RECALL_MS
        return found_nano

    def _nodes_active(self, account: str, node: str) -> int:
        since_ms = self.clock_ms - ACTIVE_MS
        others = {
            lease.node
            for lease, touched_ms in self.touched_ms.items()
            if touched_ms > since_ms
            and lease.node != node
            and lease.purse.partition("/")[0] == account
            and self.epochs[lease.node, lease.epoch].state == "open"
        }
        return len(others) + 1


def lease_rows(collector: MemoryCollector) -> dict[LeaseKey, LeaseRow]:
    """Leases of open epochs."""
    return {
        lease: row for lease, row in collector.tables.leases.items() if collector.epochs[lease.node, lease.epoch].state == "open"
    }
