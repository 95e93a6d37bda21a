"""One operation of the API: method, path, who may call it, what goes in and comes out.

Rule: an operation is described by types, and served by them (`serving`): the query and the body are decoded into the types that
OpenAPI shows, the answer is one of the type it names.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request

from collector.api.caller import ApiCaller, ApiRole
from collector.api.problem import ApiError, missing
from collector.service import Collector
from collector.store.contract import Tx
from usage.flavor import Flavor


class Call(msgspec.Struct, frozen=True):
    """What an operation is given: the caller, what was sent, decoded, and the time. `entropy` makes repeated secrets the same."""

    caller: ApiCaller
    query: Any
    body: Any
    path: Mapping[str, str]
    now_ms: int
    collector: Collector
    entropy: bytes = b""
    raw: bytes = b""
    headers: Mapping[str, str] = {}

    @property
    def account(self) -> str:
        """The account that is meant; an operator has to name one."""
        if not self.caller.account:
            raise ApiError(400, "name the account: ?account=...", "missing_parameter", "account")
        return self.caller.account


class PlainAnswer(msgspec.Struct, frozen=True):
    """An answer that is not JSON."""

    content: bytes
    media_type: str
    filename: str = ""


class DeferredAnswer(msgspec.Struct, frozen=True):
    """An answer that has to be asked for elsewhere, after the transaction; `ask` blocks."""

    ask: Callable[[], Any]


class Operation(msgspec.Struct, frozen=True):
    """`roles` empty: nobody needs a key.

    `answer` is a Struct, or the media type of a PlainAnswer. `bases`: under which it is served.
    """

    method: str
    path: str
    summary: str
    roles: frozenset[ApiRole]
    handle: Callable[[Tx, Call], Any]
    answer: Any
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    status: int = 200
    has_effect: bool = False
    bases: tuple[str, ...] = (Flavor.OPENROUTER.value, Flavor.OPENAI.value)
    errors: tuple[int, ...] = ()
    patience_s: float = 0.0
    """How long a 404 waits for what may be on its way."""
    secret: Callable[[Tx, bytes, Any], str] | None = None
    """(store, entropy, the answer as it was kept) → the secret that was in the answer, made again."""
    check: Callable[[Collector, Request, bytes], Awaitable[None]] | None = None
    """Where `roles` are empty: (collector, request, body) are looked at before the store is asked for anything. ApiError."""


class NoMembers(msgspec.Struct, frozen=True):
    """A query or a body without members."""


class AccountQuery(msgspec.Struct, frozen=True):
    """`account` is for the operator alone; other keys have one."""

    account: str = ""


class Deleted(msgspec.Struct, frozen=True):
    deleted: bool


def check_account(tx: Tx, account: str) -> None:
    """ApiError 404: there is no such account, which an operator may have named."""
    if tx.row("SELECT account FROM accounts WHERE account = ?", account) is None:
        raise missing("account", "account")
