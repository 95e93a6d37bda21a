"""Limits through the real relay: who is let in, what callers are told, what is debited, and that no permit is ever lost."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.limits.claim import LimitClaim
from edge.limits.limiter import RateLimiter
from edge.limits.permits import PermitPool
from edge.limits.provider_rates import ProviderRates
from routing.failures.failure import Kind, Sent
from routing.plan.plan import Plan
from routing.request.envelope import read
from tests.edge.relay.test_relay import ANSWER, STREAM
from tests.edge.rig import JSON, SSE, Caller, Play, Rig, broken
from tests.patience import PATIENCE_S, until
from usage import key
from usage.limit import LimitTerms
from usage.protocol import Policy

pytestmark = pytest.mark.anyio


def limit(rig: Rig, terms: LimitTerms | None = None, account: LimitTerms | None = None) -> None:
    """Limit the rig's key, and its account."""
    digest = key.digest(rig.key.encode())
    rig.in_memory.keys[digest] = msgspec.structs.replace(rig.in_memory.keys[digest], limits=terms, account_limits=account)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with Rig(tmp_path) as built:
        yield built


def left(caller: Caller, unit: str = "requests") -> int:
    return int(caller.headers[f"x-ratelimit-remaining-{unit}".encode()])


async def ask(rig: Rig, **members: Any) -> Caller:
    return await rig.ask(Play(200, JSON, [ANSWER]), **members)


async def test_limit_is_told_on_every_answer(rig: Rig) -> None:
    """OpenAI's six headers are on whole answers, streams and refusals; without a limit there are none."""
    assert not [name for name in (await ask(rig)).headers if name.startswith(b"x-ratelimit")]
    rig.credit.find(key.digest(rig.key.encode()))
    limit(rig, LimitTerms(requests_per_minute=100, tokens_per_minute=1_000_000))
    rig.credit._key_cache.policies.forget(key.digest(rig.key.encode()))
    whole = await ask(rig)
    names = [f"x-ratelimit-{what}-{unit}".encode() for unit in ("requests", "tokens") for what in ("limit", "remaining", "reset")]
    assert [name for name in whole.headers if name.startswith(b"x-ratelimit")] == names
    assert (whole.headers[b"x-ratelimit-limit-requests"], left(whole)) == (b"100", 99)
    assert whole.headers[b"x-ratelimit-reset-requests"] == b"600ms"
    streamed = await rig.ask(Play(200, SSE, STREAM), stream=True)
    assert left(streamed) == 98
    refused = await rig.run(rig.caller(model="p/none"))
    assert refused.status == 404


async def test_limit_that_is_used_up_says_which_and_when(rig: Rig) -> None:
    """429, with the limit, whose it is, what it allows, what is left and when to come again; the provider is not asked."""
    limit(rig, LimitTerms(requests_per_minute=10))
    seen = [await ask(rig) for _ in range(11)]
    assert [caller.status for caller in seen] == [200] * 11
    refused = await rig.run(rig.caller())
    assert refused.status == 429
    error = refused.json()["error"]
    assert (error["code"], error["type"]) == ("rate_limit_exceeded", "requests")
    assert "requests per min (RPM) of this key: Limit 10, Remaining 0, Requested 1" in error["message"]
    assert 1 <= int(refused.headers[b"retry-after"]) <= 60
    assert 0 < int(refused.headers[b"retry-after-ms"]) <= 1_000 * int(refused.headers[b"retry-after"])
    assert left(refused) == 0
    caller = rig.caller()
    caller.scope["path"] = "/api/v1/chat/completions"
    other = await rig.run(caller)
    metadata = other.json()["error"]["metadata"]
    assert (metadata["limit"], metadata["scope"], metadata["allowed"], metadata["remaining"]) == (
        "requests_per_minute",
        "key",
        10,
        0,
    )
    assert metadata["error_type"] == "rate_limit_exceeded"
    assert 0 < metadata["resets_in_s"] <= 60
    assert len(rig.records) == 11


