"""The end of a world: everything is healed, shipped and closed, and the books are compared with the truth."""

from tests.sim.books import Violation
from tests.sim.edge import Generation
from tests.sim.world import World

ROUNDS_MAX = 4000


def finish(world: World) -> None:
    """Heal, let everybody finish, and judge; raises Violation."""
    heal(world)
    for machine in world.machines:
        for process in list(machine.processes):
            world.bury(machine, process)
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
            for lane in tuple(process.lanes):
                if id(lane) not in process.busy and world.open_talk(process, lane):
                    is_still = False
        if is_still and not world.net:
            return
    raise Violation("the world does not come to rest")


def judge(world: World) -> None:
    """Every generation once and at its price, every lease closed, every number there."""
    office = world.office
    world.check()
    office.changed.update(office.tables.accounts)
    office.check()
    world.check_terms()
    if world.has_lost_books:
        return
    for (node, number), epoch in office.epochs.items():
        if epoch.ahead:
            raise Violation(f"({node}, {number}) has a gap after {epoch.acked_through}")
    by_truth: dict[str, int] = {}
    for record in office.records.values():
        if record.request_id in by_truth:
            raise Violation(f"{record.request_id} was charged twice")
        by_truth[record.request_id] = record.cost_nano
    for machine in world.machines:
        for generation in machine.generations.values():
            judge_one(generation, by_truth.get(generation.gen_id))
    for account, row in office.tables.accounts.items():
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
