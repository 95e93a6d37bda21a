"""One purse on this node: its lease, the one open ask for more, and what is on its way back. No loop, no clock, no network.

Rule: a purse has at most one open grant id. It is repeated until it was granted, whatever became of the replies, and an answer
to any other id changes nothing: so no grant is applied twice, and none is left behind at the collector.
Rule: credit that is given back leaves the lease before the message is sent, and never comes back by itself.
Rule: admission life counts from the moment the granted request was sent, or a poll that the collector answered; an expired lease
admits nothing and keeps its credit.
Strategy: every method is a transition or a question about values and `now_s`, a monotonic time, so a simulator can drive it.
"""

from math import isqrt

import msgspec

from usage.lease import Lease
from usage.protocol import Granted

RECENT_S = 300.0
"""Over so long the mean of a purse's traffic is taken; of a younger purse over its age, but at least MEAN_S_MIN."""
MEAN_S_MIN = 60.0
LIFE_S = 900.0
"""The admission life that a lease is sized for, before the collector has named one."""
PARTIAL_S = 60.0
"""The collector gave less than was asked for: so long it is not asked again for the sake of an outage."""
IDLE_S = 600.0
IDLE_FINAL_S = 5.0
"""Where single requests are granted, unused credit goes back soon: another node may need it."""
RIDE_S = 1.5
"""How long a renewal waits for a usage batch to ride on before it becomes a call of its own."""
FLIGHT_S_MAX = 10.0
EXHAUSTED_S = 0.5
"""How long `exhausted` is believed without asking again."""
EXHAUSTED_RENEW_S = 2.0
BACKOFF_S_MIN, BACKOFF_S_MAX = 0.5, 30.0
COLD_RETRY_S = 0.25
CONFIRM_S = 30.0
"""A lease's life is moved on when it gains so much by it."""


class Ask(msgspec.Struct, frozen=True):
    """A request for credit that may be repeated with the same id until it is granted."""

    grant_id: str
    digest: str
    want_nano: int
    min_nano: int
    sent_s: float


class Exhausted(msgspec.Struct, frozen=True):
    """The collector's word that a purse cannot give more."""

    available_nano: int
    exhausted_by: str
    until_s: float
    recalled_nano: int = 0
    """What other nodes have of it and were asked to give back."""


