"""How a request is authenticated where a key in a header is not enough: signed (AWS), or with a fetched token (Google, Entra).

Rule: a request never waits for a token that exists; what cannot be had is a failure of this attempt, before anything was sent.
Strategy: what signs is imported when the table first names it.
"""

import time
from collections.abc import Sequence
from typing import Protocol

from routing.failures.failure import AttemptFailed, Failure, Kind, Sent, Source
from routing.failures.redaction import Secret
from routing.table.provider import Provider


class TokenHolder(Protocol):
    """Who keeps the tokens (`edge.providers.tokens.TokenCache`)."""

    async def get(self, ref: str) -> str: ...


class ProviderAuth(Protocol):
    """`lines`: what is added to the head of one request. AttemptFailed: nothing can be.

    `secrets`: what stood in the last lines and may not be told.
    """

    @property
    def secrets(self) -> tuple[Secret, ...]: ...

    async def lines(self, host: str, target: str, body: Sequence[bytes | memoryview], method: str = "POST") -> bytes: ...


class BearerAuth:
    """A bearer token that is fetched ahead of time."""

    __slots__ = ("_ref", "_token", "_tokens", "secrets")

    def __init__(self, tokens: TokenHolder, ref: str) -> None:
        self._tokens = tokens
        self._ref = ref
        self._token = ""
        self.secrets: tuple[Secret, ...] = ()

    async def lines(self, host: str, target: str, body: Sequence[bytes | memoryview], method: str = "POST") -> bytes:
        from edge.providers.tokens import TokenError

        try:
            token = await self._tokens.get(self._ref)
        except TokenError as problem:
            detail = f"no token: {problem}"
            raise AttemptFailed(Failure(Kind.CONNECT, Source.UPSTREAM, Sent.NOTHING, detail=detail)) from problem
        if token != self._token:
            self._token, self.secrets = token, (Secret(token),)
        return f"authorization: Bearer {token}\r\n".encode("ascii")


class SigV4Auth:
    """AWS' Signature Version 4, over the body. The secret itself is never sent."""

    __slots__ = ("_signer",)
    secrets: tuple[Secret, ...] = ()

    def __init__(self, secret: str, region: str, service: str) -> None:
        """ValueError: the secret is no pair of keys."""
        from edge.providers.sigv4 import Signer, read_credentials

        self._signer = Signer(read_credentials(secret), region, service)

    async def lines(self, host: str, target: str, body: Sequence[bytes | memoryview], method: str = "POST") -> bytes:
        signed = self._signer.headers(method, host, target, body, time.time())
        return "".join([f"{name}: {value}\r\n" for name, value in signed]).encode("ascii")


def token_source(provider: Provider, secret: str | None) -> object:
    """Where the tokens of a provider with `auth = "google"` or `"entra"` come from. ValueError."""
    from edge.providers.tokens import ENTRA_SCOPE, ClientCredentials, MetadataServer, ServiceAccount

    if provider.auth == "entra":
        return ClientCredentials(secret or "", provider.auth_scope or ENTRA_SCOPE)
    return MetadataServer() if secret is None else ServiceAccount(secret)
