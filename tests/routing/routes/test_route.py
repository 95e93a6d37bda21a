"""Routes: which targets there are for a request, in which order, and for which failures another model stands in."""

import json
from collections import Counter
from typing import Any

import msgspec
import pytest

from routing.failures.cause import Cause
from routing.failures.failover import next_attempt
from routing.failures.failure import Failure, Kind, Sent, Source
from routing.plan.health import Health
from routing.plan.plan import Plan, Routes
from routing.plan.preferences import Preferences
from routing.plan.refusal import Refusal
from routing.request.envelope import Envelope, read
from routing.routes.route import Situation, When
from routing.routes.situation import conversation_of, situation_of
from routing.routes.speed import Speed
from routing.table.config import ConfigError, parse

TEXT = """
[providers.openai]
base_url = "https://openai.example/v1"
api_keys = ["env:A", "env:B"]
max_tokens_field = "max_completion_tokens"
data = { trains = false, retains_days = 30 }
models."gpt-4o" = { input = "2.5", output = "10", context_tokens = 128_000 }
models."gpt-4.1" = { input = "2", output = "8" }

[providers.azure]
like = "openai"
base_url = "https://azure.example/openai/v1"
api_key = "env:AZURE"
auth_header = "api-key"
data = { trains = false, retains_days = 0, regions = ["eu"] }
models."gpt-4o" = { input = "2" }

[providers.other]
base_url = "https://other.example/v1"
api_key = "none"
models.small = { input = "0.1", output = "0.2" }
models.long = { input = "1", output = "2", context_tokens = 2_000_000 }

[routes."openai/gpt-4o"]
targets = [
    { to = "openai/gpt-4o", weight = 8 },
    { to = "azure/gpt-4o", weight = 2 },
    { to = "azure/gpt-4o", weight = 90, when = { region = "eu" } },
]
fallback = ["other/small", "other/long"]
fallback_on = ["unavailable", "too_long"]
sticky_s = 600
policy = "patient"

[routes.long]
targets = [{ to = "other/long", when = { prompt_tokens_over = 1_000 } }, "openai/gpt-4o"]

[routes.cheap]
targets = ["openai/gpt-4o", "other/small", "azure/gpt-4o"]
balance = "cheapest"

[routes.quick]
targets = ["openai/gpt-4o", "other/small", "azure/gpt-4o"]
balance = "fastest"

[routes.night]
targets = [{ to = "other/small", when = { hours_utc = [22, 6], has = ["tools"], stream = true } }]
fallback = ["other/long"]

[routes.guarded]
targets = ["openai/gpt-4o"]
fallback = ["other/small"]
fallback_on = ["refused"]

[policies.patient]
attempts_max = 2
"""
CONFIG = parse(TEXT)
KEYS = frozenset({"env:A", "env:B", "env:AZURE"})
ROUTES = Routes(CONFIG, KEYS)
EU = Situation(region="fra")


def asked(model_id: str, roll: float = 0.0, **about: Any) -> list[str]:
    planned = ROUTES.plan(model_id, (), about.pop("health", {}), 0.0, roll, "", **about)
    assert isinstance(planned, Plan), planned
    return list(dict.fromkeys(attempt.model.id for attempt in planned.attempts))


def test_route_like_takes_over_models_and_quirks_but_no_place_and_no_key() -> None:
    """What leads into somebody's account is never taken over; a price that is said counts, the rest of the model stays."""
    azure, openai = CONFIG.providers["azure"], CONFIG.providers["openai"]
    assert azure.models["gpt-4o"].rates.input == 2_000_000
    assert azure.models["gpt-4o"].rates.output == openai.models["gpt-4o"].rates.output
    assert azure.models["gpt-4o"].context_tokens == 128_000
    assert azure.max_tokens_field == "max_completion_tokens"
    assert azure.key_refs == ("env:AZURE",)
    assert azure.base_url.host == "azure.example"
    assert azure.data.retains_days == 0
    assert azure.models["gpt-4.1"].id == "azure/gpt-4.1"


def test_route_weights_are_shares() -> None:
    """Of many requests each target gets its part, and where a condition holds its weight is added."""
    first = Counter(asked("openai/gpt-4o", roll / 1000)[0] for roll in range(1000))
    assert first == {"openai/gpt-4o": 800, "azure/gpt-4o": 200}
    first = Counter(asked("openai/gpt-4o", roll / 1000, situation=EU)[0] for roll in range(1000))
    assert first == {"openai/gpt-4o": 80, "azure/gpt-4o": 920}


