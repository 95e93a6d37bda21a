"""The end of a world: everything is healed, shipped and closed, and the books are compared with the truth."""

from edge.credit.wallet import Wallet
from tests.sim.edge import Generation, Process
from tests.sim.ground import PURSES
from tests.sim.invariants import Violation
from tests.sim.world import World

ROUNDS_MAX = 4000
POLLS_MAX = 8
"""How many polls what lies idle elsewhere may take to be here, lost answers of before included."""


def finish(world: World) -> None:
    """Heal, let everybody finish, and judge; raises Violation."""
    heal(world)
    reach(world)
    ship_all(world)
    compare_leases(world)
    for machine in world.machines:
        for process in list(machine.processes):
            world.kill_process(machine, process)
    for machine in world.machines:
        world.begin_process(machine)
        settle_down(world)
        for process in list(machine.processes):
            process.is_draining = True
            for wallet in process.wallets.values():
                world.give_back(process, wallet)
        settle_down(world)
    judge(world)


def heal(world: World) -> None:
    world.net.clear()
    for machine in world.machines:
        machine.disk.heal()


def ship_all(world: World) -> None:
    """Living processes give up waiting for answers that were lost, and ship what they have."""
    if world.has_lost_books:
        return
    for process in world.processes():
        for talk in list(process.talks):
            world.give_up(process, talk)
    settle_down(world)


def compare_leases(world: World) -> None:
    """Everything is shipped: each living edge believes of its leases that as much was spent as the collector does."""
    collector = world.collector
    if world.has_lost_books or world.has_restored_disk:
        return
    for process in world.processes():
        at = (process.node, process.epoch)
        if process.journal is None or process.is_draining or collector.newest[process.node] != process.epoch:
            continue
        if collector.epochs[at].state != "open" or process.journal.acked_through != process.journal.settled_seq:
            continue
        for purse, wallet in process.wallets.items():
            row = collector.lease_row(*at, purse)
            here_nano = wallet.lease.settled_nano + process.forgotten_nano.get(purse, 0)
            there_nano = row.settled_nano if row is not None else 0
            if here_nano != there_nano:
                raise Violation(f"out of step: {process} {wallet} has spent {here_nano}, the collector says {there_nano}")


def reach(world: World) -> None:
    """While nodes live, whoever is refused gets all that lies idle elsewhere, within a few polls."""
    if world.has_lost_books:
        return
    collector = world.collector
    living = [
        process
        for process in world.processes()
        if process.journal is not None and not process.is_draining and collector.newest[process.node] == process.epoch
    ]
    for process in living:
        process.is_fenced = False
        world.send_poll(process)
    for digest, account, _, limit_nano in PURSES:
        if limit_nano is None and living:
            reach_one(world, living, world.dice.choice(living).wallet(account, digest))
            settle_network(world)


def reach_one(world: World, living: list[Process], asker: Wallet) -> None:
    purses = [wallet for process in living for wallet in process.wallets.values()]
    others = [one for one in purses if one is not asker and one.purse.partition("/")[0] == asker.purse]
    least_nano = world.collector.tables.accounts[asker.purse].available_nano + sum(one.lease.free_nano for one in others)
    if least_nano <= 1:
        return
    (owner,) = (process for process in living if process.wallets.get(asker.purse) is asker)
    target_nano = asker.lease.free_nano + least_nano
    for _ in range(POLLS_MAX):
        settle_network(world)
        for process in living:
            world.send_poll(process)
        settle_network(world)
        for process in living:
            for wallet in process.wallets.values():
                if wallet.returning:
                    world.give_back(process, wallet)
        settle_network(world)
        missing_nano = max(target_nano - asker.lease.free_nano, 2)
        world.send_acquire(owner, asker, missing_nano, missing_nano)
        settle_network(world)
        if asker.lease.free_nano >= target_nano:
            return
    raise Violation(f"stranded: {asker} of {owner} has not got the {target_nano} that are free")


def settle_network(world: World) -> None:
    """Deliver all that is under way, in order."""
    for _ in range(ROUNDS_MAX):
        if not world.net:
            return
        world.arrive(world.net.pop(0))
    raise Violation("the network does not come to rest")


def settle_down(world: World) -> None:
    """Deliver and ship in a perfect world until nothing moves any more."""
    for _ in range(ROUNDS_MAX):
        while world.net:
            world.arrive(world.net.pop(0))
        is_still = True
        for process in world.processes():
            if process.journal is None:
                world.send(process, 0, process.boot)
                is_still = False
                continue
            if process.to_adopt:
                world.within(process, lambda one=process: world.recover(one))  # type: ignore[misc]
                is_still = False
            world.within(process, lambda one=process: world.make_durable(one))  # type: ignore[misc]
            for cursor in tuple(process.cursors):
                if id(cursor) not in process.busy and world.open_talk(process, cursor):
                    is_still = False
        if is_still and not world.net:
            return
    raise Violation("the world does not come to rest")


def judge(world: World) -> None:
    """Every generation once and at its price, every lease closed, every number there."""
    collector = world.collector
    world.check()
    collector.changed.update(collector.tables.accounts)
    collector.check()
    world.check_terms()
    if world.has_lost_books:
        return
    for (node, number), epoch in collector.epochs.items():
        if epoch.ahead:
            raise Violation(f"({node}, {number}) has a gap after {epoch.acked_through}")
    by_truth: dict[str, int] = {}
    for record in collector.records.values():
        if record.request_id in by_truth:
            raise Violation(f"{record.request_id} was charged twice")
        by_truth[record.request_id] = record.cost_nano
    for machine in world.machines:
        for generation in machine.generations.values():
            judge_one(generation, by_truth.get(generation.gen_id))
    for account, row in collector.tables.accounts.items():
        if row.available_nano != row.topped_nano - row.spent_nano and not world.has_restored_disk:
            raise Violation(f"{account} has credit in leases after everything was closed: {row}")


def judge_one(generation: Generation, charged_nano: int | None) -> None:
    """What one generation was charged, against what is known about it."""
    if generation.is_exempt:
        return
    if charged_nano is None:
        if generation.has_intent and (generation.is_intent_sure or not generation.is_doubtful):
            raise Violation(f"{generation} is lost")
        if generation.is_dispatched and not generation.has_intent:
            raise Violation(f"{generation} was dispatched without an intent")
        return
    last_nano = generation.marks[-1] if generation.marks else 0
    if not generation.is_doubtful:
        expected = last_nano if generation.final_nano is None else generation.final_nano
        if charged_nano != expected:
            raise Violation(f"{generation} was charged {charged_nano}, not {expected}")
    elif charged_nano not in (0, generation.final_nano, *generation.marks):
        raise Violation(f"{generation} was charged {charged_nano}, which it never cost")
