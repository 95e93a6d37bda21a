"""Tokens are there before they are needed: fetched ahead of time by one task, shared by all who wait, kept to their end."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from edge.providers.tokens import ClientCredentials, MetadataServer, ServiceAccount, TokenCache, TokenError, TokenRequest
from edge.tasks import Tasks
from tests.patience import PATIENCE_S

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: Any = KEY) -> str:
    form = serialization.PrivateFormat.PKCS8
    return str(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode())


def key_file(**more: Any) -> str:
    known = {"client_email": "a@b.test", "private_key": pem(), "private_key_id": "k1", "token_uri": "https://token.test/t"}
    return json.dumps(known | more)


def decoded(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_assertion_is_signed_and_says_who_asks() -> None:
    """Checked with the public key; another signature is not accepted."""
    assertion = ServiceAccount(key_file()).assertion(1_764_000_000.9)
    header, claims, signature = assertion.split(".")
    assert decoded(header) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    assert decoded(claims) == {
        "iss": "a@b.test",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": "https://token.test/t",
        "iat": 1_764_000_000,
        "exp": 1_764_003_600,
    }
    raw = base64.urlsafe_b64decode(signature + "==")
    KEY.public_key().verify(raw, f"{header}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
    with pytest.raises(InvalidSignature):
        KEY.public_key().verify(raw, f"{header}.{claims}x".encode(), padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "client_email"),
        ("not json", "client_email"),
        (key_file(private_key="x"), "cannot be read"),
        (key_file(private_key=pem(ec.generate_private_key(ec.SECP256R1()))), "no RSA key"),
    ],
)
def test_key_file_that_is_none(text: str, words: str) -> None:
    """The operator is told what is wrong with it."""
    with pytest.raises(ValueError, match=words):
        ServiceAccount(text)


def test_requests_for_tokens() -> None:
    """In each issuer's words."""
    google = ServiceAccount(key_file()).request(0)
    form = parse_qs(google.body.decode())
    assert (google.method, google.url, form["grant_type"]) == (
        "POST",
        "https://token.test/t",
        ["urn:ietf:params:oauth:grant-type:jwt-bearer"],
    )
    assert MetadataServer().request(0).headers == {"metadata-flavor": "Google"}
    entra = ClientCredentials("tenant:client:se:cret").request(0)
    assert entra.url == "https://login.microsoftonline.com/tenant/oauth2/v2.0/token"
    assert parse_qs(entra.body.decode())["client_secret"] == ["se:cret"]
    with pytest.raises(ValueError, match="TENANT"):
        ClientCredentials("tenant:client")


class TokenEndpoint:
    """A scripted token endpoint: gives numbered tokens, or what it was told to."""

    def __init__(self, life_s: float = 3_600) -> None:
        self.life_s = life_s
        self.asked = 0
        self.answer: tuple[int, bytes] | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.came = asyncio.Condition()

    async def fetch(self, request: TokenRequest) -> tuple[int, bytes]:
        self.asked += 1
        number = self.asked
        async with self.came:
            self.came.notify_all()
        await self.gate.wait()
        return self.answer or (200, json.dumps({"access_token": f"t{number}", "expires_in": self.life_s}).encode())

    async def was_asked(self, times: int) -> None:
        async with self.came:
            await asyncio.wait_for(self.came.wait_for(lambda: self.asked >= times), PATIENCE_S)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def kept(issuer: TokenEndpoint, clock: Clock) -> AsyncIterator[TokenCache]:
    tokens = TokenCache(issuer.fetch, clock=clock)
    tokens.keep({"a": MetadataServer()})
    task = Tasks().supervise("tokens", tokens.run)
    try:
        yield tokens
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_token_is_fetched_before_it_is_needed_and_ahead_of_its_end() -> None:
    """No request waits while there is one: also not while the next is being fetched."""

    async def scenario() -> None:
        issuer, clock = TokenEndpoint(), Clock()
        async with kept(issuer, clock) as tokens:
            await issuer.was_asked(1)
            assert await tokens.get("a") == "t1"
            issuer.gate.clear()
            clock.now_s += 3_600 * 5 / 6 + 1
            tokens._changed.set()
            await issuer.was_asked(2)
            found = [tokens.current("a") for _ in range(1_000)]
            assert set(found) == {"t1"}
            assert await asyncio.wait_for(tokens.get("a"), PATIENCE_S) == "t1"
            fetching = tokens._tokens["a"].fetching
            assert fetching is not None
            issuer.gate.set()
            await fetching
            assert (tokens.current("a"), issuer.asked) == ("t2", 2)

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def test_first_requests_share_one_fetch() -> None:
    """A hundred that come before there is any token wait for the same one."""

    async def scenario() -> None:
        issuer = TokenEndpoint()
        tokens = TokenCache(issuer.fetch, clock=Clock())
        tokens.keep({"a": MetadataServer()})
        issuer.gate.clear()
        waiting = [asyncio.get_running_loop().create_task(tokens.get("a")) for _ in range(100)]
        await issuer.was_asked(1)
        issuer.gate.set()
        assert set(await asyncio.gather(*waiting)) == {"t1"}
        assert issuer.asked == 1

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def test_failed_fetch_leaves_the_token_that_is_there() -> None:
    """It is used to its end and tried again after a pause that grows; the reason has no secret in it."""

    async def scenario() -> None:
        issuer, clock = TokenEndpoint(), Clock()
        async with kept(issuer, clock) as tokens:
            assert await tokens.get("a") == "t1"
            issuer.answer = (400, b'{"error":"invalid_grant","error_description":"assertion=SECRET"}')
            clock.now_s += 3_100
            tokens._changed.set()
            await issuer.was_asked(2)
            assert tokens.current("a") == "t1"
            clock.now_s += 500
            assert tokens.current("a") == ""
            with pytest.raises(TokenError, match="invalid_grant") as caught:
                await tokens.get("a")
            assert "SECRET" not in str(caught.value)
            issuer.answer = None
            assert (await tokens.get("a")).startswith("t")

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


@pytest.mark.parametrize(
    "answer", [(200, b"<html>"), (200, b"[]"), (200, b"{}"), (500, b""), (200, b'{"access_token":"x","expires_in":"soon"}')]
)
def test_answer_that_is_no_token(answer: tuple[int, bytes]) -> None:
    """Whatever an issuer says, the caller gets a reason."""

    async def scenario() -> None:
        issuer = TokenEndpoint()
        issuer.answer = answer
        tokens = TokenCache(issuer.fetch, clock=Clock())
        tokens.keep({"a": MetadataServer()})
        with pytest.raises(TokenError):
            await tokens.get("a")
        with pytest.raises(TokenError):
            await tokens.get("unknown")

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def test_token_over_a_real_connection() -> None:
    """From a server on a socket, as the metadata server answers; and from one that does not answer."""

    async def scenario() -> None:
        asked: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            body = b'{"access_token":"real","expires_in":3599}'
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (len(body), body))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        tokens = TokenCache()
        tokens.keep({"a": MetadataServer(f"http://127.0.0.1:{port}/token"), "b": MetadataServer("http://127.0.0.1:1/token")})
        assert await tokens.get("a") == "real"
        assert b"metadata-flavor: Google" in asked[0]
        with pytest.raises(TokenError, match="could not be asked"):
            await tokens.get("b")
        server.close()
        await server.wait_closed()

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))
