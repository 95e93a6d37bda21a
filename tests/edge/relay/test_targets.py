"""Several targets for one request, each with its own price, cap and hold; and what is asked for beside an answer."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import pytest

from routing.plan.health import Health
from routing.plan.plan import Plan
from routing.plan.storm import REPEATS_MIN
from routing.request.envelope import read
from tests.edge.rig import JSON, SSE, Caller, Play, Rig, reread
from usage.record import Tokens

pytestmark = pytest.mark.anyio

TABLE = """
[providers.cheap]
base_url = "http://cheap.test/v1"
api_key = "none"
[providers.cheap.models.m]
input = "1"
output = "2"
max_output_tokens = 1000
image_tokens_max = 1000
context_tokens = 1_000_000
[providers.dear]
base_url = "http://dear.test/v1"
api_key = "none"
max_tokens_field = "max_completion_tokens"
parameters = ["top_k"]
[providers.dear.models.m]
input = "100"
output = "2000"
max_output_tokens = 50
[providers.tiers]
base_url = "http://tiers.test/v1"
api_key = "none"
parameters = ["cache_control"]
[providers.tiers.models.m]
input = "10"
output = "20"
max_output_tokens = 100
cache_write = "12"
cache_write_1h = "20"
search = "0.001"
above_1k = { input = "20", output = "40" }
tiers = { flex = { input = "5", output = "10" }, priority = { input = "20", output = "40" } }
[providers.once]
base_url = "http://once.test/v1"
api_key = "none"
attempts_max = 1
models.m = { input = "100", output = "2000", max_output_tokens = 50 }
[providers.frank]
base_url = "http://frank.test/v1"
api_key = "none"
attempts_max = 1
models.m = { input = "1", output = "2", max_output_tokens = 100 }
[aliases]
once = ["once/m", "frank/m"]
rising = ["cheap/m", "dear/m"]
falling = ["dear/m", "cheap/m"]
"""


def answer(prompt: int = 10, completion: int = 5, **more: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        **more.pop("usage", {}),
    }
    return json.dumps({"id": "x", "model": "m", "choices": [choice], "usage": usage, **more}).encode()


def good(**more: Any) -> Play:
    return Play(200, JSON, [answer(**more)])


def busy() -> Play:
    return Play(503, JSON, [b'{"error":{"message":"busy"}}'])


def asked(play: Play) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(play.asked)
    return body


async def rig_of(folder: Path, credit_nano: int) -> Rig:
    rig = Rig(folder, credit_nano=credit_nano)
    (folder / "providers.toml").write_text(TABLE)
    reread(rig.table, rig._folder / "providers.toml")
    return rig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with await rig_of(tmp_path, 10**9) as built:
        yield built


async def test_alias_is_not_cut_at_the_other_targets_cap(rig: Rig) -> None:
    """The first target answers as long as it may by itself, however short the second one's answers are."""
    play = good(completion=1_000)
    caller = await rig.ask(play, model="rising")
    assert caller.status == 200
    (record,) = rig.records
    assert (record.provider, record.tokens.completion, record.usage_source) == ("cheap", 1_000, "provider")
    assert "max_tokens" not in asked(play)
    assert rig.held_nano == 0


async def test_alias_holds_for_the_target_that_is_tried(rig: Rig) -> None:
    """While the cheap one is asked, only its worst case is held; when the dear one is, that one's."""
    held: list[int] = []
    rig.stage.on_open = lambda: held.append(rig.held_nano)
    caller = await rig.ask(busy(), good(), model="rising")
    assert caller.status == 200
    assert held[0] < 3_000_000
    assert held[1] > 50 * 2_000_000
    (record,) = rig.records
    assert (record.provider, record.hold_nano) == ("dear", held[1])
    assert rig.held_nano == 0


