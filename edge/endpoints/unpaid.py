"""Whose turn it is among requests that nobody pays for: pages, and what is asked of accounts.

Rule: they share one account's turns beside those who pay (`edge.limits.fair_start`), and take them by address: a flood from one
waits behind itself. Rule: what a load balancer asks (health) and what is refused without a look-up waits for nothing; a paid
request waits by its own account, in its relay.
Limits: behind a balancer whose header is not trusted all callers have its address.
"""

from collections.abc import Callable
from time import monotonic

from starlette.types import ASGIApp, Receive, Scope, Send

from edge.downstream import CALLER
from edge.limits.fair_start import FairStart
from edge.relay.body import overloaded
from edge.relay.response.own import send_refusal
from routing.plan.refusal import Denied

UNPAID = "/"
"""In place of an account's name, which none can have."""
_FULL = overloaded("more requests of this address wait than it may have")


class FairApp:
    """An application whose requests wait for their turn. `address_of`: where one comes from."""

    def __init__(self, app: ASGIApp, starts: FairStart, address_of: Callable[[Scope], str]) -> None:
        self.app = app
        self._starts = starts
        self._address_of = address_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        now_s = monotonic()
        if scope["type"] == "http" and self._starts.is_late(now_s):
            try:
                await self._starts.wait(UNPAID, self._address_of(scope), now_s)
            except Denied:
                await send_refusal(send, _FULL, scope, [])
                return
            caller = scope.get("extensions", {}).get(CALLER)
            if caller is not None and caller.is_gone:
                return
        await self.app(scope, receive, send)