class Wallet:
    """The credit of one purse on this node, and what is known about getting more."""

    __slots__ = (
        "ask",
        "backoff_s",
        "born_s",
        "digest",
        "exhausted",
        "held_peak_before_nano",
        "held_peak_nano",
        "is_short",
        "lease",
        "purse",
        "quiet_until_s",
        "renew_at_s",
        "retry_at_s",
        "returning",
        "ride_until_s",
        "rode_s",
        "short_at_s",
        "spends",
        "spends_before",
        "spent_before_nano",
        "spent_nano",
        "touched_s",
        "ttl_s",
        "window_s",
    )

    def __init__(self, purse: str, digest: str, now_s: float) -> None:
        self.purse = purse
        self.digest = digest
        self.lease = Lease(purse)
        self.ask: Ask | None = None
        self.exhausted: Exhausted | None = None
        self.returning: dict[str, int] = {}
        self.touched_s = self.window_s = now_s
        self.renew_at_s = self.quiet_until_s = self.retry_at_s = self.ride_until_s = self.rode_s = 0.0
        self.backoff_s = BACKOFF_S_MIN
        self.ttl_s = self.short_at_s = 0.0
        self.born_s = now_s
        self.is_short = False
        """Whether less is here than an admission life would spend: `look` says it."""
        self.spends = self.spends_before = 0
        self.spent_nano = self.spent_before_nano = self.held_peak_nano = self.held_peak_before_nano = 0

    def __repr__(self) -> str:
        lease = self.lease
        return f"<Wallet {self.purse} free {lease.free_nano} held {lease.held_nano} settled {lease.settled_nano}>"

    # Spending: the warm path.

    def hold(self, amount_nano: int, now_s: float) -> bool:
        """Reserve exactly `amount_nano`, or nothing."""
        lease = self.lease
        if now_s >= lease.admit_until_s or amount_nano > lease.granted_nano - lease.settled_nano - lease.held_nano:
            return False
        self.lease = lease = lease.after_hold(amount_nano)
        self.touched_s = now_s
        if lease.held_nano > self.held_peak_nano:
            self.held_peak_nano = lease.held_nano
        return True

    def hold_up_to(self, min_nano: int, want_nano: int, now_s: float) -> int:
        """Reserve as much as is free between the two; 0 when not even `min_nano` is."""
        assert 0 < min_nano <= want_nano
        amount_nano = min(self.lease.free_nano, want_nano)
        return amount_nano if amount_nano >= min_nano and self.hold(amount_nano, now_s) else 0

    def settle(self, hold_nano: int, cost_nano: int, now_s: float) -> None:
        """A hold ends in a charge."""
        self.lease = self.lease.after_settle(hold_nano, cost_nano)
        if now_s - self.window_s >= RECENT_S:
            self._turn(now_s)
        self.spent_nano += cost_nano
        self.spends += 1

    def unsettle(self, hold_nano: int, cost_nano: int) -> None:
        """The collector will never charge a settlement: it counts here no longer either."""
        self.lease = self.lease.after_rejection(hold_nano, cost_nano)

    def _turn(self, now_s: float) -> None:
        is_next = now_s - self.window_s < 2 * RECENT_S
        self.spent_before_nano = self.spent_nano if is_next else 0
        self.spends_before = self.spends if is_next else 0
        self.held_peak_before_nano = self.held_peak_nano if is_next else 0
        self.spent_nano = self.spends = 0
        self.held_peak_nano = self.lease.held_nano
        self.window_s = now_s

    # Getting more.

    def carry_nano(self, now_s: float) -> int:
        """What an admission life spends, by the mean of the last RECENT_S (this window, and the part of the one before that
        still counts), and the more on top the less so few requests say about it: two standard deviations of their number."""
        if now_s - self.window_s >= RECENT_S:
            self._turn(now_s)
        left_ms, recent_ms = int((RECENT_S - (now_s - self.window_s)) * 1000), int(RECENT_S * 1000)
        spent_nano = self.spent_nano + self.spent_before_nano * left_ms // recent_ms
        spends = self.spends + self.spends_before * left_ms // recent_ms
        if not spends:
            return 0
        over_ms = int(min(max(now_s - self.born_s, MEAN_S_MIN), RECENT_S) * 1000)
        mean_nano = spent_nano * int((self.ttl_s or LIFE_S) * 1000) // over_ms
        return mean_nano + 2 * mean_nano // isqrt(spends)

    def check_cover(self, now_s: float) -> None:
        """Is there enough for an outage that lasts as long as the lease lives?"""
        lease = self.lease
        may_ask = not lease.final and self.exhausted is None and now_s >= self.short_at_s
        self.is_short = may_ask and lease.free_nano < self.carry_nano(now_s)

    def wants_renewal(self, now_s: float) -> bool:
        """Whether the background should ask: too little left for a burst or an outage, or a third of the life, and nothing is on
        its way."""
        lease = self.lease
        is_low = lease.granted_nano - lease.settled_nano - lease.held_nano < lease.low_water_nano and not lease.final
        return (is_low or self.is_short or now_s >= self.renew_at_s) and now_s >= self.quiet_until_s

    def next_ask(self, proposed_id: str, demand_nano: int, min_nano: int, now_s: float) -> Ask:
        """The ask to send now: the open one repeated under its id, or a new one under `proposed_id`.

        Wanted is a lease that carries the purse through an admission life and a quarter, so that it is not asked for all the
        time; the recent peak of holds; and twice what is asked for just now. How much of it there is, the collector decides.
        """
        lease = self.lease
        want_nano = max(demand_nano, 1)
        if not lease.final:
            target_nano = self.carry_nano(now_s) * 5 // 4 + max(self.held_peak_nano, self.held_peak_before_nano)
            want_nano = max(2 * want_nano, target_nano - lease.free_nano)
        grant_id = self.ask.grant_id if self.ask is not None else proposed_id
        self.ask = Ask(grant_id, self.digest, want_nano, max(min(min_nano, want_nano), 1), now_s)
        self.quiet_until_s = now_s + FLIGHT_S_MAX
        return self.ask

    def grant(self, granted: Granted, sent_s: float) -> bool:
        """Apply a grant; False, and no change, when it is not the answer to the open ask (so: was applied before)."""
        if self.ask is None or granted.grant_id != self.ask.grant_id or granted.purse != self.purse:
            return False
        self.short_at_s = sent_s + PARTIAL_S if granted.granted_nano < self.ask.want_nano else 0.0
        self.ask = None
        self.receive(granted, sent_s)
        return True

    def drop_ask(self, grant_id: str) -> bool:
        """The open ask was granted to another purse (the key moved); False when it was not the open one."""
        is_open = self.ask is not None and self.ask.grant_id == grant_id
        if is_open:
            self.ask = None
            self._answered()
        return is_open

    def receive(self, granted: Granted, sent_s: float) -> None:
        """Add a grant that is known to be new."""
        until_s = sent_s + granted.ttl_s
        self.ttl_s = granted.ttl_s
        free_nano = self.lease.free_nano + granted.granted_nano
        low_water_nano = 0 if granted.final else max(granted.low_water_nano, free_nano * 3 // 10)
        self.lease = self.lease.after_grant(granted.granted_nano, until_s, low_water_nano, granted.final)
        self.renew_at_s = max(self.renew_at_s, until_s - granted.ttl_s / 3)
        self.exhausted = None
        self.is_short = False
        self.touched_s = max(self.touched_s, sent_s)
        self._answered()

    def confirm(self, sent_s: float) -> None:
        """The collector has answered a poll sent at `sent_s`: this epoch is in force, and with it the lease."""
        until_s = sent_s + self.ttl_s
        if until_s - self.lease.admit_until_s >= CONFIRM_S:
            self.lease = self.lease.after_confirmation(until_s)
            self.renew_at_s = max(self.renew_at_s, until_s - self.ttl_s / 3)

    def refuse(self, available_nano: int, exhausted_by: str, now_s: float, recalled_nano: int = 0) -> None:
        """The collector gives nothing. The ask stays open: its id was not used up."""
        self.exhausted = Exhausted(available_nano, exhausted_by, now_s + EXHAUSTED_S, recalled_nano)
        self._answered()
        self.is_short = False
        self.short_at_s = now_s + PARTIAL_S
        self.quiet_until_s = now_s + EXHAUSTED_RENEW_S

    def _answered(self) -> None:
        self.quiet_until_s = self.retry_at_s = self.ride_until_s = 0.0
        self.backoff_s = BACKOFF_S_MIN

    def ask_failed(self, now_s: float) -> None:
        """No answer came; the ask stays open and is repeated after a while."""
        self.quiet_until_s = now_s + self.backoff_s
        self.retry_at_s = now_s + COLD_RETRY_S
        self.ride_until_s = 0.0
        self.backoff_s = min(self.backoff_s * 2, BACKOFF_S_MAX)

    def is_exhausted_for(self, min_nano: int, now_s: float) -> bool:
        """Whether the collector said, a moment ago, that `min_nano` cannot be had: not with what is free here, nor with what
        running requests may leave, here or elsewhere, and other nodes give back."""
        exhausted = self.exhausted
        if exhausted is None or now_s >= exhausted.until_s:
            return False
        lease = self.lease
        return exhausted.available_nano + exhausted.recalled_nano + lease.free_nano + lease.held_nano < min_nano

    # Giving back.

    def idle_nano(self, now_s: float) -> int:
        """What should go back now because nobody has used it for a while; 0 while an ask is on its way."""
        if now_s < self.quiet_until_s and self.exhausted is None:
            return 0
        idle_s = IDLE_FINAL_S if self.lease.final else IDLE_S
        return self.lease.free_nano if now_s - self.touched_s >= idle_s else 0

    def expired_nano(self, now_s: float) -> int:
        """What an expired lease still has: it must go back before it can be granted anew."""
        return 0 if self.lease.is_admitting(now_s) else self.lease.free_nano

    def begin_return(self, return_id: str) -> int:
        """Take all that is free out of the lease; it is gone from here, whether or not the message arrives."""
        amount_nano = self.lease.free_nano
        if amount_nano:
            self.lease = self.lease.after_return(amount_nano)
            self.returning[return_id] = amount_nano
        return amount_nano

    def recall(self) -> None:
        """Somebody else waits for what is free here; `begin_return` follows."""
        self.lease = self.lease.after_recall()

    def end_return(self, return_id: str) -> None:
        """The collector has it."""
        self.returning.pop(return_id, None)

    def is_forgettable(self, now_s: float) -> bool:
        """Whether nothing is lost by dropping this value: no credit, no hold, no overage, nothing under way, long unused."""
        lease = self.lease
        is_empty = lease.granted_nano == lease.settled_nano and not lease.held_nano and not self.returning
        return is_empty and now_s - self.touched_s >= 2 * IDLE_S and now_s >= self.quiet_until_s
