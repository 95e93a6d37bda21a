"""Keys made, listed, changed and deleted over the API: a limit that holds, an answer that comes again, an ETag that knows."""

from decimal import Decimal
from typing import Any

import pytest

from collector.accounts import audit_log
from collector.accounts.roles import shows_credit
from tests.collector.api.conftest import Api
from tests.collector.facts import Caller, Clock, Node
from usage.key import digest
from usage.protocol import Acquire

pytestmark = pytest.mark.anyio
KEYS = "/api/v1/keys"


async def test_key_lives_and_dies(api: Api, clock: Clock) -> None:
    """Made with a limit, spends within it, is raised, disabled, enabled, deleted; each step is in the audit log."""
    made = await api.ask("management", "POST", KEYS, {"name": "app", "limit": 0.000005, "limit_reset": "monthly"})
    assert made.status == 201
    key, row = made.body["key"], made.data
    assert row["hash"] == digest(key.encode())
    assert (row["limit"], row["limit_remaining"], row["limit_reset"]) == (Decimal("0.000005"),) * 2 + ("monthly",)
    assert key not in (await api.get("management", KEYS)).text
    node = await Node(api.collector).boot()
    caller = Caller(key, row["hash"], row["key_id"], "acme", f"acme/{row['key_id']}")
    granted = await node.acquire(caller, 10_000)
    assert granted.granted is not None
    assert granted.granted.granted_nano <= 5_000
    await node.link.ingest(node.batch([node.fact(1, caller, 2_000)]))
    seen = (await api.get("read", f"{KEYS}/{row['hash']}")).data
    assert (seen["usage"], seen["limit_remaining"]) == (Decimal("0.000002"), Decimal("0.000003"))
    own = (await api.get(key, "/api/v1/credits")).data
    assert (own["total_credits"], own["total_usage"]) == (Decimal("0.000005"), Decimal("0.000002"))

    async def policy() -> Any:
        return (await api.collector.acquire(Acquire("any", 0, "", row["hash"]))).policy

    for change, expected in (
        ({"limit": None}, (None, False)),
        ({"limit": 7, "name": "renamed"}, (Decimal(7), False)),
        ({"disabled": True}, (Decimal(7), True)),
        ({"disabled": False, "limit_reset": None}, (Decimal(7), False)),
    ):
        changed = (await api.ask("management", "PATCH", f"{KEYS}/{row['hash']}", change)).data
        assert (changed["limit"], changed["disabled"]) == expected
        found = await policy()
        assert (found.purse == "acme") == (changed["limit"] is None)
        assert found.disabled == changed["disabled"]
        assert (await api.get(key, "/api/v1/key")).status == (401 if changed["disabled"] else 200)
    assert (await api.ask("management", "DELETE", f"{KEYS}/{row['hash']}")).body == {"deleted": True}
    assert (await policy()).disabled
    assert (await api.get("management", f"{KEYS}/{row['hash']}")).status == 404
    assert row["hash"] not in (await api.get("management", KEYS)).text
    log = api.collector.store.read(lambda tx: audit_log.entries(tx, subject=row["key_id"]))
    assert [entry.action for entry in log] == ["key.create", *["key.update"] * 4, "key.delete"]
    assert all(key not in entry.detail for entry in log)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a", "limit": -1}, "limit"),
        ({"name": "a", "limit": 1e-10}, "limit"),
        ({"name": "a", "limit": 1e300}, "limit"),
        ({"name": "a", "limit": 10**40}, "limit"),
        ({"name": "a", "limit": True}, "limit"),
        ({"name": "a", "limit_reset": "hourly"}, "limit_reset"),
        ({"name": "a", "expires_at": "tomorrow"}, "expires_at"),
        ({"name": "a", "expires_at": "2020-01-01"}, "expires_at"),
        ({"name": 7}, "name"),
    ],
)
async def test_key_with_wrong_terms_is_refused(api: Api, body: dict[str, Any], param: str) -> None:
    reply = await api.ask("management", "POST", "/v1/keys", body)
    assert reply.status == 400
    assert reply.body["error"]["param"] == param
    for raw in ("", "[", "[]", '"x"', '{"name":"\\u0000"}', "\xff", "[" * 100_000):
        sent = await api.http.post("/v1/keys", content=raw.encode("latin-1"), headers={"x-api-key": api.keys["management"]})
        assert sent.status_code in (400, 413), raw[:20]


