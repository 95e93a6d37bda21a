"""The edge's side of a lease: granted, settled, held; and the transitions between them, as values.

Rule: `settled + held <= granted` at every step. A settlement takes at most its hold from the lease; what a provider used beyond
that (overage) is paid by the account at the collector, never by a lease. So both ends take the same from a lease in whatever
order grants and settlements reach them, and no later grant is spent on it once more.
Rule: a lease never gives back by itself; credit leaves it by a settlement or a return.
"""

import msgspec


def leased_part(hold_nano: int, cost_nano: int) -> int:
    """How much of a generation's cost its lease pays, at the edge and at the collector; the rest is overage."""
    return min(hold_nano, cost_nano)


class Lease(msgspec.Struct, frozen=True, gc=False):
    """Credit of one purse on this node, in nano-dollars. `admit_until_s` is on the caller's monotonic clock."""

    purse: str
    granted_nano: int = 0
    settled_nano: int = 0
    held_nano: int = 0
    admit_until_s: float = 0.0
    low_water_nano: int = 0
    final: bool = False

    @property
    def free_nano(self) -> int:
        """What a new hold may take; never negative."""
        return self.granted_nano - self.settled_nano - self.held_nano

    def is_admitting(self, now_s: float) -> bool:
        return now_s < self.admit_until_s

    def after_grant(self, amount_nano: int, admit_until_s: float, low_water_nano: int, final: bool) -> "Lease":
        """More credit, and a later end of the admission life (never an earlier one: answers may arrive out of order)."""
        assert amount_nano >= 0
        return Lease(
            self.purse,
            self.granted_nano + amount_nano,
            self.settled_nano,
            self.held_nano,
            max(self.admit_until_s, admit_until_s),
            low_water_nano,
            final,
        )

    def after_confirmation(self, admit_until_s: float) -> "Lease":
        """The collector has said again that this credit is ours."""
        return msgspec.structs.replace(self, admit_until_s=max(self.admit_until_s, admit_until_s))

    def after_recall(self) -> "Lease":
        """Somebody else is refused for want of it: from now on single requests are asked for."""
        return msgspec.structs.replace(self, low_water_nano=0, final=True)

    def after_hold(self, amount_nano: int) -> "Lease":
        """Reserve; the caller has checked `free_nano` and `is_admitting`."""
        assert 0 <= amount_nano <= self.granted_nano - self.settled_nano - self.held_nano
        return Lease(
            self.purse,
            self.granted_nano,
            self.settled_nano,
            self.held_nano + amount_nano,
            self.admit_until_s,
            self.low_water_nano,
            self.final,
        )

    def after_settle(self, hold_nano: int, cost_nano: int) -> "Lease":
        """The hold ends and becomes a charge of at most itself; what is left of the hold is free again."""
        assert 0 <= hold_nano <= self.held_nano
        assert cost_nano >= 0
        return Lease(
            self.purse,
            self.granted_nano,
            self.settled_nano + leased_part(hold_nano, cost_nano),
            self.held_nano - hold_nano,
            self.admit_until_s,
            self.low_water_nano,
            self.final,
        )

    def after_rejection(self, hold_nano: int, cost_nano: int) -> "Lease":
        """The collector refused the record of a settlement, and charged nothing: what the lease paid for it is free again."""
        return msgspec.structs.replace(self, settled_nano=self.settled_nano - leased_part(hold_nano, cost_nano))

    def after_return(self, amount_nano: int) -> "Lease":
        """Give credit back that is neither settled nor held."""
        assert 0 <= amount_nano <= self.free_nano
        return Lease(
            self.purse,
            self.granted_nano - amount_nano,
            self.settled_nano,
            self.held_nano,
            self.admit_until_s,
            self.low_water_nano,
            self.final,
        )