async def test_tokens_are_debited_at_admission_and_corrected_at_settlement(rig: Rig) -> None:
    """A long answer's cap is not what it uses: what was debited for it comes back when it is settled. With `worst` the cap is
    debited."""
    limit(rig, LimitTerms(tokens_per_minute=100_000))
    asked: list[int] = []

    def look() -> None:
        (scope,) = rig.limiter._scopes.values()
        assert scope.tokens is not None
        asked.append(scope.tokens.recent)

    rig.stage.on_open = look
    caller = await ask(rig, max_tokens=1_000)
    assert 512 <= asked[0] <= 600
    assert left(caller, "tokens") == 100_000 - 15
    limit(rig, LimitTerms(tokens_per_minute=100_000, count="worst"))
    rig.credit._key_cache.policies.forget(key.digest(rig.key.encode()))
    await ask(rig, max_tokens=1_000)
    assert 1_015 <= asked[1] <= 1_100


async def test_request_larger_than_the_limit_is_told_so(rig: Rig) -> None:
    """It can never be admitted: 429 that no SDK repeats, and nothing is waited for."""
    limit(rig, LimitTerms(tokens_per_minute=50, count="worst"))
    refused = await rig.run(rig.caller(max_tokens=900))
    assert (refused.status, refused.headers[b"x-should-retry"]) == (429, b"false")
    assert "Request too large" in refused.json()["error"]["message"]
    assert b"retry-after" not in refused.headers


async def test_concurrent_requests_hold_permits_until_they_end(rig: Rig) -> None:
    """Two at once, the third is refused; when one ends, however it ends, another is let in."""
    limit(rig, LimitTerms(concurrent_requests=2))
    rig.stage.plays = [Play(200, SSE, STREAM[:1], ends=False), Play(200, SSE, STREAM[:1], ends=False)]
    callers = [rig.caller(stream=True), rig.caller(stream=True)]
    tasks = [rig.start(caller) for caller in callers]
    async with asyncio.timeout(PATIENCE_S):
        await until(lambda: all(len(caller.sent) > 1 for caller in callers))
        refused = await rig.run(rig.caller())
        assert refused.status == 429
        assert refused.json()["error"]["message"].startswith("Rate limit reached on requests at once of this key: Limit 2")
        tasks[0].cancel()
        await asyncio.wait({tasks[0]})
        assert (await ask(rig)).status == 200
        tasks[1].cancel()
        await asyncio.wait({tasks[1]})
    (scope,) = rig.limiter._scopes.values()
    assert scope.concurrent is not None
    assert not scope.concurrent.holders


async def test_tightest_limit_of_key_and_account_is_told(rig: Rig) -> None:
    """The account's is tighter here, and is what is refused and told."""
    limit(rig, LimitTerms(requests_per_minute=1_000), LimitTerms(requests_per_minute=10))
    assert (await ask(rig)).headers[b"x-ratelimit-limit-requests"] == b"10"
    for _ in range(10):
        await ask(rig)
    refused = await rig.run(rig.caller())
    assert "of this account: Limit 10" in refused.json()["error"]["message"]


async def test_shadow_counts_and_refuses_nothing(rig: Rig) -> None:
    """What would have been refused is counted; callers notice nothing but the headers."""
    limit(rig, LimitTerms(requests_per_minute=10, shadow=True))
    assert {(await ask(rig)).status for _ in range(20)} == {200}
    assert 7 <= rig.limiter.shadowed["key", "requests_per_minute"] <= 12
    assert not rig.limiter.refused