@pytest.mark.parametrize("expires_at", ["tomorrow", "2020-01-01"])
async def test_key_that_reads_and_could_never_be_used_is_not_made(api: Api, expires_at: str) -> None:
    """As with a key that pays: the field is named, and nothing is made."""
    before = (await api.get("management", "/v1/credentials")).data
    answer = await api.ask("management", "POST", "/v1/credentials", {"role": "read", "expires_at": expires_at})
    assert (answer.status, answer.body["error"]["param"]) == (400, "expires_at")
    assert (await api.get("management", "/v1/credentials")).data == before


async def test_creation_repeated_is_one_creation(api: Api) -> None:
    """The same Idempotency-Key brings the same key again, which the store does not have; another body is refused."""
    first = await api.ask("management", "POST", KEYS, {"name": "a"}, idempotency_key="one")
    again = await api.ask("management", "POST", KEYS, {"name": "a"}, idempotency_key="one")
    assert (first.status, again.status) == (201, 201)
    assert first.body == again.body
    assert len((await api.get("read", KEYS)).data) == 2
    assert (await api.ask("management", "POST", KEYS, {"name": "b"}, idempotency_key="one")).status == 422
    theirs = await api.ask("other management", "POST", KEYS, {"name": "a"}, idempotency_key="one")
    assert theirs.body["key"] != first.body["key"]
    other = await api.ask("management", "POST", "/v1/credentials", {"role": "read"}, idempotency_key="one")
    assert other.body == (await api.ask("management", "POST", "/v1/credentials", {"role": "read"}, idempotency_key="one")).body
    rows = api.collector.store.read(lambda tx: tx.rows("SELECT answer, salt FROM idempotency"))
    assert len(rows) == 3
    for secret in (first.body["key"], other.body["key"]):
        assert all(secret not in text for row in rows for text in row)
    assert (await api.ask("management", "POST", KEYS, {"name": "a"}, idempotency_key="x" * 256)).status == 400


async def test_answer_that_did_not_change_is_not_sent_again(api: Api) -> None:
    first = await api.get("read", "/api/v1/credits")
    etag = first.headers["etag"]
    again = await api.get("read", "/api/v1/credits", if_none_match=f'"x", {etag}')
    assert (again.status, again.text, again.headers["etag"]) == (304, "", etag)
    await api.collector.add_credit("acme", 1)
    changed = await api.get("read", "/api/v1/credits", if_none_match=etag)
    assert changed.status == 200
    assert changed.headers["etag"] != etag


async def test_account_credit_may_be_closed_to_inference_keys(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """TOLLWAY_INFERENCE_CREDITS=no: such a key learns nothing of what the account has; one with a limit still sees its limit."""
    made = (await api.ask("management", "POST", "/v1/keys", {"name": "app", "limit": 5_000})).body["key"]
    assert (await api.get("inference", "/v1/credits")).data["available"] == 1_000
    assert (await api.get(made, "/v1/credits")).data["available"] == 1_000  # the account has less than its limit
    monkeypatch.setenv("TOLLWAY_INFERENCE_CREDITS", "no")
    assert (await api.get("inference", "/v1/credits")).status == 403
    assert (await api.get("inference", "/v1/key")).data["grantable"] is None
    limited = (await api.get(made, "/v1/credits")).data
    assert (limited["total_credits"], limited["available"]) == (5_000, 5_000)
    own = (await api.get(made, "/v1/key")).data
    assert (own["limit_remaining"], own["grantable"]) == (5_000, 5_000)
    for role in ("read", "management"):
        assert (await api.get(role, "/v1/credits")).data["available"] == 1_000
    with pytest.raises(ValueError, match="yes or no"):
        shows_credit({"TOLLWAY_INFERENCE_CREDITS": "perhaps"})
