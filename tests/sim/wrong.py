"""Worlds with one deliberate mistake each. A simulator that does not catch them proves nothing."""

from edge.credit.wallet import Wallet
from tests.sim.edge import Generation, Process
from tests.sim.invariants import WatchedCollector
from tests.sim.world import World
from tests.sim.wrong_collector import (
    AckedBeforeCommit,
    BackAtExpiry,
    CountedTwice,
    EpochNotInKey,
    GrantedAgain,
    GrantedBeyond,
    LeaseSettledAgain,
    NeverFenced,
    OverageFromTheLease,
    RefusedOnly,
)
from tests.sim.wrong_edge import (
    AckedWhenSent,
    ChargedTwiceAtEdge,
    ClosedTooEarly,
    DeafToRecalls,
    GrantAppliedAgain,
    GrantAskedAnew,
    HoldsForgotten,
    LateProcess,
    LifeFromPoll,
    LifeFromReceipt,
    NotSupervised,
    OldLeaseKept,
    OrphanChargedTwice,
    OverageSwallowed,
    PricedInFloats,
    ReturnedStillSpendable,
    ShippedBeforeDurable,
)


def variant(
    name: str,
    *,
    process: type[Process] = Process,
    collector: type[WatchedCollector] = WatchedCollector,
    wallet: type[Wallet] | None = None,
) -> type[World]:
    """A world with this mistake in it."""
    chosen = process if wallet is None else type(f"{name}Process", (process,), {"wallet_type": wallet})
    return type(name, (World,), {"process_type": chosen, "collector_type": collector})


class Late(World):
    """Wallets here look at the clock when an answer comes."""

    process_type = LateProcess

    def __init__(self, seed: int, *, trace: bool = False) -> None:
        LifeFromReceipt.clock = staticmethod(lambda: self.now_s)
        super().__init__(seed, trace=trace)


class Forward(World):
    """The bytes leave before the intent is written."""

    def dispatch(self, process: Process, generation: Generation) -> None:
        generation.is_dispatched = True
        self.home[process].generations[generation.gen_id] = generation
        super().dispatch(process, generation)


VARIANTS: dict[str, type[World]] = {
    "old lease spent after a crash": variant("OldLease", process=OldLeaseKept),
    "lease key without epoch": variant("NoEpoch", collector=EpochNotInKey),
    "no deduplication": variant("Twice", collector=CountedTwice),
    "lease settled again by a repeated record": variant("Again", collector=LeaseSettledAgain),
    "give-back at expiry": variant("Expiry", collector=BackAtExpiry),
    "shipped before durable": variant("Volatile", process=ShippedBeforeDurable),
    "acknowledged before durable": variant("Early", collector=AckedBeforeCommit),
    "acknowledged when sent": variant("Sent", process=AckedWhenSent),
    "orphan charged twice": variant("Orphan", process=OrphanChargedTwice),
    "settled twice at the edge": variant("Double", process=ChargedTwiceAtEdge),
    "float money": variant("Float", process=PricedInFloats),
    "grant_id not idempotent at the collector": variant("Grants", collector=GrantedAgain),
    "grant applied twice at the edge": variant("Applied", wallet=GrantAppliedAgain),
    "lost grant asked for under a new id": variant("Anew", wallet=GrantAskedAnew),
    "returned credit still spendable": variant("Returned", wallet=ReturnedStillSpendable),
    "admission life from receipt": Late,
    "holds not counted": variant("Holds", wallet=HoldsForgotten),
    "grants to an old epoch": variant("Unfenced", collector=NeverFenced),
    "epoch closed before it was shipped": variant("Closed", process=ClosedTooEarly),
    "granted more than debited": variant("Beyond", collector=GrantedBeyond),
    "dispatched before its intent": Forward,
    "overage swallows the next grants": variant("Swallowed", wallet=OverageSwallowed),
    "refusal that calls nothing back": variant("Refused", collector=RefusedOnly),
    "task that dies for good": variant("Dead", process=NotSupervised),
    "recall not heard": variant("Deaf", process=DeafToRecalls),
    "life from the answer to a poll": variant("Polled", process=LifeFromPoll),
    "overage taken from the lease": variant("FromLease", collector=OverageFromTheLease),
}
