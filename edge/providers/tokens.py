"""OAuth tokens for providers, kept fresh: Google's service accounts and metadata server, Entra's client credentials.

Rule: a token is fetched again when five sixths of its life are over, by one supervised task for all of them; a request that has
one takes it and never waits. Only where there is none is it waited for, by all who need it for one fetch.
Rule: what cannot be fetched is tried again, soon at first and then every RETRY_S_MAX; the token that is there is used to its end.
Limits: RS256 needs `cryptography` (extra `vertex`); it is imported when a service account is used. No secret is in any message.
Source: RFC 7523, RFC 6749; Google's pages on service accounts and on the metadata server; Microsoft's on client credentials.
"""

import asyncio
import base64
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlencode

import orjson

log = logging.getLogger("tollway.tokens")
GOOGLE_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
METADATA_URL: Final = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"
ENTRA_URL: Final = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
ENTRA_SCOPE: Final = "https://cognitiveservices.azure.com/.default"
ASSERTION_LIFE_S: Final = 3_600
FRESH_SHARE: Final = 5 / 6
"""Of a token's life, after which it is fetched again."""
RETRY_S_MIN, RETRY_S_MAX = 0.5, 30.0
LEEWAY_S: Final = 10.0
"""A token is not used in the last seconds of its life: the provider's clock is another one."""
FETCH_TIMEOUT_S: Final = 10.0

_FORM: Final = "application/x-www-form-urlencoded"


class TokenError(Exception):
    """No token was given; the message says why, without any secret."""


class TokenRequest(NamedTuple):
    """How a token is asked for."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""


class TokenSource(Protocol):
    """Where tokens of one kind come from. `request` is made for each fetch: an assertion has a time in it."""

    @property
    def name(self) -> str:
        """For logs."""

    def request(self, now_unix_s: float) -> TokenRequest: ...


class ServiceAccount:
    """A Google service account, as its key file says it."""

    def __init__(self, key_file: str, scope: str = GOOGLE_SCOPE) -> None:
        """ValueError: it is no such file."""
        try:
            document = orjson.loads(key_file)
            self.name = str(document["client_email"])
            self._key_id = str(document.get("private_key_id", ""))
            self._token_uri = str(document.get("token_uri", "https://oauth2.googleapis.com/token"))
            pem = str(document["private_key"]).encode()
        except (ValueError, KeyError, TypeError):
            raise ValueError("no key file of a Google service account: it has client_email, private_key and token_uri") from None
        self._scope = scope
        self._sign = _rs256(pem)

    def assertion(self, now_unix_s: float) -> str:
        """A signed JWT that says who asks, for an hour."""
        issued = int(now_unix_s)
        header = {"alg": "RS256", "typ": "JWT"} | ({"kid": self._key_id} if self._key_id else {})
        claims = {
            "iss": self.name,
            "scope": self._scope,
            "aud": self._token_uri,
            "iat": issued,
            "exp": issued + ASSERTION_LIFE_S,
        }
        signed = f"{_base64url(_compact(header))}.{_base64url(_compact(claims))}"
        return f"{signed}.{_base64url(self._sign(signed.encode()))}"

    def request(self, now_unix_s: float) -> TokenRequest:
        grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
        body = urlencode({"grant_type": grant, "assertion": self.assertion(now_unix_s)}).encode()
        return TokenRequest("POST", self._token_uri, {"content-type": _FORM}, body)


class MetadataServer:
    """The account that a machine of Google's runs as."""

    name = "metadata server"

    def __init__(self, url: str = METADATA_URL) -> None:
        self._url = url

    def request(self, now_unix_s: float) -> TokenRequest:
        return TokenRequest("GET", self._url, {"metadata-flavor": "Google"})


class ClientCredentials:
    """An application of Microsoft Entra."""

    def __init__(self, secret: str, scope: str = ENTRA_SCOPE, url: str = ENTRA_URL) -> None:
        """`secret`: `TENANT:CLIENT_ID:CLIENT_SECRET`. ValueError."""
        tenant, _, rest = secret.strip().partition(":")
        client, _, client_secret = rest.partition(":")
        if not tenant or not client or not client_secret:
            raise ValueError("Entra's credentials are written as TENANT:CLIENT_ID:CLIENT_SECRET")
        self.name = client
        self._url = url.format(tenant=tenant)
        self._form = {
            "grant_type": "client_credentials",
            "client_id": client,
            "client_secret": client_secret,
            "scope": scope,
        }

    def request(self, now_unix_s: float) -> TokenRequest:
        return TokenRequest("POST", self._url, {"content-type": _FORM}, urlencode(self._form).encode())


Fetch = Callable[[TokenRequest], Awaitable[tuple[int, bytes]]]
"""Asks for a token; (status, body)."""