def test_route_fallbacks_stand_behind_all_targets() -> None:
    """A route may bear a model's own id; its fallbacks come last, in their order."""
    assert asked("openai/gpt-4o", 0.9) == ["azure/gpt-4o", "openai/gpt-4o", "other/small", "other/long"]
    assert asked("openai/gpt-4.1") == ["openai/gpt-4.1"]


def test_route_balance() -> None:
    """By price; by the time to the first token, the better of two; and in order, where nothing else is said."""
    assert asked("cheap") == ["other/small", "azure/gpt-4o", "openai/gpt-4o"]
    speeds = {"openai/gpt-4o": 0.2, "other/small": 3.0, "azure/gpt-4o": 0.5}
    first = Counter(asked("quick", roll / 900, speeds=speeds)[0] for roll in range(900))
    assert first["openai/gpt-4o"] == 600
    assert first["azure/gpt-4o"] == 300
    assert asked("long", situation=Situation(prompt_tokens=2_000)) == ["other/long", "openai/gpt-4o"]


@pytest.mark.parametrize(
    ("situation", "first"),
    [
        (Situation(hour_utc=23, has=frozenset(("tools", "image")), stream=True), "other/small"),
        (Situation(hour_utc=5, has=frozenset(("tools",)), stream=True), "other/small"),
        (Situation(hour_utc=6, has=frozenset(("tools",)), stream=True), "other/long"),
        (Situation(hour_utc=23, stream=True), "other/long"),
        (Situation(hour_utc=23, has=frozenset(("tools",))), "other/long"),
    ],
)
def test_route_conditions_all_hold(situation: Situation, first: str) -> None:
    """A target is one only while all of its conditions hold."""
    assert asked("night", situation=situation)[0] == first


def test_route_conversation_stays_with_its_target() -> None:
    """While its target is one of the route's, whatever the roll."""
    assert asked("openai/gpt-4o", 0.0, kept="azure/gpt-4o")[0] == "azure/gpt-4o"
    assert asked("openai/gpt-4o", 0.0, kept="gone/model")[0] == "openai/gpt-4o"
    closed = {"azure env:AZURE": Health(1, 50.0, Cause.CREDENTIALS)}
    assert asked("openai/gpt-4o", 0.0, kept="azure/gpt-4o", health=closed)[0] == "openai/gpt-4o"


def test_route_permission_is_of_the_name_or_of_all_that_it_leads_to() -> None:
    """A key that may use the route's name may use the route."""
    assert isinstance(ROUTES.plan("cheap", ("cheap",), {}, 0.0, 0.0), Plan)
    refused = ROUTES.plan("cheap", ("openai/*",), {}, 0.0, 0.0)
    assert isinstance(refused, Refusal)
    assert refused.code == "model_not_allowed"


def test_route_wishes_order_its_targets() -> None:
    """A caller's preferences choose among a route's targets and turn its balance off."""

    def wished(**wishes: Any) -> list[str] | str:
        planned = ROUTES.plan_with("openai/gpt-4o", Preferences(**wishes), (), {}, 0.0, 0.0)
        if isinstance(planned, Refusal):
            return planned.message
        return list(dict.fromkeys(attempt.model.id for attempt in planned.attempts))

    assert wished(order=("azure",))[0] == "azure/gpt-4o"
    assert wished(only=("azure",)) == ["azure/gpt-4o"]
    assert wished(sorts_by_price=True)[0] == "azure/gpt-4o"
    assert all(each.startswith("other/") for each in wished(sorts_by_price=True)[2:]), "fallbacks stay behind, however cheap"
    assert wished(denies_collection=True) == ["openai/gpt-4o", "azure/gpt-4o"]
    assert wished(demands_zdr=True) == ["azure/gpt-4o"]
    assert "azure" in wished(demands_zdr=True, ignore=("azure",))


def _failed(cause: Cause) -> Failure:
    return Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, 400, told_cause=cause)


@pytest.mark.parametrize(
    ("model_id", "cause", "following"),
    [
        ("openai/gpt-4o", Cause.UNAVAILABLE, "azure/gpt-4o"),
        ("openai/gpt-4o", Cause.RATE_LIMITED, "azure/gpt-4o"),
        ("openai/gpt-4o", Cause.TOO_LONG, "azure/gpt-4o"),
        ("openai/gpt-4o", Cause.INVALID, None),
        ("guarded", Cause.UNAVAILABLE, "openai/gpt-4o"),
        ("guarded", Cause.MODERATED, "other/small"),
        ("guarded", Cause.TOO_LONG, None),
    ],
)
def test_route_failures_move_on_for_the_reasons_given(model_id: str, cause: Cause, following: str | None) -> None:
    """Targets stand for one thing; a fallback only for the reasons that are listed, moderation among them if it is."""
    planned = ROUTES.plan(model_id, (), {}, 0.0, 0.0)
    assert isinstance(planned, Plan)
    past = [(planned.attempts[0], _failed(cause))]
    at = next_attempt(planned.attempts, 0, past)
    assert (None if at is None else planned.attempts[at].model.id) == following