async def test_hard_limit_fails_closed_and_others_go_on(rig: Rig) -> None:
    """While the collector is away a hard limit answers 503; any other goes on with this edge's share."""
    limit(rig, LimitTerms(requests_per_minute=600))
    await ask(rig)
    rig.collector.is_reachable = False
    (scope,) = rig.limiter._scopes.values()
    assert scope.requests is not None
    scope.requests.until_s = 0.0  # what it was given has lapsed
    await rig.credit.poll()
    assert (await ask(rig)).status == 200
    scope.requests.is_hard = True
    refused = await rig.run(rig.caller())
    assert (refused.status, refused.json()["error"]["code"]) == (503, "limit_unverifiable")
    rig.collector.is_reachable = True
    await rig.credit.poll()
    assert (await ask(rig)).status == 200


async def test_request_that_is_refused_later_uses_no_tokens(tmp_path: Path) -> None:
    """A request that the credit does not pay for gives its tokens and its permit back."""
    async with Rig(tmp_path, credit_nano=2 * 10**7) as rig:
        limit(rig, LimitTerms(tokens_per_minute=1_000_000, concurrent_requests=1))
        await ask(rig)
        broke = await rig.run(rig.caller(messages=[{"role": "user", "content": "x" * 300_000}]))
        assert broke.status == 402
        assert left(broke, "tokens") < 1_000_000 - 50_000
        assert left(await ask(rig), "tokens") >= 1_000_000 - 40


async def test_provider_limit_moves_on_to_the_next(tmp_path: Path) -> None:
    """A provider that may be asked ten times a minute is asked so often; then the alias' second target is, not a refusal."""
    async with Rig(tmp_path, extra="rate_limits = { requests_per_minute = 10 }") as rig:
        for _ in range(20):
            caller = await ask(rig, model="both")
            assert caller.status == 200
            assert not [name for name in caller.headers if name.startswith(b"x-ratelimit")], "that is not the caller's to know"
        asked = [target.host for target in rig.stage.targets]
        assert 10 <= asked.count("provider.test") <= 11
        refused = await rig.run(rig.caller())
        assert refused.status == 429
        assert "of the provider p: Limit 10" in refused.json()["error"]["message"]


async def test_provider_limit_is_not_told_to_callers(tmp_path: Path) -> None:
    """Beside a limit of the caller's own the provider's, though less is left of it, is in no header of an answer or a refusal."""
    async with Rig(tmp_path, extra="rate_limits = { requests_per_minute = 10 }") as rig:
        limit(rig, LimitTerms(requests_per_minute=100))
        seen = [await ask(rig) for _ in range(11)]
        assert [(caller.status, caller.headers[b"x-ratelimit-limit-requests"]) for caller in seen] == [(200, b"100")] * 11
        assert [left(caller) for caller in seen] == list(range(99, 88, -1))
        refused = await rig.run(rig.caller())
        assert (refused.status, refused.headers.get(b"x-ratelimit-limit-requests")) == (429, None)


async def test_providers_own_word_is_followed(rig: Rig) -> None:
    """A provider that says that nothing is left is not asked again before its reset; another target is."""
    spent = [*JSON, (b"x-ratelimit-limit-requests", b"100"), (b"x-ratelimit-remaining-requests", b"0")]
    spent.append((b"x-ratelimit-reset-requests", b"30s"))
    await rig.ask(Play(200, spent, [ANSWER]), model="both")
    await ask(rig, model="both")
    assert [target.host for target in rig.stage.targets] == ["provider.test", "other.test"]
    refused = await rig.run(rig.caller())
    assert (refused.status, refused.json()["error"]["code"]) == (429, "provider_rate_limited")
    assert int(refused.headers[b"retry-after"]) <= 30


async def test_providers_word_is_of_one_model(tmp_path: Path) -> None:
    """Providers limit each model by itself: one that has nothing left keeps nobody from its neighbour behind the same key."""
    neighbour = '[providers.p.models.n]\ninput = "1"\noutput = "2"\n'
    spent = [*JSON, (b"x-ratelimit-limit-requests", b"100"), (b"x-ratelimit-remaining-requests", b"0")]
    spent.append((b"x-ratelimit-reset-requests", b"30s"))
    async with Rig(tmp_path, more=neighbour) as rig:
        await rig.ask(Play(200, spent, [ANSWER]))
        assert (await rig.run(rig.caller())).status == 429
        assert (await ask(rig, model="p/n")).status == 200
        assert (await rig.run(rig.caller())).status == 429, "what the neighbour says is not of this one"


