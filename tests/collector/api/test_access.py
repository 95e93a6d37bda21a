"""Every operation, asked by whom it is not for: enumerated from the router, so that a new one cannot be forgotten."""

import os
import re

import pytest

from collector.accounts import keys as account_keys
from collector.accounts.roles import PREFIXES, CredentialTerms, create_credential, revoke_credential, role_of
from collector.api.routes import OPERATIONS
from edge.endpoints.routes import ACCOUNT_PATHS
from tests.collector.api.conftest import Api
from usage.key import ENTROPY_BYTES, mint

pytestmark = pytest.mark.anyio
ROUTES = [(operation, base) for operation in OPERATIONS for base in operation.bases]


def path_of(base: str, path: str) -> str:
    return base + re.sub(r"\{\w+\}", "0" * 64, path)


def is_error(text: str, base: str) -> bool:
    """Whether it is an error in the words of the API that was called."""
    return ('"code":"' in text) if base == "/v1" else bool(re.search(r'"code":\d', text))


async def test_operation_refuses_whom_it_is_not_for(api: Api) -> None:
    """No key, malformed, unknown, revoked, of a wrong role, from another site's page: each with its status, none with anything
    else."""
    unknown = {prefix: mint(os.urandom(ENTROPY_BYTES), b"", prefix)[0] for prefix in ("sk_live_", *PREFIXES)}
    gone = await api.collector.create_key("acme")
    await api.collector.write(lambda tx, now: account_keys.revoke_key(tx, gone.split("_")[2]))
    ended, made = await api.collector.write(lambda tx, now: create_credential(tx, "acme", CredentialTerms("management"), now))
    await api.collector.write(lambda tx, now: revoke_credential(tx, made.credential_id))
    malformed = ("x", "sk_live_", api.keys["management"][:-1], api.keys["read"].replace("read", "mgmt"), "\xe9" * 52)
    for operation, base in ROUTES:
        path = path_of(base, operation.path)
        if not operation.roles:
            continue
        assert (await api.ask("", operation.method, path)).status == 401, path
        for key in (*unknown.values(), *malformed, gone, ended):
            reply = await api.http.request(operation.method, path, headers=[(b"x-api-key", key.encode("latin-1"))])
            assert reply.status_code == 401, (path, key)
            assert is_error(reply.text, base), reply.text
            assert key not in reply.text
        for role in ("inference", "read", "management", "operator"):
            if role not in operation.roles:
                reply_of_role = await api.ask(role, operation.method, path)
                assert reply_of_role.status == 403, (path, role)
                assert is_error(reply_of_role.text, base)
        if operation.method != "GET":
            for headers in ({"origin": "https://evil.example"}, {"sec_fetch_site": "cross-site"}):
                foreign = await api.ask("operator", operation.method, path + "?account=acme", **headers)
                assert foreign.status == 403, path


async def test_operation_shows_nobody_elses(api: Api) -> None:
    """What another account's manager names is not there, or is his own."""
    made = (await api.ask("management", "POST", "/api/v1/keys", {"name": "mine"})).data
    before = (await api.get("management", "/api/v1/keys")).data
    for method, body in (("GET", None), ("PATCH", {"disabled": True}), ("DELETE", None)):
        assert (await api.ask("other management", method, f"/api/v1/keys/{made['hash']}", body)).status == 404
    assert (await api.get("management", "/api/v1/keys")).data == before
    theirs = (await api.get("other read", "/api/v1/keys?account=acme")).data
    assert {row["key_id"] for row in theirs} == {api.other.key_id}
    assert (await api.get("other read", f"/api/v1/activity?api_key_hash={made['hash']}")).status == 404
    listed = (await api.get("management", "/api/v1/credentials")).data
    mine = next(row["id"] for row in listed if row["role"] == "read")
    assert (await api.ask("other management", "DELETE", f"/api/v1/credentials/{mine}")).status == 404
    assert (await api.get("read", "/api/v1/credits")).status == 200


async def test_method_that_is_not_there(api: Api) -> None:
    """405 with what it takes, and OPTIONS."""
    reply = await api.ask("read", "PUT", "/api/v1/keys")
    assert (reply.status, reply.headers["allow"]) == (405, "GET, POST, HEAD, OPTIONS")
    assert (await api.ask("", "OPTIONS", "/v1/credits")).headers["allow"] == "GET, HEAD, OPTIONS"
    assert (await api.ask("read", "HEAD", "/v1/credits")).status == 200


def test_edge_passes_on_what_the_collector_answers() -> None:
    """Both ends of one list."""
    expected: dict[str, set[str]] = {"/openapi.json": {"GET"}}
    for operation in OPERATIONS:
        expected.setdefault(operation.path, set()).add(operation.method)
    assert {path: set(methods) for path, methods in ACCOUNT_PATHS.items()} == expected


def test_prefix_tells_the_role_apart() -> None:
    """By prefix, shape and checksum; an inference key, a cut and a mixed-up one are none."""
    for prefix, role in PREFIXES.items():
        text, key_id = mint(os.urandom(ENTROPY_BYTES), b"", prefix)
        assert role_of(text) == role
        assert text.startswith(prefix + key_id + "_")
        for bad in (text[:-1], text + "0", text.upper(), text.replace(prefix, "sk_live_"), text + "\n", " " + text):
            assert role_of(bad) is None
    assert role_of(mint(os.urandom(ENTROPY_BYTES))[0]) is None
