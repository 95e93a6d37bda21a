"""What is said between the processes of a world and its collector, and all that can happen to it on the way."""

from collections.abc import Callable
from typing import Any

from edge.collector_client.outbox import OutboxCursor
from edge.credit.wallet import Wallet
from edge.journal.files.folder import EpochInUse
from tests.sim.edge import Process
from tests.sim.ground import Ground, Machine
from tests.sim.invariants import Violation
from usage.protocol import Acquire, Batch, Boot, Close, Poll, Polled, Refused, Return, Unreachable


class Injected(Exception):
    """Of no family that any caller knows."""


class Message:
    """Something under way: to the collector (`talk` awaits the answer) or back."""

    __slots__ = ("about", "body", "is_reply", "process", "sent_s", "talk", "wallet")

    def __init__(self, process: Process, talk: int, body: Any, sent_s: float, wallet: Wallet | None, is_reply: bool) -> None:
        self.process = process
        self.talk = talk
        self.body = body
        self.sent_s = sent_s
        self.wallet = wallet
        self.is_reply = is_reply
        self.about: Any = None


class Traffic(Ground):
    """Messages are delivered in any order, some twice, some never."""

    def __init__(self, seed: int, *, trace: bool = False) -> None:
        super().__init__(seed, trace=trace)
        self.net: list[Message] = []

    def begin_process(self, machine: Machine) -> Process:
        self.count += 1
        process = self.process_type(self.count, machine.node, machine.disk, lambda: self.now_s)
        machine.processes.append(process)
        self.home[process] = machine
        self.note(process, "starts")
        self.send(process, 0, process.boot)
        return process

    def send(self, process: Process, talk: int, body: Any, wallet: Wallet | None = None) -> None:
        message = Message(process, talk, body, self.now_s, wallet, False)
        if self.dice.random() < 0.5:
            self.arrive(message)
            if self.dice.random() < 0.9:
                self.arrive(self.net.pop())
        else:
            self.net.append(message)

    def send_acquire(self, process: Process, wallet: Wallet, demand_nano: int, min_nano: int) -> None:
        self.send(process, 0, process.acquire(wallet, demand_nano, min_nano), wallet)

    def give_back(self, process: Process, wallet: Wallet) -> None:
        wallet.begin_return(process.next_id())
        for return_id, amount_nano in tuple(wallet.returning.items()):
            body = Return(process.node, process.epoch, return_id, wallet.purse, amount_nano)
            self.send(process, 0, body, wallet)

    def tend(self) -> None:
        process = self.some_process()
        if process is None:
            return
        self.acted = process
        for wallet in list(process.wallets.values()):
            wallet.check_cover(self.now_s)
            if wallet.idle_nano(self.now_s) or wallet.returning:
                self.give_back(process, wallet)
            elif wallet.is_forgettable(self.now_s) and wallet.ask is None:
                del process.wallets[wallet.purse]
                process.forgotten_nano[wallet.purse] = process.forgotten_nano.get(wallet.purse, 0) + wallet.lease.granted_nano
            elif wallet.wants_renewal(self.now_s) and not process.is_fenced and not process.is_draining:
                self.send_acquire(process, wallet, 0, 1)

    def ship(self) -> None:
        process = self.some_process()
        if process is None:
            return
        for cursor in tuple(process.cursors):
            if id(cursor) not in process.busy:
                self.open_talk(process, cursor)

    def open_talk(self, process: Process, cursor: OutboxCursor) -> bool:
        """False when this cursor has nothing to say."""
        coroutine = self.within(process, lambda: process.speak(cursor))
        if coroutine is None:
            if cursor.waiting > 0 and not process.is_dead:
                raise Violation(f"{process} lives and serves, and nobody ships the {cursor.waiting} records that wait")
            return False
        self.count += 1
        process.talks[self.count] = coroutine
        process.busy[id(cursor)] = self.count
        self.go_on(process, self.count, lambda: coroutine.send(None))
        return True

    def go_on(self, process: Process, talk: int, move: Callable[[], Any]) -> None:
        """Move a coroutine of a process to its next message or its end."""
        try:
            body = self.within(process, move)
        except StopIteration:
            body = None
        except (OSError, Unreachable, Refused, Injected):
            body = None
        if body is not None:
            self.send(process, talk, body)
            return
        ended = process.talks.pop(talk, None)
        if ended is not None:
            ended.close()
        for cursor, busy in list(process.busy.items()):
            if busy == talk:
                del process.busy[cursor]
        if process.is_gone and not process.is_dead:
            self.retire(process)

    def retire(self, process: Process) -> None:
        self.note(process, "is closed")
        machine = self.home[process]
        process.die()
        machine.processes.remove(process)
        machine.disk.kill(process)

    def time_out(self) -> None:
        """A process stops waiting for an answer."""
        process = self.some_process()
        if process is None:
            return
        for wallet in process.wallets.values():
            if wallet.ask is not None and wallet.exhausted is None:
                wallet.ask_failed(self.now_s)
        if process.talks:
            talk = self.dice.choice(list(process.talks))
            self.give_up(process, talk)

    def kill_task(self) -> None:
        """The shipper's task dies of something nobody foresaw; whoever supervises it starts it again."""
        process = self.some_process()
        if process is not None and process.talks:
            talk = self.dice.choice(list(process.talks))
            coroutine = process.talks[talk]
            self.note(process, "a task dies")
            process.deaths += 1
            self.go_on(process, talk, lambda: coroutine.throw(Injected("nobody foresaw it")))

    def give_up(self, process: Process, talk: int) -> None:
        coroutine = process.talks[talk]
        self.go_on(process, talk, lambda: coroutine.throw(Unreachable("no answer")))

    def deliver(self) -> None:
        net = self.net
        if not net:
            return
        dice = self.dice
        at = int(dice.random() * len(net))
        message = net[at]
        roll = dice.random()
        if roll >= 0.08:
            net[at] = net[-1]
            net.pop()
        if roll < 0.92:
            self.arrive(message)

    def arrive(self, message: Message) -> None:
        if message.is_reply:
            self.arrive_at_edge(message)
            return
        self.collector.clock_ms = self.wall_ms + int(self.now_s * 1000)
        try:
            reply: Any = ANSWERS[type(message.body)](self.collector, message.body)
        except Refused as refused:
            reply = refused
        answer = Message(message.process, message.talk, reply, message.sent_s, message.wallet, True)
        answer.about = message.body
        self.net.append(answer)

    def arrive_at_edge(self, message: Message) -> None:
        process, reply = message.process, message.body
        if message.talk:
            coroutine = process.talks.get(message.talk)
            if coroutine is not None:
                if isinstance(reply, Refused):
                    self.go_on(process, message.talk, lambda: coroutine.throw(reply))
                else:
                    self.go_on(process, message.talk, lambda: coroutine.send(reply))
        elif process.is_dead:
            return
        elif isinstance(reply, Refused):
            process.is_fenced = process.is_fenced or reply.code == "fenced"
        elif isinstance(reply, Polled):
            self.on_polled(process, reply, message.sent_s)
        elif message.wallet is None:
            self.join(process, reply)
        else:
            self.answer_wallet(process, message)

    def answer_wallet(self, process: Process, message: Message) -> None:
        self.acted = process
        reply, wallet = message.body, message.wallet
        assert wallet is not None
        if process.wallets.get(wallet.purse) is not wallet:
            return
        granted = getattr(reply, "granted", None)
        if granted is not None:
            process.on_grant(granted, message.sent_s)
        elif hasattr(reply, "exhausted_by"):
            wallet.refuse(reply.available_nano, reply.exhausted_by, self.now_s, reply.recalled_nano)
        else:
            wallet.end_return(message.about.return_id)

    def poll(self) -> None:
        process = self.some_process()
        if process is not None:
            self.send_poll(process)

    def send_poll(self, process: Process) -> None:
        self.send(process, 0, Poll(process.node, process.epoch))

    def on_polled(self, process: Process, polled: Polled, sent_s: float) -> None:
        self.acted = process
        for purse in process.on_polled(polled, sent_s):
            self.give_back(process, process.wallets[purse])

    def join(self, process: Process, booted: Any) -> None:
        if process.journal is not None:
            return
        try:
            self.within(process, lambda: process.join(booted))
        except (EpochInUse, OSError):
            process.boots += 1
            process.disk.kill(process)


ANSWERS: dict[type, Callable[[Any, Any], Any]] = {
    Boot: lambda collector, body: collector.boot(body),
    Acquire: lambda collector, body: collector.acquire(body),
    Batch: lambda collector, body: collector.ingest(body),
    Return: lambda collector, body: collector.give_back(body),
    Close: lambda collector, body: collector.close(body),
    Poll: lambda collector, body: collector.poll(body),
}