async def test_providers_word_is_forgotten_after_its_reset(tmp_path: Path) -> None:
    """Also where the target is never asked again: other requests are not looked at for its sake."""
    now_s = [1_000.0]
    headers = [(b"x-ratelimit-limit-requests", b"100"), (b"x-ratelimit-remaining-requests", b"0")]
    headers.append((b"x-ratelimit-reset-requests", b"30s"))
    async with Rig(tmp_path) as rig:
        rates = ProviderRates(lambda: now_s[0])
        planned = rig.table.plan(read(b'{"model":"p/m","messages":[{"role":"user","content":"x"}]}'), (), 0.0, 0.0, "acct")
        assert isinstance(planned, Plan)
        rates.observe(planned.attempts[0], dict(headers))
        assert rates.refusal(planned.attempts[0], 1, now_s[0]) is not None
        now_s[0] += 29.0
        assert rates
        now_s[0] += 2.0
        assert not rates


class LeakyPool(PermitPool):
    """Counts instead of holding: what is given back twice, or not at all, stays wrong for ever."""

    count = 0

    def acquire(self, holder: object, now_s: float) -> None:
        self.count += 1
        super().acquire(holder, now_s)

    def release(self, holder: object) -> None:
        self.count -= 1
        super().release(holder)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_permits_held_are_requests_running(anyio_backend: str) -> None:
    """20,000 random admissions, ends (some told twice), crashes and restarts: what is held is what runs, always; a counter is
    not. `scripts/soak permits` does a million."""
    assert permits_walk(20_000, 20_261_126, PermitPool) == 0
    assert permits_walk(20_000, 20_261_126, LeakyPool) > 0


def permits_walk(steps: int, seed: int, make: type[PermitPool]) -> int:
    """How far what is held was ever from what runs."""
    dice = random.Random(seed)
    pool = make("key:k", 50, 0.0)
    running: list[LimitClaim] = []
    worst = 0
    for _ in range(steps):
        what = dice.random()
        if what < 0.5 and len(running) < 50:
            claim = LimitClaim(RateLimiter(), 0, "p", (), [])
            pool.acquire(claim, 0.0)
            running.append(claim)
        elif what < 0.9 and running:
            claim = running.pop(dice.randrange(len(running)))
            for _ in range(1 + (dice.random() < 0.1)):
                pool.release(claim)  # an end that is told twice, as by a cancellation on its way out
        elif what < 0.901:
            pool, running = make("key:k", 50, 0.0), []  # the process died, and so did what ran
        held = len(pool.holders) if make is PermitPool else getattr(pool, "count", 0)
        worst = max(worst, abs(held - len(running)))
    return worst


def test_policy_carries_limits_as_json() -> None:
    """What an older edge does not know it passes over; what is not set takes no room."""
    policy = Policy("d", "k", "a", "a", limits=LimitTerms(requests_per_minute=5, hard=True))
    told = json.loads(msgspec.json.encode(policy))
    assert told["limits"] == {"requests_per_minute": 5, "hard": True}
    assert "account_limits" not in told


async def test_provider_that_is_asked_in_anothers_place_has_its_limit_used(tmp_path: Path) -> None:
    """Its own limit is on what it is asked, whoever was meant first."""
    async with Rig(tmp_path, extra="rate_limits = { requests_per_minute = 10 }") as rig:
        caller = await rig.ask(broken(Sent.NOTHING, Kind.CONNECT), Play(200, JSON, [ANSWER]), model="q/m", models=["p/m"])
        assert caller.status == 200
        assert [target.host for target in rig.stage.targets] == ["other.test", "provider.test"]
        scope = rig.limiter.provider_scope("p")
        assert scope is not None
        assert scope.requests is not None
        assert scope.requests.recent == 1
