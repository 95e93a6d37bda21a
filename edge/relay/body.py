"""Lets requests in and reads their bodies within bounds: size, progress, and what all together and each account may hold.

Rule: memory is claimed before bytes are kept, a declared length as soon as it is known, and given back whatever happens: of fifty
large bodies at once as many are served as there is room for, and the others know at once.
Rule: an account has at most SHARE times what is left free, so that it can have most of an idle edge, and nobody finds a full one.
Source of the bounds: `[limits]` in providers.toml, and the machine's memory (`edge.limits.capacity`).
"""

import asyncio
from io import BytesIO

from starlette.types import Receive

from edge.limits.capacity import AccountLoad
from edge.limits.live import LiveLimits
from edge.limits.overload import Overload
from edge.relay.context import RequestContext
from routing.plan.refusal import Denied, Refusal

DISCARD_BYTES_MAX = 64 * 1024 * 1024
DISCARD_S_MAX = 5.0
BODY_SHARE = 7
SMALL_BODY_BYTES = 65_536
"""An account whose share is taken by large bodies can still send these, as most bodies are."""
REQUEST_SHARE = 1
REQUESTS_MAX = 65_536


class CallerLeft(Exception):
    """The caller left before its request was complete."""


class Budget:
    """An amount that accounts share: a claim is granted while the claimant's whole is at most `share` times what stays free.

    Source: dynamic thresholds for shared buffers (Choudhury and Hahne, 1998), as switches have them.
    """

    __slots__ = ("_by_account", "_share", "held", "most")

    def __init__(self, most: int, share: float) -> None:
        self.most = most
        self.held = 0
        self._share = share
        self._by_account: dict[str, int] = {}

    def claim(self, account: str, amount: int, is_small: bool = False) -> bool:
        """Whether it was granted. `is_small`: it has a place as long as there is one, whatever else the account holds."""
        own = self._by_account.get(account, 0) + amount
        left = self.most - self.held - amount
        if left < 0 if is_small else own > self._share * left:
            return False
        self._by_account[account] = own
        self.held += amount
        return True

    def release(self, account: str, amount: int) -> None:
        self.held -= amount
        own = self._by_account[account] - amount
        if own:
            self._by_account[account] = own
        else:
            del self._by_account[account]


class MemoryBudget:
    """What the requests under way hold: body bytes, and each its place. `overload` refuses all while the process has trouble.

    Both amounts are shared as `Budget` shares one; they are kept together because a request has both. How much there is follows
    from `limits` and from what the machine has: `memory` bytes, and room for `requests_max`.
    """

    __slots__ = (
        *("_by_account", "_bytes_max", "_limits", "_machine", "_read", "_requests_max"),
        *("held_bytes", "held_requests", "overload"),
    )

    def __init__(
        self, limits: LiveLimits, memory: int, requests_max: int = REQUESTS_MAX, overload: Overload | None = None
    ) -> None:
        self._limits = limits
        self._machine = memory, requests_max
        self._reckon()
        self._by_account: dict[str, AccountLoad] = {}
        self.held_bytes = 0
        self.held_requests = 0
        self.overload = overload or Overload()

    def enter(self, context: RequestContext, account: str, declared: int | None = None) -> None:
        """A request of `account` begins, with a body of so many bytes; a large one is kept when it is about to be read. Denied,
        at once, when there is no room for it."""
        if self.overload.reason:
            raise Denied(overloaded(self.overload.reason))
        if self._limits.now is not self._read:
            self._reckon()
        held = self._by_account.get(account) or AccountLoad(account)
        requests = self.held_requests + 1
        if held.requests + 1 > REQUEST_SHARE * (self._requests_max - requests):
            raise Denied(_no_place())
        size = declared if declared is not None and declared <= SMALL_BODY_BYTES else 0
        if size and self.held_bytes + size > self._bytes_max:
            raise Denied(_no_room())
        held.requests += 1
        held.body_bytes += size
        self.held_requests = requests
        self.held_bytes += size
        self._by_account[account] = held
        context.admit(held, size)

    def keep(self, context: RequestContext, size: int) -> None:
        """So many bytes of its body are held."""
        if not size:
            return
        held, left = context.held, self._bytes_max - self.held_bytes - size
        assert held is not None
        whole = held.body_bytes + size
        if whole > BODY_SHARE * left and (left < 0 or context.body_bytes + size > SMALL_BODY_BYTES):
            raise Denied(_no_room())
        held.body_bytes = whole
        self.held_bytes += size
        context.claim(size)

    def _reckon(self) -> None:
        """The bounds anew, after a reload. What is held beyond them stays until it is given back."""
        memory, requests_max = self._machine
        limits = self._read = self._limits.now
        self._bytes_max = body_budget(limits.inflight_body_bytes_max, limits.body_bytes_max, memory)
        self._requests_max = min(requests_max, limits.open_requests_max)

    def leave(self, context: RequestContext) -> None:
        """The request is over."""
        held = context.held
        if held is None:
            return
        size = context.body_bytes
        held.body_bytes -= size
        held.requests -= 1
        self.held_bytes -= size
        self.held_requests -= 1
        if not held.requests:
            del self._by_account[held.account]
        context.release()