async def test_alias_whose_second_target_is_too_dear_is_served_by_the_first(tmp_path: Path) -> None:
    """What the credit does not pay for is passed over; it is no reason to refuse what it does pay for."""
    async with await rig_of(tmp_path, 50_000_000) as rig:
        assert (await rig.ask(good(), model="rising", max_tokens=40)).status == 200
        failed = await rig.ask(busy(), good(), model="rising", max_tokens=40)
        assert failed.status == 503
        assert [record.provider for record in rig.records] == ["cheap", "cheap"]
        assert rig.held_nano == 0


@pytest.mark.parametrize(("credit_nano", "status", "provider"), [(50_000_000, 503, "cheap"), (10**9, 200, "dear")])
async def test_repetition_without_room_moves_on_to_what_is_paid(
    tmp_path: Path, credit_nano: int, status: int, provider: str
) -> None:
    """Who may not repeat is led to the next target as everybody is: what that costs is held before it is asked."""
    async with await rig_of(tmp_path, credit_nano) as rig:
        plan = rig.table.plan(
            read(b'{"model":"rising","messages":[{"role":"user","content":"x"}]}'), (), monotonic(), 0.0, "acct"
        )
        assert isinstance(plan, Plan)
        cheap, dear = plan.attempts
        rig.table._health[dear.scopes.target] = Health(1, monotonic() - 1.0)  # it waits for a trial, behind a repetition
        assert all(rig.table.observed.begin_repeat(cheap) for _ in range(REPEATS_MIN))
        play = good()
        assert (await rig.ask(busy(), play, model="rising", max_tokens=40)).status == status
        (record,) = rig.records
        assert (record.provider, bool(play.asked), record.attempts) == (provider, status == 200, 1 + (status == 200))
        assert (record.hold_nano > 40 * 2_000_000) is (provider == "dear")
        assert rig.held_nano == 0


class SlowReader(Caller):
    """Takes the head, and nothing behind it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.waits = asyncio.Event()

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            self.waits.set()
            await asyncio.Event().wait()
        await super().send(message)


async def test_repetition_that_is_cut_off_gives_its_room_back(rig: Rig) -> None:
    """A caller who takes no comment before a repetition is cut off, and later requests can be repeated as before."""
    rig.table.limits.now = msgspec.structs.replace(rig.table.limits.now, keepalive_comment_s=0.0)
    plan = rig.table.plan(read(b'{"model":"cheap/m","messages":[{"role":"user","content":"x"}]}'), (), monotonic(), 0.0, "acct")
    assert isinstance(plan, Plan)
    rig.stage.plays = [busy()]
    whole = rig.caller(model="cheap/m", stream=True)
    caller = SlowReader((await whole.receive())["body"], whole.scope["headers"])
    request = rig.start(caller)
    await caller.waits.wait()
    rig.look(31.0)
    await asyncio.wait({request})
    assert [record.end_reason for record in rig.records] == ["cancelled"]
    assert all(rig.table.observed.begin_repeat(plan.attempts[0]) for _ in range(REPEATS_MIN))


async def test_alias_whose_first_target_is_too_dear_is_served_by_the_second(tmp_path: Path) -> None:
    """The order is the operator's, as far as the credit goes."""
    async with await rig_of(tmp_path, 50_000_000) as rig:
        caller = await rig.ask(good(), model="falling", max_tokens=40)
        assert (caller.status, rig.records[0].provider) == (200, "cheap")


@pytest.mark.parametrize(("credit_nano", "served_by"), [(10**9, "once"), (50_000_000, "frank")])
async def test_alias_that_tries_once_tries_what_can_serve_the_request(tmp_path: Path, credit_nano: int, served_by: str) -> None:
    """`attempts_max = 1` is about failures: a target that is too dear, or that has no price for what is asked, was not tried."""
    async with await rig_of(tmp_path, credit_nano) as rig:
        caller = await rig.ask(good(), model="once", max_tokens=40)
        assert (caller.status, rig.records[-1].provider) == (200, served_by)
        assert (await rig.ask(busy(), model="once", max_tokens=40)).status == 503
        assert len(rig.stage.targets) == 2


