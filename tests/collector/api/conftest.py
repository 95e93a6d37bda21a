"""The account's API over a store of each kind, with a key of every role, and a stranger's."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest

from collector.accounts.roles import CredentialTerms, create_credential
from collector.app import create_app
from collector.service import Collector
from tests.collector.facts import Caller, make_caller


class Reply(msgspec.Struct):
    status: int
    body: Any
    headers: httpx.Headers
    text: str

    @property
    def data(self) -> Any:
        assert self.status < 300, self.text
        return self.body["data"]


class Api:
    """`acme` has 1,000 dollars and one key of each role; `other` the same."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(create_app(collector)), base_url="http://collector")
        self.keys: dict[str, str] = {}
        self.caller: Caller
        self.other: Caller

    async def fill(self) -> None:
        self.caller = await make_caller(self.collector, "acme", 1_000 * 10**9)
        self.other = await make_caller(self.collector, "other", 1_000 * 10**9)
        self.keys = {"inference": self.caller.key, "other inference": self.other.key}
        for account, prefix in (("acme", ""), ("other", "other ")):
            for role in ("read", "management"):
                terms = CredentialTerms(role)
                text, _ = await self.collector.write(lambda tx, now: create_credential(tx, account, terms, now))  # noqa: B023
                self.keys[prefix + role] = text
        self.keys["operator"], _ = await self.collector.write(
            lambda tx, now: create_credential(tx, "", CredentialTerms("operator", "me"), now)
        )

    async def ask(self, role: str, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """With the key of a role, or with none for ""; numbers come back as Decimal."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if role:
            sent["authorization"] = f"Bearer {self.keys.get(role, role)}"
        content = None if body is None else json.dumps(body)
        reply = await self.http.request(method, path, content=content, headers=sent)
        is_json = reply.headers.get("content-type", "") == "application/json"
        parsed = json.loads(reply.text, parse_float=Decimal) if is_json and reply.text else None
        return Reply(reply.status_code, parsed, reply.headers, reply.text)

    async def get(self, role: str, path: str, **headers: str) -> Reply:
        return await self.ask(role, "GET", path, **headers)


@pytest.fixture
async def api(collector: Collector) -> AsyncIterator[Api]:
    made = Api(collector)
    await made.fill()
    yield made
    await made.http.aclose()
