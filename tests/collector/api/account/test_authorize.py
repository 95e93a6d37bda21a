"""An application gets a key by PKCE: once, in time, with the verifier of its challenge, within the limit that was agreed to."""

from decimal import Decimal
from typing import Any

import pytest

from collector.accounts.authorization import CODE_MS, challenge_of
from tests.collector.api.conftest import Api, Reply
from tests.collector.facts import Clock

pytestmark = pytest.mark.anyio
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


async def grant(api: Api, **more: Any) -> Reply:
    body = {"callback_url": "https://app.example/cb", "code_challenge": challenge_of(VERIFIER)} | more
    return await api.ask("management", "POST", "/api/v1/auth/keys/code", body)


async def exchange(api: Api, code: str, verifier: str = VERIFIER) -> Reply:
    return await api.ask("", "POST", "/api/v1/auth/keys", {"code": code, "code_verifier": verifier})


def test_challenge_is_rfc_7636s() -> None:
    """Appendix B."""
    assert challenge_of(VERIFIER) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


async def test_code_is_changed_for_a_key_with_its_limit(api: Api) -> None:
    code = (await grant(api, limit=5, usage_limit_type="weekly", key_label="My CLI")).data["id"]
    key = (await exchange(api, code)).body["key"]
    own = (await api.get(key, "/api/v1/key")).data
    assert (own["limit"], own["limit_reset"], own["name"], own["account"]) == (Decimal(5), "weekly", "My CLI", "acme")
    assert (await exchange(api, code)).status == 403
    rows = api.collector.store.read(lambda tx: tx.rows("SELECT * FROM auth_codes"))
    assert rows == []


async def test_code_is_used_up_by_a_wrong_attempt(api: Api, clock: Clock) -> None:
    for verifier in ("x" * 43, "", challenge_of(VERIFIER), VERIFIER + "\n", "\xe9" * 43):
        code = (await grant(api)).data["id"]
        assert (await exchange(api, code, verifier)).status == 403
        assert (await exchange(api, code)).status == 403, verifier
    code = (await grant(api)).data["id"]
    clock.now_ms += CODE_MS
    assert (await exchange(api, code)).status == 403
    assert (await exchange(api, "code_x")).status == 403
    assert len((await api.get("read", "/api/v1/keys")).data) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"callback_url": "http://app.example/cb"},
        {"callback_url": "javascript:alert(1)"},
        {"callback_url": "https://user@app.example/"},
        {"callback_url": "https://app.example/#x"},
        {"callback_url": "https://app.example\r\n/"},
        {"callback_url": "https://[::1"},
        {"callback_url": ""},
        {"code_challenge_method": "plain"},
        {"code_challenge": "short"},
        {"code_challenge": "x" * 43 + "\n"},
        {"limit": -1},
        {"usage_limit_type": "hourly"},
        {"expires_at": "2020-01-01"},
        {"expires_at": "tomorrow"},
    ],
)
async def test_code_for_a_wrong_request_is_refused(api: Api, change: dict[str, Any]) -> None:
    assert (await grant(api, **change)).status == 400


@pytest.mark.parametrize(
    "url", ["http://localhost:1/cb", "http://127.0.0.1:65535/", "http://[::1]:8080/x", "https://a.example?b=c"]
)
async def test_code_may_go_to_the_users_own_machine(api: Api, url: str) -> None:
    assert (await grant(api, callback_url=url)).status == 200


async def test_auth_leads_to_the_owner(api: Api) -> None:
    reply = await api.http.get("/auth?callback_url=https://a.example&code_challenge=x", follow_redirects=False)
    assert (reply.status_code, reply.headers["location"]) == (
        303, "/dashboard/authorize?callback_url=https://a.example&code_challenge=x",
    )  # fmt: skip