def test_route_situation_of_a_request() -> None:
    """What is in a request, and which conversation it belongs to: the later turns of one have the same name, others another."""
    first = (
        b'{"model":"m","tools":[{"type":"function"}],"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"}'
    )
    image = b'{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}'
    one, two = read(first + b"]}"), read(first + b"," + image + b"]}")
    assert situation_of(one, "fra", 3, "a", is_sticky=True).has == {"tools"}
    assert situation_of(two, "fra", 3, "a", is_sticky=False).has == {"tools", "image"}
    assert conversation_of(one, "a") == conversation_of(two, "a") != conversation_of(one, "b")
    assert conversation_of(read(first + b'],"prompt_cache_key":"k"}'), "a") != conversation_of(one, "a")


def test_route_speed_believes_bad_news_at_once() -> None:
    """A slow answer counts in full; faster ones bring it down over ten seconds."""
    slow = Speed(0.1, 0.0).after(2.0, 1.0)
    assert slow.first_token_s == 2.0
    assert 1.9 < slow.after(0.1, 1.5).first_token_s < 2.0
    assert slow.after(0.1, 61.0).first_token_s < 0.11


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('routes.r = { targets = ["a/n"] }', 'routes.r.targets[0]: leads to "a/n", which is no model here'),
        ('routes.r = { targets = [{ to = "a/m", when = { has = ["video"] } }] }', "routes.r.targets[0].when.has: is"),
        ('routes.r = { targets = [{ to = "a/m", when = { cel = "x" } }] }', "there is no such field"),
        ('routes.r = { targets = [{ to = "a/m", when = { region = "eu" } }] }', "has no target for a request that meets none"),
        ("routes.r = { targets = [] }", "routes.r.targets: is empty"),
        ('routes.r = { targets = "a/m" }', "routes.r.targets: is a string; a list of targets is expected"),
        ('routes.r = { targets = [""] }', "routes.r.targets[0].to: is empty"),
        ('routes.r = { targets = ["a/m"], fallback = ["a/n"] }', 'routes.r.fallback[0]: leads to "a/n"'),
        ('routes.r = { targets = [{ to = "a/m", when = {} }] }', "routes.r.targets[0].when: is empty"),
        ('routes.r = { targets = [{ to = "a/m", when = { hours_utc = [3] } }] }', "is no pair of hours from 0 to 24"),
        ('routes.r = { targets = [{ to = "a/m", when = { hours_utc = [3, 25] } }] }', "is no pair of hours from 0 to 24"),
        ('providers.b = { like = 5, base_url = "https://b.example", api_key = "none" }', "is not a provider of this file"),
        (
            'providers.b = 5\nproviders.c = { like = "b", base_url = "https://c.example", api_key = "none" }',
            "providers.b: is a whole",
        ),
        (
            'providers.b = { like = "c", base_url = "https://b.example", api_key = "none" }\n'
            'providers.c = { like = "d", base_url = "https://c.example", api_key = "none" }',
            "providers.c.like: is not a provider of this file",
        ),
        ("policies.p = { breaker = { failure_rate = true } }", "a number from 0 to 1 is expected"),
        ("routes.r = {}", "routes.r.targets: is missing"),
        ('routes.r = { targets = ["a/m"], balance = "random" }', "routes.r.balance"),
        ('routes.r = { targets = ["a/m"], fallback_on = ["limited"] }', "means nothing without fallback"),
        ('routes.r = { targets = ["a/m"], policy = "fast" }', 'names the policy "fast", which there is not'),
        ("policies.p = { first_token_timeout_s = 8 }", "needs abandoned beside it"),
        ('policies.p = { abandoned = "ours" }', "means nothing without first_token_timeout_s"),
        ("policies.p = { breaker = { cool_down_s = 90 } }", "is larger than cool_down_s_max"),
        ("policies.p = { breaker = { failure_rate = 0 } }", "is 0, which any failure exceeds"),
        ("policies.p = { breaker = { failure_rate = 50 } }", "is 50; a number from 0 to 1 is expected"),
        ("policies.p = { breaker = { window_s = 30 } }", "means nothing without failure_rate"),
        ("policies.p = { retry_budget = 2 }", "a number from 0 to 1 is expected"),
        ('defaults = { policy = "q" }', 'names the policy "q"'),
        ('routes.r = { targets = [{ to = "a/m", when = { hours_utc = [3, 3] } }] }', "begins when it ends"),
        ('aliases.r = "a/m"\nroutes.r = { targets = ["a/m"] }', "is already an alias"),
        ('providers.b = { like = "c", base_url = "https://b.example", api_key = "none" }', "is not a provider of this file"),
        ('providers.b = { like = "b", base_url = "https://b.example", api_key = "none" }', "leads back to itself: b -> b"),
        ('providers.b = { like = "a", api_key = "none" }', "providers.b.base_url: is missing"),
        ('providers.b = { like = "a", base_url = "https://b.example" }', "providers.b.api_key: is missing"),
        ('providers.b = { like = "a", base_url = "https://b.example", api_key = "none", data = { trains = 1 } }', "data.trains"),
    ],
)
def test_route_wrong(text: str, problem: str) -> None:
    """What is wrong with a route is told with its place."""
    table = 'providers.a = { base_url = "https://a.example", api_key = "none", models.m = { input = "1", output = "2" } }\n'
    with pytest.raises(ConfigError) as wrong:
        parse(table + text)
    assert problem in str(wrong.value)