async def test_alias_of_which_nothing_can_be_paid_says_what_the_cheapest_needs(tmp_path: Path) -> None:
    """The refusal is about the target that is nearest."""
    async with await rig_of(tmp_path, 50_000) as rig:
        caller = await rig.ask(good(), model="falling", max_tokens=40)
        error = caller.json()["error"]
        assert (caller.status, error["code"]) == (402, "insufficient_credits")
        assert "0.000167 must be held" in error["message"]
        assert "does not cover this request: 0.00005 dollars are left" in error["message"]
        assert "used up" not in error["message"]


@pytest.mark.parametrize(("model", "field", "most"), [("cheap/m", "max_tokens", 1_000), ("dear/m", "max_completion_tokens", 50)])
async def test_cap_above_the_models_own_is_lowered_to_it(rig: Rig, model: str, field: str, most: int) -> None:
    """The provider would refuse it, and the account would be refused for an answer that nobody can give."""
    play = good()
    caller = await rig.ask(play, model=model, max_tokens=10**7)
    assert caller.status == 200
    assert {name: value for name, value in asked(play).items() if name.startswith("max_")} == {field: most}


async def test_linked_image_is_reserved_for_as_an_image(tmp_path: Path) -> None:
    """One picture on a model with a window of a million tokens is no million tokens."""
    async with await rig_of(tmp_path, 5_000_000) as rig:
        content = [{"type": "image_url", "image_url": {"url": "https://x.test/y.png"}}]
        caller = await rig.ask(good(), model="cheap/m", messages=[{"role": "user", "content": content}])
        assert caller.status == 200
        assert rig.records[0].hold_nano < 4_000_000


