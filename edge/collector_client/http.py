"""The edge's end of the node protocol over HTTP; what goes over the wire, errors included, is `usage.protocol.http`'s.

Rule: an answer that says "not now", or none at all, is Unreachable; one that says "no" is Refused; nothing else comes out of
here.
Strategy: httpx is imported with the first message, because an edge with the collector embedded must not pay for it. Large
bodies are gzipped in a thread: compressing holds up no stream.
"""

import asyncio
import gzip
import importlib
import time
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from edge.collector_client.enrolment import Enrolment
from usage.decoding import UNREADABLE, reason_of
from usage.protocol import (
    Ack,
    Acquire,
    Acquired,
    Batch,
    Boot,
    Booted,
    Close,
    Closed,
    Enrolled,
    Poll,
    Polled,
    Refused,
    Return,
    Returned,
    Unreachable,
)
from usage.protocol.http import ENROL, EXCHANGES, METHOD, error_of, path_of, request_headers

if TYPE_CHECKING:
    import httpx

COMPRESS_BYTES_MIN = 2048
GZIP_LEVEL = 1

_Answer = TypeVar("_Answer", bound=msgspec.Struct)
_encode = msgspec.json.Encoder().encode
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {name: msgspec.json.Decoder(answer) for name, (_, answer) in EXCHANGES.items()}


class HttpCollectorClient:
    """One connection is enough: the shipper has one batch in flight, and cold look-ups are coalesced."""

    def __init__(
        self,
        base_url: str,
        node_token: str,
        *,
        enrolment: Enrolment | None = None,
        timeout_s: float = 10.0,
        connect_timeout_s: float = 3.0,
        connections_max: int = 8,
        ca_file: str | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.calls_total = 0
        self._node_token = node_token
        self._enrolment = enrolment
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._connections_max = connections_max
        self._ca_file = ca_file
        self._client: httpx.AsyncClient | None = None

    def __repr__(self) -> str:
        return f"<HttpCollectorClient {self.base_url}>"

    async def boot(self, message: Boot) -> Booted:
        """A node of a group enrols before its first one, and again when its own token is refused."""
        enrolment = self._enrolment
        if enrolment is None:
            return await self._call("boot", message, Booted)
        if not enrolment.token:
            await self._enrol(enrolment)
        try:
            return await self._call("boot", message, Booted, enrolment.token)
        except Refused as refused:
            if refused.code in ("bad_node_token", "revoked"):
                enrolment.forget()
            raise

    async def acquire(self, message: Acquire) -> Acquired:
        return await self._call("acquire", message, Acquired)

    async def ingest(self, message: Batch) -> Ack:
        return await self._call("ingest", message, Ack)

    async def give_back(self, message: Return) -> Returned:
        return await self._call("give_back", message, Returned)

    async def close(self, message: Close) -> Closed:
        return await self._call("close", message, Closed)

    async def poll(self, message: Poll) -> Polled:
        """A node of a group whose token was revoked enrols again as soon as it is admitted again."""
        try:
            return await self._call("poll", message, Polled)
        except Refused as refused:
            if refused.code != "revoked" or self._enrolment is None or not self._enrolment.is_of_group:
                raise
            try:
                await self._enrol(self._enrolment)
            except (Refused, Unreachable):
                raise refused from None
        return await self._call("poll", message, Polled)

    async def _enrol(self, enrolment: Enrolment) -> None:
        """Ask for a token of this node's own, with its group's, and keep it. Refused, Unreachable."""
        enrolled = await self._call(ENROL, enrolment.message, Enrolled, enrolment.group_token)
        try:
            await asyncio.to_thread(enrolment.keep, enrolled.token)
        except OSError as error:
            raise Unreachable(f"this node's own token cannot be kept in the data folder: {error}") from None

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _call(self, name: str, message: msgspec.Struct, kind: type[_Answer], token: str = "") -> _Answer:
        body = _encode(message)
        token = token or (self._enrolment.token if self._enrolment is not None else self._node_token)
        is_gzipped = len(body) >= COMPRESS_BYTES_MIN
        if is_gzipped:
            body = await asyncio.to_thread(gzip.compress, body, GZIP_LEVEL, mtime=0)
        status, answer_headers, answer = await self._post(name, body, request_headers(token, is_gzipped=is_gzipped))
        if status != 200:
            raise error_of(status, answer_headers, answer, time.time())
        try:
            found = _DECODERS[name].decode(answer)
        except UNREADABLE as error:
            raise Unreachable(f"the answer to {name} is not what was agreed: {reason_of(error)}") from None
        assert isinstance(found, kind)
        return found

    async def _post(self, name: str, body: bytes, headers: dict[str, str]) -> tuple[int, "httpx.Headers", bytes]:
        if self._client is None:
            await asyncio.to_thread(importlib.import_module, "httpx")
        client = self._client = self._client or self._make_client()
        self.calls_total += 1
        import httpx

        for attempt in (1, 2):
            try:
                response = await client.request(METHOD, self.base_url + path_of(name), content=body, headers=headers)
            except httpx_errors() as error:
                # One lost connection (kept too long, a collector that restarts) is tried again: messages may be repeated.
                if attempt == 1 and isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
                    continue
                raise Unreachable(f"{type(error).__name__}: {error}") from None
            return response.status_code, response.headers, response.content
        raise AssertionError("unreachable")

    def _make_client(self) -> "httpx.AsyncClient":
        import httpx

        from edge.upstream.tls import build_context

        return httpx.AsyncClient(
            headers={"user-agent": "tollway-edge"},
            timeout=httpx.Timeout(self._timeout_s, connect=self._connect_timeout_s),
            limits=httpx.Limits(max_connections=self._connections_max, max_keepalive_connections=self._connections_max),
            follow_redirects=False,
            trust_env=False,
            # As for providers: the system's authorities, or SSL_CERT_FILE's, which httpx alone would not read here.
            verify=build_context(True, self._ca_file),
        )


def httpx_errors() -> tuple[type[Exception], ...]:
    """Everything that a call of httpx raises: its own four families, sockets and TLS, and host names that are none."""
    import httpx

    return (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError, OSError, UnicodeError)