def body_budget(inflight_bytes_max: int, body_bytes_max: int, memory: int) -> int:
    """Bytes for all bodies: as configured, but at most a quarter of the memory, and enough for one body of the largest size."""
    return max(min(inflight_bytes_max, memory // 4), -(-body_bytes_max * (BODY_SHARE + 1) // BODY_SHARE))


def overloaded(why: str) -> Refusal:
    return Refusal(503, "overloaded", f"this edge cannot take the request now: {why}; try again", retry_after_s=1.0)


def _no_room() -> Refusal:
    return overloaded("it holds as many request bytes as it may")


def _no_place() -> Refusal:
    message = "this account has as many requests under way at this edge as its share; let some end, then try again"
    return Refusal(429, "too_many_requests", message, retry_after_s=1.0)


def too_large(bytes_max: int) -> Denied:
    return Denied(Refusal(413, "payload_too_large", f"the body is larger than the {bytes_max} bytes this edge takes"))


async def read_body(
    receive: Receive, context: RequestContext, in_flight: MemoryBudget, bytes_max: int, declared: int | None
) -> bytes:
    """The whole body. Denied: too large, or no room; CallerLeft. `context.body_bytes` is claimed for it."""
    if declared is not None and declared > bytes_max:
        raise too_large(bytes_max)
    context.begin_body()
    if declared is not None and declared > context.body_bytes:
        in_flight.keep(context, declared)
    # Not a list of pieces to be joined: joined they would be there twice, and tiny ones take several times their size.
    kept: BytesIO | None = None
    while (message := await receive())["type"] == "http.request":
        body: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) == declared and not more and kept is None:
            context.end_body()  # the usual case: one piece, as long as was said
            return body
        context.receive_bytes(len(body))
        if context.received_bytes > bytes_max:
            raise too_large(bytes_max)
        if context.received_bytes > context.body_bytes:
            in_flight.keep(context, context.received_bytes - context.body_bytes)
        if not more:
            context.end_body()
            if kept is None:
                return body
        if kept is None:
            kept = BytesIO()
        kept.write(body)
        if not more:
            return kept.getvalue()
    raise CallerLeft


async def discard_body(receive: Receive) -> None:
    """Take what a refused caller is still sending, and forget it: a connection closed under it would reset before it reads why.

    Bounded in bytes and time; a caller that goes on beyond them sees the reset.
    """
    size = 0
    try:
        async with asyncio.timeout(DISCARD_S_MAX):
            while size < DISCARD_BYTES_MAX:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
                size += len(message.get("body", b""))
    except TimeoutError:
        return