def test_route_wishes_that_were_seen_are_a_look_up() -> None:
    """Equal wishes are the same plan object; others are others, and speed is looked at each time."""

    def wished(speeds: dict[str, float], **wishes: Any) -> Plan:
        planned = ROUTES.plan_with("cheap", Preferences(**wishes), (), {}, 0.0, 0.0, speeds=speeds)
        assert isinstance(planned, Plan)
        return planned

    assert wished({}, only=("azure",)) is wished({}, only=("azure",)) is not wished({}, only=("openai",))
    assert wished({"other/small": 9.0}, sorts_by_speed=True).attempts[0].model.id != "other/small"
    assert wished({"openai/gpt-4o": 9.0, "azure/gpt-4o": 8.0}, sorts_by_speed=True).attempts[0].model.id == "other/small"
    assert wished({}).attempts[0].model.id == "other/small"


def test_route_plan_is_one_look_up_without_wishes() -> None:
    """The same plan object again: nothing is made for a request."""
    assert ROUTES.plan("cheap", (), {}, 0.0, 0.3) is ROUTES.plan("cheap", (), {}, 0.0, 0.3)
    assert msgspec.structs.asdict(EU)["region"] == "fra"


@pytest.mark.parametrize(
    ("first_token_s", "now_s", "is_fresh"),
    [(0.2, 0.05, True), (0.1, 0.05, True), (0.3, 0.05, False), (0.2, 0.1, False), (0.1, 9.0, False)],
)
def test_route_speed_that_would_hardly_change_is_not_counted(first_token_s: float, now_s: float, is_fresh: bool) -> None:
    """Good news so soon after the last; bad news always is."""
    assert Speed(0.2, 0.0).is_fresh(first_token_s, now_s) is is_fresh


