"""Keeps this node's wallets filled, and knows whose they are: the network around what `edge.credit.wallet` decides.

Rule: a request whose wallet has credit makes no call, waits for nothing and touches only memory.
Rule: one call at a time per purse and per unknown key; whoever comes meanwhile waits for that one, at most 500 ms, and then hears
`unverifiable` while the call goes on and fills the wallet for the next.
Rule: only the collector's word makes `exhausted`; its silence never does, nor does credit that lies in other leases or running
requests: that is waited for a moment, and then the caller is told to come again.
Rule: the collector is polled every POLL_S. What it calls back is returned at once; what it confirms lives on; what it has not
confirmed for an admission life is not spent.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from edge.auth.key_cache import KeyCache
from edge.auth.policies import LIFE_S
from edge.clock import Clock
from edge.collector_client.session import CollectorSession
from edge.credit.acquire import HoldAnswer, PendingAcquire
from edge.credit.wallet import RIDE_S, Wallet
from edge.limits.limiter import RateLimiter
from edge.tasks import Tasks
from usage.protocol import Ack, Acquire, Acquired, Policy, Unreachable
from usage.record import UsageRecord

COLD_WAIT_S = 0.5
REFUSALS_MAX = 3
"""How often one request asks again because a refusal left hope: credit that came free meanwhile, or a smaller minimum."""
RECALL_ASKS_MAX = 6
RECALL_PAUSE_S = 0.4
"""Credit that comes back from other nodes is asked for so often, with so much time between: a poll and a little."""
MAINTAIN_S = 0.8
POLL_S = 1.6
"""What changes at the collector is heard of within two seconds, the way there and back included."""
_SILENT = "the collector did not answer in time, so the credit of this key cannot be verified"
_AWAY = "the collector cannot be reached, so the credit of this key cannot be verified"
_ELSEWHERE = "the rest of this account's credit is reserved by running requests or on its way back from other edges"
RIDES_AFTER_S = 3.0
"""Renewals wait for a batch only if one went out within this time."""


class Credit:
    """The credit of one process: one wallet per purse, in one epoch of one node. A request waits `wait_s` for the collector."""

    def __init__(
        self,
        session: CollectorSession,
        tasks: Tasks,
        clock: Callable[[], float] = time.monotonic,
        *,
        key_version: int = 0,
        on_contact: Callable[[], None] = lambda: None,
        unix: Clock | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        limiter: RateLimiter | None = None,
        wait_s: float = COLD_WAIT_S,
    ) -> None:
        self._limiter, self._pause, self._wait_s = limiter or RateLimiter(clock), pause, wait_s
        self._session, self._tasks = session, tasks
        self.acquire_s = session.acquire_s
        self._clock, self._unix = clock, unix or Clock()
        self._key_cache = KeyCache(session, tasks, clock, wait_s)
        self.find = self._key_cache.find
        """The policy of a key that was looked up before, without asking."""
        self._wallets: dict[str, Wallet] = {}
        self._low: dict[str, Wallet] = {}
        self._pending: dict[str, PendingAcquire] = {}
        self._key_version = key_version
        self._on_contact = on_contact
        self._polled_s = self.contact_s = clock()
        """When the collector was last asked, and when the last question was asked that it answered."""
        self.problem = ""
        """Why the collector cannot be asked now."""
        self._batch_s = -RIDES_AFTER_S
        self.is_draining = False
        self._overage_nano = 0
        """What providers used beyond what was held for it, since the process began."""

    def __repr__(self) -> str:
        session, keys = self._session, self._key_cache.policies
        return f"<Credit {session.node}/{session.epoch} {len(self._wallets)} wallets, {len(keys)} keys>"

    @property
    def is_fenced(self) -> bool:
        """Whether a newer process of this node has taken over."""
        return self._session.is_fenced

    @property
    def revoked(self) -> str:
        """Why this node's token is refused as a revoked one; empty while it is not."""
        return self._session.revoked

    @property
    def calls_total(self) -> int:
        """Calls made to the collector about keys and credit so far."""
        return self._session.calls_total

    # The warm path.

    def hold(self, purse: str, amount_nano: int) -> bool:
        """Reserve exactly `amount_nano` nano-dollars of what this node has. An amount of 0 is always held."""
        if not amount_nano:
            return True
        wallet = self._wallets.get(purse)
        if wallet is None or self._session.is_fenced:
            return False
        now_s = self._clock()
        is_held = wallet.hold(amount_nano, now_s)
        if wallet.wants_renewal(now_s):
            self._renew(wallet, now_s)
        return is_held

    def hold_up_to(self, purse: str, min_nano: int, want_nano: int) -> int:
        """Reserve as much as this node has between the two; 0 when it has less than `min_nano` (which is at least 1)."""
        wallet = self._wallets.get(purse)
        if wallet is None or self._session.is_fenced:
            return 0
        now_s = self._clock()
        held_nano = wallet.hold_up_to(min_nano, want_nano, now_s)
        if wallet.wants_renewal(now_s):
            self._renew(wallet, now_s)
        return held_nano

    def has_some(self, purse: str) -> bool:
        """Whether this node has any credit of it that nobody holds."""
        wallet = self._wallets.get(purse)
        return wallet is not None and wallet.lease.free_nano > 0 and not self._session.is_fenced

    def settle(self, purse: str, hold_nano: int, cost_nano: int) -> None:
        """A hold ends, `cost_nano` of it is spent, the rest is free again."""
        if not hold_nano and not cost_nano:
            return
        now_s = self._clock()
        wallet = self._wallets.get(purse)
        if wallet is None:
            wallet = self._wallets[purse] = Wallet(purse, "", now_s)
        wallet.settle(hold_nano, cost_nano, now_s)
        if cost_nano > hold_nano:
            self._overage_nano += cost_nano - hold_nano

    def unsettle(self, records: Iterable[UsageRecord]) -> None:
        """The collector rejected these records: what their leases paid for them is free again, as it is there."""
        now_s = self._clock()
        for record in records:
            wallet = self._wallets.get(record.purse)
            if wallet is None:
                wallet = self._wallets[record.purse] = Wallet(record.purse, "", now_s)
            wallet.unsettle(record.hold_nano, record.cost_nano)

    def free(self) -> dict[str, int]:
        """What each purse could spend at once, in nano-dollars."""
        return {purse: wallet.lease.free_nano for purse, wallet in self._wallets.items()}

    def totals(self) -> dict[str, int]:
        """Sums over all purses, for metrics: free, held, overage in nano-dollars, and how many wallets and keys are known."""
        leases = [wallet.lease for wallet in self._wallets.values()]
        return {
            "free_nano": sum(lease.free_nano for lease in leases),
            "held_nano": sum(lease.held_nano for lease in leases),
            "overage_nano": self._overage_nano,
            "wallets": len(leases),
            "keys": len(self._key_cache.policies),
        }

    def lease_life_s(self, now_s: float) -> float:
        """For how long the wallet that ends first still admits without the collector; the whole life when there is none."""
        leases = [wallet.lease for wallet in self._wallets.values() if wallet.lease.free_nano]
        return min((lease.admit_until_s - now_s for lease in leases), default=LIFE_S)

    async def look_up(self, digest: str, has_mark: bool = True) -> Policy | None:
        """The policy of a key, asked of the collector; None: there is no such key. Raises Unreachable, within 500 ms."""
        return await self._key_cache.look_up(digest, has_mark)

    # Credit.

    async def hold_cold(self, policy: Policy, want_nano: int, min_nano: int) -> HoldAnswer:
        """Reserve between `min_nano` and `want_nano`, asking the collector when this node has too little; waits 500 ms at
        most."""
        if not want_nano:
            return HoldAnswer(0)
        want_nano, min_nano = max(want_nano, min_nano, 1), max(min_nano, 1)
        now_s = self._clock()
        until_s = now_s + self._wait_s
        wallet = self._wallets.get(policy.purse)
        if wallet is None:
            wallet = self._wallets[policy.purse] = Wallet(policy.purse, policy.digest, now_s)
        wallet.digest = policy.digest
        problem: Unreachable | None = None
        asked = refused = 0
        is_late = False
        while not self._is_closed:
            now_s = self._clock()
            takes_less = asked > 0 or wallet.lease.final or wallet.is_exhausted_for(want_nano, now_s)
            held_nano = self.hold_up_to(policy.purse, min_nano if takes_less else want_nano, want_nano)
            if held_nano:
                return HoldAnswer(held_nano)
            exhausted = wallet.exhausted
            if exhausted is not None and wallet.is_exhausted_for(min_nano, now_s):
                return HoldAnswer(None, exhausted.exhausted_by, exhausted.available_nano + wallet.lease.free_nano)
            if refused >= (RECALL_ASKS_MAX if is_elsewhere(wallet) else REFUSALS_MAX):
                return HoldAnswer(retry_after_s=1.0, reason=_ELSEWHERE)
            if refused and is_elsewhere(wallet):
                await self._pause(RECALL_PAUSE_S)
                until_s = self._clock() + self._wait_s
            if problem is not None or now_s >= until_s or now_s < wallet.retry_at_s:
                break
            pending = self._pending.get(policy.purse) or self._acquire_more(wallet)
            pending.join(want_nano, min_nano)
            await asyncio.wait({pending.task}, timeout=until_s - now_s)
            if not pending.task.done():
                is_late = True
                break
            problem, asked, refused = pending.problem, asked + 1, refused + pending.is_refused
        held_nano = self.hold_up_to(policy.purse, min_nano, want_nano)
        if held_nano:
            return HoldAnswer(held_nano)
        return HoldAnswer(retry_after_s=problem.retry_after_s if problem else 1.0, reason=_SILENT if is_late else _AWAY)

    @property
    def _is_closed(self) -> bool:
        return self._session.is_fenced or self.is_draining

    def _renew(self, wallet: Wallet, now_s: float) -> None:
        """Ask in the background: on the next usage batch if one is due, else by a call of its own."""
        if wallet.purse in self._pending or self._is_closed:
            return
        if wallet.ride_until_s == 0.0 and now_s - self._batch_s < RIDES_AFTER_S:
            wallet.ride_until_s = now_s + RIDE_S
            self._low[wallet.purse] = wallet
        if now_s >= wallet.ride_until_s:
            self._low.pop(wallet.purse, None)
            self._acquire_more(wallet)

    def renewals(self) -> tuple[Acquire, ...]:
        """The asks that ride on the usage batch which is made now."""
        now_s = self._batch_s = self._clock()
        if self._is_closed:
            return ()
        waiting, self._low = self._low, {}
        riding = [wallet for wallet in waiting.values() if wallet.wants_renewal(now_s) and wallet.purse not in self._pending]
        for wallet in riding:
            wallet.rode_s = now_s
        return tuple(self._acquire(wallet, 0, 1, now_s) for wallet in riding)

    def on_ack(self, ack: Ack) -> None:
        """What a usage batch brought: grants, balances, and keys to ask for anew."""
        for granted in ack.leases:
            wallet = self._wallets.get(granted.purse)
            if wallet is not None and wallet.ask is not None:
                wallet.grant(granted, wallet.rode_s)
        for balance in ack.balances:
            wallet = self._wallets.get(balance.purse)
            if wallet is not None and balance.available_nano > 0:
                wallet.exhausted = None
        for digest in ack.revoked:
            self._key_cache.policies.forget(digest)

    def _acquire(self, wallet: Wallet, want_nano: int, min_nano: int, now_s: float) -> Acquire:
        ask = wallet.next_ask(self._session.next_id(), want_nano, min_nano, now_s)
        return Acquire(self._session.node, self._session.epoch, ask.grant_id, ask.digest, ask.want_nano, ask.min_nano)

    def _acquire_more(self, wallet: Wallet) -> PendingAcquire:
        pending = self._pending[wallet.purse] = PendingAcquire()
        pending.task = self._tasks.spawn("credit: acquire", self._ask(wallet, pending))
        return pending

    async def _ask(self, wallet: Wallet, pending: PendingAcquire) -> None:
        try:
            if wallet.returning or wallet.expired_nano(self._clock()):
                await self._give_back(wallet)
            sent_s = self._clock()
            min_nano = max(pending.min_nano - wallet.lease.free_nano, 1)
            message = self._acquire(wallet, pending.want_nano, min_nano, sent_s)
            acquired = await self._session.acquire(message)
            self._key_cache.policies.learn(message.digest, acquired.policy, sent_s)
            pending.problem = self._absorb(wallet, pending, acquired, sent_s)
        except Unreachable as problem:
            pending.problem = problem
            wallet.ask_failed(self._clock())
        finally:
            del self._pending[wallet.purse]

    def _absorb(self, wallet: Wallet, pending: PendingAcquire, acquired: Acquired, sent_s: float) -> Unreachable | None:
        granted = acquired.granted
        if acquired.policy is None:
            return Unreachable("the key is gone", 1.0)
        if granted is None and not acquired.exhausted_by:
            return Unreachable("this key may not be used any more", 1.0)
        if granted is None:
            wallet.refuse(acquired.available_nano, acquired.exhausted_by, self._clock(), acquired.recalled_nano)
            pending.is_refused = True
        elif granted.purse == wallet.purse:
            wallet.grant(granted, sent_s)
        elif wallet.drop_ask(granted.grant_id):
            other = self._wallets.get(granted.purse) or Wallet(granted.purse, wallet.digest, sent_s)
            self._wallets[granted.purse] = other
            other.receive(granted, sent_s)
            return Unreachable("the key is paid from another purse now", 1.0)
        return None

    # Giving back.

    async def _give_back(self, wallet: Wallet) -> None:
        """All that is free, and what was not answered before. Raises Unreachable."""
        wallet.begin_return(self._session.next_id())
        for return_id in tuple(wallet.returning):
            await self._send_return(wallet, return_id)

    async def _send_return(self, wallet: Wallet, return_id: str) -> None:
        """Raises Unreachable; then the same return is sent again later."""
        amount_nano = wallet.returning.get(return_id)
        if amount_nano is not None:
            await self._session.give_back(return_id, wallet.purse, amount_nano)
            wallet.end_return(return_id)

    async def maintain(self) -> None:
        """Return what nobody uses, repeat returns that were not answered, renew what a batch did not, forget what is empty."""
        now_s = self._clock()
        try:
            for wallet in tuple(self._wallets.values()):
                if wallet.purse in self._pending:
                    continue
                # While the collector is away, what is idle may still be wanted here, and nobody else could have it.
                if wallet.returning or (not self.problem and wallet.idle_nano(now_s)):
                    await self._give_back(wallet)
                elif wallet.is_forgettable(now_s):
                    del self._wallets[wallet.purse]
                else:
                    self._renew_if_short(wallet, now_s)
        except Unreachable:
            pass

    def _renew_if_short(self, wallet: Wallet, now_s: float) -> None:
        wallet.check_cover(now_s)
        is_left_over = wallet.ride_until_s and now_s >= wallet.ride_until_s
        if (is_left_over or (wallet.is_short and not self.problem)) and wallet.wants_renewal(now_s):
            self._renew(wallet, now_s)

    async def poll(self) -> None:
        """Ask the collector what it has to say: return what it calls back, forget keys that changed, live on if it says so."""
        self._polled_s = sent_s = self._clock()
        sent_ns = time.time_ns()
        reports = self._limiter.reports.collect()
        try:
            polled = await self._session.poll(self._key_version, reports)
            self._unix.learn(polled.now_ms, sent_ns, time.time_ns())
        except Unreachable as problem:
            self.problem = str(problem)
            self._limiter.reports.mark_lost(reports)
            return
        self._limiter.reports.apply(reports, polled.limits)
        was_away, self.problem, self.contact_s = bool(self.problem), "", sent_s
        policies = self._key_cache.policies
        for digest in polled.changed:
            policies.forget(digest)
        self._key_version = polled.key_version
        policies.confirm(sent_s)
        if polled.is_newest:
            for wallet in self._wallets.values():
                wallet.confirm(sent_s)
        if was_away:
            self._on_contact()
        for purse in polled.recalled:
            await self._return_recalled(purse)

    async def _return_recalled(self, purse: str) -> None:
        wallet = self._wallets.get(purse)
        if wallet is None:
            return
        wallet.recall()
        try:
            await self._give_back(wallet)
        except Unreachable:
            pass  # `maintain` repeats it

    async def run(self) -> None:
        """Maintain and poll until `drain`."""
        while not self.is_draining:
            await asyncio.sleep(MAINTAIN_S)
            await self.maintain()
            if self._clock() - self._polled_s >= POLL_S - MAINTAIN_S / 2:
                await self.poll()

    async def drain(self, timeout_s: float = 5.0) -> bool:
        """Admit nothing more and give all free credit back; False when the collector could not be told in time."""
        self.is_draining = True
        try:
            async with asyncio.timeout(timeout_s):
                for wallet in tuple(self._wallets.values()):
                    await self._give_back(wallet)
        except (Unreachable, TimeoutError):
            return False
        return True


def is_elsewhere(wallet: Wallet) -> bool:
    """Whether what was refused may come free soon: from other nodes, or from requests that run here."""
    exhausted = wallet.exhausted
    return exhausted is not None and bool(exhausted.recalled_nano or wallet.lease.held_nano)
