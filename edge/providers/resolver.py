"""How requests reach one endpoint of one provider with one key: all that is the same for each of them, made once.

Rule: a key is in a head or in what signs it, and in `secrets`, by which what a provider answers is redacted; nowhere else.
Strategy: the transports, tokens and their sources are this process's, and outlive a table.
"""

import asyncio
import os
import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, cast

import msgspec

from edge.providers.auth import BearerAuth, ProviderAuth, SigV4Auth, token_source
from edge.providers.echo import EchoUpstream
from edge.upstream import Target, Upstream
from routing.failures.redaction import Secret
from routing.table.endpoint import CHAT, Endpoint
from routing.table.provider import Provider
from routing.wire.headers import upstream_head_prefix

if TYPE_CHECKING:
    from edge.providers.tokens import TokenCache, TokenSource

_SENSITIVE: Final = re.compile(r"key|token|secret|auth|cookie|credential|password", re.IGNORECASE)


class ResolvedEndpoint(msgspec.Struct, frozen=True):
    """How requests reach one provider with one key: `head` is the request's head up to the value of content-length."""

    upstream: Upstream
    target: Target
    head: bytes
    secrets: tuple[Secret, ...] = ()
    """What stands in the head and may not be told."""
    auth: ProviderAuth | None = None
    """What else lets a request in, beside its head."""
    authority: str = ""
    path: str = ""
    """Host and path, as they are signed."""
    models_path: str = ""
    """Where the provider lists its models."""
    format_lines: bytes = b""
    """Headers that its format needs and that a caller of the same format may say otherwise."""


class LazyUpstream:
    """The httpx transport, imported when a provider first asks for it: most never do, and it is several megabytes."""

    def __init__(self) -> None:
        self._upstream: Upstream | None = None

    def get(self) -> Upstream:
        if self._upstream is None:
            from edge.upstream.httpx_transport import HttpxUpstream

            self._upstream = HttpxUpstream()
        return self._upstream

    async def aclose(self) -> None:
        if self._upstream is not None:
            await self._upstream.aclose()


class EndpointResolver:
    """`certificates`: what the certificate files of the table in force have in them, as a digest by their path."""

    def __init__(self, native: Upstream, httpx_upstream: LazyUpstream) -> None:
        self.certificates: dict[str, str] = {}
        self._upstreams = {"native": native, "echo": EchoUpstream()}
        self._httpx = httpx_upstream
        self._salt = os.urandom(16)
        self._tokens: TokenCache | None = None
        self._needs_tokens = asyncio.Event()
        self._token_sources: dict[str, TokenSource] = {}
        """With those of tables before."""

    def digest(self, secret: str) -> str:
        """Tells keys apart without telling them."""
        return blake2b(secret.encode(), digest_size=8, key=self._salt).hexdigest()

    def resolve(
        self, provider: Provider, secret: str | None, endpoint: Endpoint = CHAT, model: str = "", is_stream: bool = False
    ) -> ResolvedEndpoint:
        """ValueError: the secret is none of the kind that the provider's authentication takes."""
        base = endpoint.base_url or provider.base_url
        target = Target(
            base.scheme,
            base.host,
            base.port,
            provider.connect_timeout_s,
            provider.keepalive_s,
            provider.verify,
            provider.ca_file,
            provider.proxy,
            provider.http2,
            self.certificates.get(provider.ca_file or "", ""),
        )
        is_httpx, kind = provider.transport == "httpx", "echo" if provider.dialect == "echo" else "native"
        upstream = self._httpx.get() if is_httpx else self._upstreams[kind]
        auth = None if provider.auth == "key" else self._auth(provider, secret)
        sensitive = [value for name, value in provider.extra_headers if _SENSITIVE.search(name)]
        secrets = tuple(Secret(value) for value in (secret, *sensitive) if value)
        shown = secret if auth is None else None
        head = upstream_head_prefix(provider, shown, endpoint=endpoint, model=model, is_stream=is_stream)
        path = base.path + endpoint.target(model, is_stream=is_stream)
        return ResolvedEndpoint(upstream, target, head, secrets, auth, base.authority, path, f"{base.path}/models", endpoint.head)

    def _auth(self, provider: Provider, secret: str | None) -> ProviderAuth:
        """ValueError: the secret is none of that kind."""
        if provider.auth == "sigv4":
            return SigV4Auth(secret or "", provider.region, provider.service)
        from edge.providers.tokens import TokenCache

        self._tokens = self._tokens or TokenCache()
        self._needs_tokens.set()
        ref = f"{provider.name} {self.digest(secret or '')}"
        if ref not in self._token_sources:
            self._token_sources[ref] = cast("TokenSource", token_source(provider, secret))
            self._tokens.keep(self._token_sources)
        return BearerAuth(self._tokens, ref)

    async def keep_tokens(self) -> None:
        """Fetch tokens ahead of time, if any are needed, until cancelled."""
        await self._needs_tokens.wait()
        assert self._tokens is not None
        await self._tokens.run()