def said(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


PDF = {"filename": "a", "file_data": "data:application/pdf;base64," + "A" * 40}
MEDIA: list[tuple[dict[str, Any], set[str]]] = [
    (said({"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}), {"image"}),
    (said({"type": "input_audio", "input_audio": {"data": "A" * 40, "format": "wav"}}), {"audio"}),
    (said({"type": "file", "file": {"file_id": "f"}}), {"file"}),
    (said({"type": "file", "file": PDF}), {"file"}),
    (said({"type": "text", "text": 'the "file_data" of a pdf, an image'}), set()),
    ({"functions": [{"name": "f"}]}, {"tools"}),
    ({"response_format": {"type": "json_object"}}, {"json"}),
    ({}, set()),
]


@pytest.mark.parametrize(("members", "parts"), MEDIA)
def test_route_condition_sees_what_is_in_a_request(members: dict[str, Any], parts: set[str]) -> None:
    """A picture by its address, a sound, a document that is kept or sent, tools under their old name, an answer in JSON."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]} | members
    assert situation_of(read(json.dumps(body).encode()), "", 0, "", is_sticky=False).has == parts


def test_route_that_asks_for_no_parts_has_none_looked_for() -> None:
    """A large prompt is read through only where a condition needs it."""
    body = read(json.dumps({"model": "m", **said({"type": "file", "file": PDF})}).encode())
    assert situation_of(body, "fra", 0, "", is_sticky=False, has_parts=False).has == frozenset()
    assert [name for name, route in CONFIG.routes.items() if route.asks_for_parts] == ["night"]


def members_of(**members: Any) -> Envelope:
    """An envelope of any surface's members: those that decide a conversation are read raw."""
    envelope = read(b'{"model":"m","messages":[{"role":"user","content":"hi"}]}')
    return msgspec.structs.replace(envelope, members={name: msgspec.Raw(value) for name, value in members.items()})


@pytest.mark.parametrize("name", ["messages", "input", "contents"])
def test_route_conversation_is_known_by_its_opening(name: str) -> None:
    """Whatever the surface calls its turns; what is no list of turns is itself the conversation; nothing is none."""

    def of(turns: bytes, **more: bytes) -> str:
        return conversation_of(members_of(**{name: turns}, **more), "a")

    opening = b'[{"role":"user","content":"a"},'
    turns = opening + b'{"role":"assistant","content":"b"}]'
    assert of(turns) == of(opening + b'{"role":"assistant","content":"other"}]') != ""
    assert of(turns, system=b'"s"') != of(turns)
    assert of(b'"a text"') != of(b'"another"')
    assert of(b'["no object","x"]') == of(b'["no object","y"]') != of(b'["another","x"]')
    assert conversation_of(members_of(), "a") == ""
    for own in ("session_id", "prompt_cache_key", "conversation"):
        assert of(turns, **{own: b'"k"'}) == of(b'"a text"', **{own: b'"k"'}) != of(turns)


def test_route_leads_to_each_of_its_models_once() -> None:
    """Targets first, then fallbacks, in their order."""
    assert CONFIG.routes["openai/gpt-4o"].model_ids == ("openai/gpt-4o", "azure/gpt-4o", "other/small", "other/long")


@pytest.mark.parametrize(
    ("when", "situation", "why"),
    [
        ({"region": "eu"}, {"region": "fra"}, ""),
        ({"region": "fra"}, {"region": "fra"}, ""),
        ({"region": "eu"}, {"region": "iad"}, "when.region = eu, here iad"),
        ({"region": "eu"}, {}, "when.region = eu, here nowhere: TOLLWAY_REGION is not set"),
        ({"has": frozenset(("tools",))}, {}, "when.has = tools, here none"),
        ({"has": frozenset(("tools",))}, {"has": frozenset(("image",))}, "when.has = tools, here image"),
        ({"prompt_tokens_over": 10}, {"prompt_tokens": 11}, ""),
        ({"prompt_tokens_over": 10}, {"prompt_tokens": 10}, "when.prompt_tokens_over = 10, here about 10"),
        ({"max_tokens_over": 10}, {"max_tokens": 11}, ""),
        ({"max_tokens_over": 10}, {"max_tokens": 10}, "when.max_tokens_over = 10, here 10"),
        ({"stream": True}, {}, "when.stream = true, here false"),
        ({"stream": False}, {"stream": True}, "when.stream = false, here true"),
        ({"hours_utc": (8, 18)}, {"hour_utc": 17}, ""),
        ({"hours_utc": (8, 18)}, {"hour_utc": 18}, "when.hours_utc = [8, 18], now 18"),
        ({"hours_utc": (22, 6)}, {"hour_utc": 5}, ""),
        ({"hours_utc": (22, 6)}, {"hour_utc": 6}, "when.hours_utc = [22, 6], now 6"),
    ],
)
def test_route_condition_that_does_not_hold_says_why(when: dict[str, Any], situation: dict[str, Any], why: str) -> None:
    assert When(**when).why_not(Situation(**situation)) == why


def test_route_like_takes_over_endpoints_but_no_place_and_no_header() -> None:
    """How a format is spoken is taken over; where, and with which headers, is each provider's own. What is no table is said."""
    table = """
[providers.a]
base_url = "https://a.example"
api_key = "none"
models.m = { input = "1", output = "2" }
endpoints.chat = { path = "/c", base_url = "https://other.example", extra_headers = { x-a = "b" } }
[providers.b]
like = "a"
base_url = "https://b.example"
api_key = "none"
"""
    (endpoint,) = parse(table).providers["b"].endpoints
    assert (endpoint.path, endpoint.base_url, endpoint.headers) == ("/c", None, ())
    with pytest.raises(ConfigError, match=r"providers\.b\.endpoints\.chat"):
        parse(table.replace("endpoints.chat = {", "endpoints.chat = 5 #{"))