class Token:
    """One token that is kept. `error` is why the last fetch gave none."""

    __slots__ = ("error", "expires_s", "fetching", "pause_s", "refresh_s", "source", "text")  # fmt: skip

    def __init__(self, source: TokenSource) -> None:
        self.source = source
        self.text = ""
        self.expires_s = self.refresh_s = 0.0
        """Seconds of the clock; `refresh_s` 0: now."""
        self.pause_s = RETRY_S_MIN
        self.error = ""
        self.fetching: asyncio.Future[None] | None = None


class TokenCache:
    """All tokens of a node, by their reference in the table."""

    def __init__(
        self, fetch: Fetch | None = None, *, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._fetch = fetch or _fetch_with_httpx
        self._clock = clock
        self._wall = wall
        self._tokens: dict[str, Token] = {}
        self._changed = asyncio.Event()

    def keep(self, sources: Mapping[str, TokenSource]) -> None:
        """These from now on; what is known of those that stay is kept."""
        known = self._tokens
        self._tokens = {
            ref: known[ref] if ref in known and known[ref].source is source else Token(source) for ref, source in sources.items()
        }
        self._changed.set()

    def current(self, ref: str) -> str:
        """The token that is there; "" when there is none that is still good."""
        token = self._tokens.get(ref)
        return token.text if token is not None and self._clock() < token.expires_s - LEEWAY_S else ""

    async def get(self, ref: str) -> str:
        """The token; waits only where there is none, for a fetch that all who wait share. TokenError."""
        if found := self.current(ref):
            return found
        token = self._tokens.get(ref)
        if token is None:
            raise TokenError(f"{ref} is no token's reference")
        await self._renew(token)
        if found := self.current(ref):
            return found
        raise TokenError(token.error or f"{token.source.name} gave no token")

    async def run(self) -> None:
        """Keeps them fresh: the one task, supervised by its owner."""
        while True:
            self._changed.clear()
            now_s = self._clock()
            due = [token for token in self._tokens.values() if token.refresh_s <= now_s]
            await asyncio.gather(*[self._renew(token) for token in due])
            next_s = min((token.refresh_s for token in self._tokens.values()), default=None)
            wait_s = None if next_s is None else max(next_s - self._clock(), 0.0)
            try:
                await asyncio.wait_for(self._changed.wait(), wait_s)
            except TimeoutError:
                continue

    async def _renew(self, token: Token) -> None:
        """One fetch at a time; whoever comes while it runs waits for that one."""
        if token.fetching is not None:
            await asyncio.shield(token.fetching)
            return
        token.fetching = asyncio.get_running_loop().create_future()
        try:
            await self._renew_alone(token)
        finally:
            token.fetching.set_result(None)
            token.fetching = None

    async def _renew_alone(self, token: Token) -> None:
        try:
            asked_s = self._clock()
            status, body = await self._fetch(token.source.request(self._wall()))
            text, life_s = _read_token(status, body)
        except (TokenError, OSError, TimeoutError) as problem:
            token.error = str(problem) or type(problem).__name__
            token.refresh_s = self._clock() + token.pause_s
            token.pause_s = min(token.pause_s * 2, RETRY_S_MAX)
            log.warning("no new token for %s: %s", token.source.name, token.error)
            return
        token.text, token.error, token.pause_s = text, "", RETRY_S_MIN
        token.expires_s = asked_s + life_s
        token.refresh_s = asked_s + life_s * FRESH_SHARE


def _read_token(status: int, body: bytes) -> tuple[str, float]:
    """(token, its life in seconds) of an answer. TokenError."""
    try:
        document: Any = orjson.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise TokenError(f"answered with status {status} and no JSON")
    text, life_s = document.get("access_token"), document.get("expires_in")
    if status != 200 or not isinstance(text, str) or not text:
        # The words of `error_description` may repeat what was sent.
        raise TokenError(f"answered with status {status} ({str(document.get('error', 'no access_token'))[:80]})")
    try:
        return text, max(float(life_s or 0), LEEWAY_S * 2)
    except (TypeError, ValueError):
        raise TokenError("answered with a token of no known life") from None


async def _fetch_with_httpx(request: TokenRequest) -> tuple[int, bytes]:
    import httpx

    try:
        async with httpx.AsyncClient(timeout=FETCH_TIMEOUT_S) as client:
            answer = await client.request(request.method, request.url, headers=dict(request.headers), content=request.body)
    except httpx.HTTPError as problem:
        raise TokenError(f"could not be asked: {type(problem).__name__}") from None
    return answer.status_code, answer.content


def _compact(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _rs256(pem: bytes) -> Callable[[bytes], bytes]:
    """What signs with this key. ValueError."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import padding, rsa
    except ImportError:
        raise ValueError("a service account needs the package 'cryptography': pip install 'tollway[vertex]'") from None
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("the private_key of the service account cannot be read") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("the private_key of the service account is no RSA key")
    return lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256())
