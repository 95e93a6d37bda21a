"""Every route of the edge and of the collector against every wrong credential: nothing opens, breaks, or is quoted back.

The routes are those of the running applications, so that one that is added tomorrow is tried too; what needs no credential is
named here, and everything else has to ask for one.
"""

import itertools
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from starlette.routing import BaseRoute, Mount, Route

import proxy
from collector.accounts import keys as account_keys
from collector.app import create_app
from collector.dashboard.routes import Site
from collector.lazy import LazyPages
from collector.leasing import nodes
from collector.service import Collector
from collector.store.sqlite import SqliteStore
from edge.endpoints.front import PathEndpoint
from usage import key as keys

pytestmark = pytest.mark.anyio

PUBLIC = re.compile(
    r"(/api)?/v1/(models(/count|/user|/\{model:path\}(/endpoints)?)?|model/\{model:path\}|openapi\.json)"
    r"|(/api)?/v1beta/models(/\{model:path\})?"
    r"|/api/v1/(providers|endpoints/zdr|embeddings/models|images/models(/\{model:path\}/endpoints)?)"
    r"|/healthz|/readyz|/metrics|/|/auth|/openapi\.json"
    r"|/dashboard/(login|login/\{secret\}|welcome-back|static/.*|\{path:path\})"
)
"""What is there for everybody; a link to sign in shows a button, whatever its secret is."""
# A sign-in by secret and the exchange of a code ask for what is in their path or body.
ASKS_ELSEWHERE = re.compile(r"/dashboard/login/.*|(/api)?/v1/(auth/keys|auth/keys/code|webhooks/stripe)")
CLOSED = (400, 401, 403, 404, 405, 415, 422)
REDIRECTS = (302, 303, 307)


class House(NamedTuple):
    http: httpx.AsyncClient
    routes: list[BaseRoute]
    collector: Collector


def credentials(secret: bytes, revoked: str, node_token: str) -> dict[str, list[tuple[bytes, bytes]]]:
    """Header lines by what is wrong with them."""
    invented, _ = keys.mint(os.urandom(32))
    foreign, _ = keys.mint(os.urandom(32), os.urandom(32))
    marked, _ = keys.mint(os.urandom(32), secret)
    last = "0" if marked[-1] != "0" else "1"
    bearers = {
        "none": None,
        "empty": b"",
        "scheme alone": b"Bearer",
        "scheme and spaces": b"Bearer    ",
        "basic": b"Basic YWRtaW46YWRtaW4=",
        "without a scheme": invented.encode(),
        "short": b"Bearer " + invented[:-1].encode(),
        "mistyped": b"Bearer " + (marked[:-1] + last).encode(),
        "invented": b"Bearer " + invented.encode(),
        "of another deployment": b"Bearer " + foreign.encode(),
        "with our mark, and unknown": b"Bearer " + marked.encode(),
        "upper case": b"Bearer " + marked.upper().encode(),
        "revoked": b"Bearer " + revoked.encode(),
        "a node's": b"Bearer " + node_token.encode(),
        "a node's, invented": b"Bearer nt_" + b"x" * 43,
        "quotes": b"Bearer ' OR '1'='1",
        "a digest": b"Bearer " + keys.digest(revoked.encode()).encode(),
        "not ascii": b"Bearer sk_live_\xc3\xa9",
        "long": b"Bearer " + b"x" * 50_000,
    }
    found = {name: [] if value is None else [(b"authorization", value)] for name, value in bearers.items()}
    found["twice"] = [(b"authorization", b"Bearer " + invented.encode())] * 2
    found["two that differ"] = [(b"authorization", b"Bearer " + invented.encode()), (b"x-api-key", foreign.encode())]
    found["x-api-key"] = [(b"x-api-key", invented.encode())]
    found["api-key"] = [(b"api-key", revoked.encode())]
    found["a session"] = [(b"cookie", b"tollway_session=" + b"x" * 43)]
    return found


@pytest.fixture(params=["edge", "collector"])
async def house(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    for name, value in {"TOLLWAY_DATA": str(tmp_path), "TOLLWAY_ADMIN": "none"}.items():
        monkeypatch.setenv(name, value)
    store = SqliteStore.open(tmp_path / "collector.db")
    collector = Collector(store)
    if request.param == "collector":
        app: Any = create_app(collector)
        async with client_of(app) as http:
            yield House(http, list(app.routes), collector)
    else:
        behind: Any = proxy.app.app
        async with proxy.lifespan(behind), client_of(proxy.app) as http:
            mounted: Any = proxy.edge._pages
            routes = [*(route for route in behind.routes if not isinstance(route, Mount)), *mounted.app.routes]
            pages = Site(collector).routes if any(isinstance(route, LazyPages) for route in routes) else ()
            yield House(http, [*(route for route in routes if not isinstance(route, LazyPages)), *pages], collector)
    await collector.shut_down()


def client_of(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=True), base_url="http://edge.test")


def asked(routes: list[BaseRoute]) -> list[tuple[str, str, str]]:
    """(method, pattern, path) of each."""
    found = []
    for route in routes:
        assert isinstance(route, Route), "a kind of route that this test does not know how to try"
        endpoint = route.endpoint
        methods = endpoint.methods if isinstance(endpoint, PathEndpoint) else route.methods or ("GET", "POST", "PATCH", "DELETE")
        path = re.sub(r"\{[^}]*\}", "x", route.path)
        found += [(method, route.path, path) for method in methods if method != "HEAD"]
    return found


async def test_no_route_opens_to_a_wrong_credential(house: House) -> None:
    """401 and its like everywhere but where nothing is asked for; never a fault of ours; the credential is in no answer."""
    secret = await house.collector.write(lambda tx, now: account_keys.deployment_secret(tx))
    revoked = await house.collector.create_key("acme")
    key = await house.collector.read(lambda tx, now: account_keys.find_key(tx, keys.digest(revoked.encode())))
    assert key is not None
    await house.collector.write(lambda tx, now: account_keys.revoke_key(tx, key.key_id))
    token = await house.collector.write(lambda tx, now: nodes.create_token(tx, "fra-1", now))
    wrong = credentials(bytes.fromhex(secret), revoked, token)
    tried = asked(house.routes)
    assert len(tried) > 20
    found = []
    for (method, pattern, path), (name, headers) in itertools.product(tried, wrong.items()):
        if "/node/v1/" in path and name == "a node's":
            continue
        body = b"{}" if method in ("POST", "PATCH") else b""
        answer = await house.http.request(method, path, headers=headers, content=body, follow_redirects=False)
        is_open = PUBLIC.fullmatch(pattern) is not None
        is_fine = answer.status_code in CLOSED or (is_open and answer.status_code < 400) or answer.status_code in REDIRECTS
        if not is_fine and not (ASKS_ELSEWHERE.fullmatch(pattern) and answer.status_code < 500 and answer.status_code >= 400):
            found.append((method, pattern, name, answer.status_code))
        secrets = [value.rpartition(b" ")[2] for _, value in headers if len(value) > 20]
        assert not any(value in answer.content for value in secrets), (method, pattern, name)
        assert b"Traceback" not in answer.content
    assert found == []


async def test_public_routes_are_few(house: House) -> None:
    """A route that needs no credential is named here on purpose."""
    open_to_all = {pattern for _, pattern, _ in asked(house.routes) if PUBLIC.fullmatch(pattern)}
    assert len(open_to_all) <= 29, sorted(open_to_all)
    assert not any(
        word in pattern for pattern in open_to_all for word in ("keys", "credit", "usage", "node/", "topup", "session")
    )