@pytest.mark.parametrize(
    ("asks", "served", "tier", "cost"),
    [
        (None, None, "", 10 * 10_000 + 5 * 20_000),
        ("flex", "flex", "flex", 10 * 5_000 + 5 * 10_000),
        ("priority", "priority", "priority", 10 * 20_000 + 5 * 40_000),
        ("priority", "default", "", 10 * 10_000 + 5 * 20_000),
        ("flex", None, "flex", 10 * 5_000 + 5 * 10_000),
        ("flex", "default", "", 10 * 10_000 + 5 * 20_000),
        ("auto", "scale", "", 10 * 10_000 + 5 * 20_000),
        ("auto", "flex", "flex", 10 * 5_000 + 5 * 10_000),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_tier_that_the_answer_names_is_charged(
    rig: Rig, asks: str | None, served: str | None, tier: str, cost: int, *, stream: bool
) -> None:
    """Asked for flex and served plain is plain, and the other way round; what it names without a price is what was asked."""
    names = {} if served is None else {"service_tier": served}
    members: dict[str, Any] = {} if asks is None else {"service_tier": asks}
    if stream:
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        first = {"id": "x", "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}], **names}
        last = {"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage, **names}
        events = [b"data: " + json.dumps(each).encode() + b"\n\n" for each in (first, last)]
        play = Play(200, SSE, [*events, b"data: [DONE]\n\n"])
    else:
        play = good(**names)
    caller = await rig.ask(play, model="tiers/m", stream=stream, **members)
    assert caller.status == 200
    (record,) = rig.records
    assert (record.tier, record.cost_nano) == (tier, cost)
    assert asked(play).get("service_tier") == asks


async def test_tier_that_nobody_asked_for_is_not_charged_beyond_the_hold(rig: Rig) -> None:
    """A dearer tier than was asked for is charged as far as it was held for, else what was asked."""
    play = good(prompt=140, completion=100, service_tier="priority")
    await rig.ask(play, model="tiers/m", max_tokens=100, messages=[{"role": "user", "content": "x" * 100}])
    (record,) = rig.records
    assert record.cost_nano <= record.hold_nano
    assert record.tier == ""


async def test_prompt_above_the_threshold_costs_more_for_all_its_tokens(rig: Rig) -> None:
    """A short prompt no longer pays the long one's price, and the long one still does."""
    short = [{"role": "user", "content": "hi"}]
    long = [{"role": "user", "content": "word " * 400}]
    await rig.ask(good(prompt=10, completion=5), model="tiers/m", messages=short)
    await rig.ask(good(prompt=1_500, completion=5), model="tiers/m", messages=long)
    await rig.ask(good(prompt=1_000, completion=5), model="tiers/m", messages=long)
    assert [record.cost_nano for record in rig.records] == [
        10 * 10_000 + 5 * 20_000,
        1_500 * 20_000 + 5 * 40_000,
        1_000 * 10_000 + 5 * 20_000,
    ]


async def test_search_that_was_asked_for_is_charged(rig: Rig) -> None:
    """As often as the provider says, and at least once when it does not say."""
    await rig.ask(good(), model="tiers/m", web_search_options={})
    await rig.ask(good(usage={"num_search_queries": 3}), model="tiers/m", web_search_options={})
    await rig.ask(good(), model="tiers/m")
    plain = 10 * 10_000 + 5 * 20_000
    assert [record.cost_nano - plain for record in rig.records] == [1_000_000, 3_000_000, 0]
    assert [record.tokens.searches for record in rig.records] == [1, 3, 0]


async def test_cache_that_lives_long_is_charged_as_such(rig: Rig) -> None:
    """A write for an hour has its own price where the provider does not split its writes."""
    content = [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    usage = {"prompt_tokens_details": {"cache_write_tokens": 8}}
    await rig.ask(good(usage=usage), model="tiers/m", messages=[{"role": "user", "content": content}])
    (record,) = rig.records
    assert record.tokens == Tokens(10, 5, cache_write=8, cache_write_1h=8)
    assert record.cost_nano == 2 * 10_000 + 8 * 20_000 + 5 * 20_000


async def test_models_are_tried_in_their_order_and_the_answer_is_called_by_its_own(rig: Rig) -> None:
    """OpenRouter's fallbacks, planned like an alias; the list itself reaches no provider."""
    first, second = busy(), good()
    caller = await rig.ask(first, second, model="tiers/m", models=["cheap/m"], route="fallback")
    assert (caller.status, caller.json()["model"], rig.records[0].model) == (200, "cheap/m", "cheap/m")
    for play in (first, second):
        assert asked(play).keys() & {"models", "route", "provider"} == set()
    alone = await rig.ask(good(), model=None, models=["cheap/m", "tiers/m"])
    assert (alone.status, alone.json()["model"]) == (200, "cheap/m")


async def test_provider_preferences_choose_among_the_targets(rig: Rig) -> None:
    """Names and prices are obeyed; who is left out is not asked."""
    chosen: tuple[tuple[dict[str, Any], str], ...] = (
        ({"order": ["dear"]}, "dear"),
        ({"only": ["Dear"]}, "dear"),
        ({"ignore": ["cheap"]}, "dear"),
        ({"sort": "price"}, "cheap"),
        ({"max_price": {"prompt": 5, "completion": "5"}}, "cheap"),
    )
    for wishes, provider in chosen:
        caller = await rig.ask(good(), model="falling", max_tokens=5, provider=wishes)
        assert (caller.status, rig.records[-1].provider) == (200, provider), wishes
    none: tuple[dict[str, Any], ...] = ({"only": ["nobody"]}, {"max_price": {"prompt": 0.5}})
    for wishes in none:
        caller = await rig.ask(good(), model="falling", provider=wishes)
        assert (caller.status, caller.json()["error"]["code"]) == (404, "no_allowed_provider")
        assert caller.json()["error"]["param"] == "provider"
    rig.stage.targets.clear()
    caller = await rig.ask(busy(), busy(), model="falling", max_tokens=5, provider={"allow_fallbacks": False})
    assert (caller.status, {target.host for target in rig.stage.targets}) == (503, {"dear.test"})


async def test_ignored_members_are_reported(rig: Rig) -> None:
    """What was left out stands in a header of the answer, whole or streamed, and only there."""
    play = good()
    caller = await rig.ask(play, model="cheap/m", top_k=5, transforms=["middle-out"], usage={"include": True})
    assert caller.headers[b"x-tollway-ignored"] == b"top_k, transforms"
    assert asked(play).keys() == {"model", "messages"}
    events = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    streamed = await rig.ask(Play(200, SSE, [events]), model="cheap/m", stream=True, top_k=5)
    assert streamed.headers[b"x-tollway-ignored"] == b"top_k"
    kept = good()
    assert b"x-tollway-ignored" not in (await rig.ask(kept, model="dear/m", max_tokens=5, top_k=5)).headers
    assert asked(kept)["top_k"] == 5


@pytest.mark.parametrize("model", ["Cheap/M", "CHEAP/m", "cheap/m:nitro", "cheap/m:floor", "Rising"])
async def test_model_id_in_any_case_and_with_a_suffix(rig: Rig, model: str) -> None:
    """It is the id of the table, in the answer, the record and the price."""
    caller = await rig.ask(good(), model=model)
    assert (caller.status, caller.json()["model"]) == (200, "rising" if model == "Rising" else "cheap/m")
    assert rig.records[0].provider == "cheap"


@pytest.mark.parametrize(
    ("model", "status", "code", "words"),
    [
        ("cheap/m:free", 404, "model_not_found", "call cheap/m"),
        ("cheap/m:online", 400, "unpriced_option", "call cheap/m"),
        ("cheap/m:thinking", 404, "model_not_found", "reasoning_effort"),
        ("cheap/m:exacto", 404, "model_not_found", "call cheap/m"),
        ("cheap/m:beta", 404, "model_not_found", "Did you mean cheap/m"),
        ("cheap/mm", 404, "model_not_found", "Did you mean cheap/m"),
        ("cheap/", 404, "model_not_found", "the provider cheap has no model"),
    ],
)
async def test_model_id_that_cannot_be_served(rig: Rig, model: str, status: int, code: str, words: str) -> None:
    """A sentence that says what would be right."""
    caller = await rig.ask(good(), model=model)
    error = caller.json()["error"]
    assert (caller.status, error["code"]) == (status, code)
    assert words in error["message"]


PARTED = """
[routes.plain]
targets = ["frank/m"]
[routes.tooled]
targets = [{ to = "cheap/m", when = { has = ["tools"] } }]
fallback = ["frank/m"]
"""
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]


@pytest.mark.parametrize(
    ("members", "host"),
    [
        ({"model": "tooled", "tools": TOOLS}, "cheap.test"),
        ({"model": "tooled"}, "frank.test"),
        ({"model": "plain", "tools": TOOLS}, "frank.test"),
        ({"model": None, "models": ["tooled"], "tools": TOOLS}, "cheap.test"),
        ({"model": None, "models": ["tooled"]}, "frank.test"),
    ],
)
async def test_route_is_led_by_what_a_request_is_made_of(rig: Rig, members: dict[str, Any], host: str) -> None:
    """Whether it is called itself or stands in `models`; a route that asks for nothing of it is as ever."""
    (rig._folder / "providers.toml").write_text(TABLE + PARTED)
    reread(rig.table, rig._folder / "providers.toml")
    caller = await rig.ask(good(), **members)
    assert (caller.status, [target.host for target in rig.stage.targets]) == (200, [host]), caller.body


async def test_large_body_of_an_account_that_has_nothing_is_not_read(tmp_path: Path) -> None:
    """Whoever cannot pay costs nothing that grows with what they send."""
    async with await rig_of(tmp_path, 0) as rig:
        body = json.dumps({"model": "cheap/m", "messages": [1], "x": "y" * 100_000}).encode()
        caller = rig.caller_of(body, [*rig.caller().scope["headers"], (b"content-length", b"%d" % len(body))])
        reads, told = 0, list[dict[str, Any]]()
        receive, caller.on_send = caller.receive, told.append

        async def counted() -> dict[str, Any]:
            nonlocal reads
            reads += not told
            return await receive()

        caller.receive = counted  # type: ignore[method-assign]
        await rig.run(caller)
        assert (caller.status, reads) == (402, 0)
        assert "is used up: 0 dollars are left" in caller.json()["error"]["message"]
        assert rig.in_flight.held_bytes == 0
