"""AWS Signature Version 4: the headers that sign a request, made anew for each one, over its body.

Pure: the time is an argument. Strategy: the signing key holds for a day and is kept; per request it is one SHA-256 of the body
and one HMAC.
Source: AWS' specification of Signature Version 4; its test vectors (tests/corpora/aws-sigv4).
Limits: credentials are key pairs, with a session token or not; nothing is assumed or fetched. Paths are encoded twice, as every
service but S3 wants it.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import quote

Header = tuple[str, str]
ALGORITHM: Final = "AWS4-HMAC-SHA256"
_SPACES: Final = re.compile(r"[ \t]+")
_UNRESERVED: Final = "-_.~"


class Credentials(NamedTuple):
    """A key pair; `session_token` for temporary ones."""

    key_id: str
    secret: str
    session_token: str = ""


def read_credentials(text: str) -> Credentials:
    """Of a secret as an operator writes it: `KEY_ID:SECRET` or `KEY_ID:SECRET:SESSION_TOKEN`. ValueError."""
    key_id, _, rest = text.strip().partition(":")
    secret, _, token = rest.partition(":")
    if not key_id or not secret:
        raise ValueError("AWS credentials are written as KEY_ID:SECRET or KEY_ID:SECRET:SESSION_TOKEN")
    return Credentials(key_id, secret, token)


def payload_hash(body: Iterable[bytes | memoryview]) -> str:
    digest = hashlib.sha256()
    for part in body:
        digest.update(part)
    return digest.hexdigest()


def canonical_request(
    method: str, target: str, headers: Sequence[Header], hashed: str, *, normalize: bool = True
) -> tuple[str, str]:
    """(canonical request, signed headers). `target`: path and query as they are sent; `headers`: those to sign."""
    path, _, query = target.partition("?")
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(_SPACES.sub(" ", value.strip()))
    names = sorted(values)
    lines = [f"{name}:{','.join(values[name])}" for name in names]
    signed = ";".join(names)
    parts = (method, _canonical_path(path, normalize), _canonical_query(query), *lines, "", signed, hashed)
    return "\n".join(parts), signed


def _canonical_path(path: str, normalize: bool) -> str:
    if normalize:
        kept: list[str] = []
        for segment in path.split("/"):
            if segment == "..":
                del kept[-1:]
            elif segment not in ("", "."):
                kept.append(segment)
        path = f"/{'/'.join(kept)}" + ("/" if kept and path.endswith("/") else "")
    return quote(path or "/", safe=f"/{_UNRESERVED}")


def _canonical_query(query: str) -> str:
    """Sorted by name, then by value. What is encoded stays so."""
    pairs = []
    for each in query.split("&") if query else ():
        name, _, value = each.partition("=")
        pairs.append((quote(name, safe=f"%{_UNRESERVED}"), quote(value, safe=f"%{_UNRESERVED}")))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


class Signer:
    """Signs the requests to one service in one region."""

    __slots__ = ("_credentials", "_day", "_key", "_region", "_service")

    def __init__(self, credentials: Credentials, region: str, service: str) -> None:
        self._credentials = credentials
        self._region = region
        self._service = service
        self._day = ""
        self._key = b""

    def headers(
        self,
        method: str,
        host: str,
        target: str,
        body: Iterable[bytes | memoryview],
        now_unix_s: float,
        extra: Sequence[Header] = (),
    ) -> list[Header]:
        """The headers to add to a request; `host` and the `extra` ones, which are signed too, are sent by whoever asks.

        Good for five minutes around `now_unix_s`: a request that is tried again is signed again.
        """
        hashed = payload_hash(body)
        added = [("x-amz-content-sha256", hashed), ("x-amz-date", _amz_date(now_unix_s))]
        if self._credentials.session_token:
            added.append(("x-amz-security-token", self._credentials.session_token))
        request, signed = canonical_request(method, target, [("host", host), *extra, *added], hashed)
        return [*added, ("authorization", self.authorization(request, signed, now_unix_s))]

    def authorization(self, request: str, signed: str, now_unix_s: float) -> str:
        """Of a canonical request and the names of the headers that are signed in it."""
        date = _amz_date(now_unix_s)
        scope = f"{date[:8]}/{self._region}/{self._service}/aws4_request"
        to_sign = f"{ALGORITHM}\n{date}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        signature = hmac.new(self._signing_key(date[:8]), to_sign.encode(), hashlib.sha256).hexdigest()
        return f"{ALGORITHM} Credential={self._credentials.key_id}/{scope}, SignedHeaders={signed}, Signature={signature}"

    def _signing_key(self, day: str) -> bytes:
        if day != self._day:
            key = f"AWS4{self._credentials.secret}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._day, self._key = day, key
        return self._key


def _amz_date(now_unix_s: float) -> str:
    return datetime.fromtimestamp(now_unix_s, UTC).strftime("%Y%m%dT%H%M%SZ")
