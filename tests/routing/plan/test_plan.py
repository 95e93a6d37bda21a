"""The plan: order, keys, health, permissions and prices; and the words of each refusal."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from routing.failures.cause import Cause
from routing.plan.health import Health
from routing.plan.plan import ROWS_MAX, Plan, Routes, plan
from routing.plan.preferences import Preferences, read_preferences
from routing.plan.refusal import Refusal
from routing.plan.row import PlanRow
from routing.plan.unplanned import missing_keys, suggestions
from routing.request.invalid import Invalid
from routing.routes.restoration import Restoration
from routing.table.config import parse
from routing.table.endpoint import BaseUrl
from routing.table.provider import Provider

TEXT = """
[providers.one]
base_url = "https://one.example"
api_key = "env:ONE"
models.m = { input = "1", output = "2" }
models.large = { input = "3", output = "4", upstream = "large-2026" }

[providers.pool]
base_url = "https://pool.example"
api_keys = ["env:A", "env:B", "file:/c"]
models.m = { input = "1", output = "1" }

[providers.single]
base_url = "https://single.example"
api_key = "file:/run/key"
attempts_max = 1
unlisted = { input = "1", output = "1" }

[aliases]
both = ["pool/m", "one/m"]
many = ["one/m", "one/large", "pool/m", "echo/a", "echo/b"]
"""
CONFIG = parse(TEXT)
KEYS = frozenset({"env:ONE", "env:A", "env:B", "file:/c", "file:/run/key"})
ROUTES = Routes(CONFIG, KEYS)
OPEN = Health(5, 200.0, Cause.UNAVAILABLE)
LIMITED = Health(1, 160.5, Cause.RATE_LIMITED)
REFUSED = Health(1, 160.5, Cause.CREDENTIALS)
HALF_OPEN = Health(5, 100.0, Cause.UNAVAILABLE)


def names(model_id: str, roll: float = 0.0, health: dict[str, Health] | None = None, routes: Routes = ROUTES) -> list[str]:
    planned = routes.plan(model_id, (), health or {}, 100.0, roll)
    assert isinstance(planned, Plan), planned
    assert planned.model_id == model_id
    return [f"{each.model.id} {each.key_ref or '-'}" for each in planned.attempts]


def refusal(
    model_id: str, allowed: tuple[str, ...] = (), health: dict[str, Health] | None = None, keys: frozenset[str] = KEYS
) -> Refusal:
    refused = plan(CONFIG, keys, model_id, allowed, health or {}, 100.0, 0.0)
    assert isinstance(refused, Refusal), refused
    return refused


def test_plan_of_one_target() -> None:
    """A lone target is asked again at itself; its price and its own name are in the attempt."""
    assert names("one/m") == ["one/m env:ONE", "one/m env:ONE"]
    planned = ROUTES.plan("one/large", (), {}, 0.0, 0.0)
    assert isinstance(planned, Plan)
    attempt = planned.attempts[0]
    assert (attempt.model.name, attempt.rates, attempt.provider.name) == ("large-2026", attempt.model.rates, "one")
    assert names("single/x") == ["single/x file:/run/key"]
    assert names("echo/echo-1") == ["echo/echo-1 -", "echo/echo-1 -"]


def test_plan_is_kept() -> None:
    """While all is well the same plan is handed out, and a fault elsewhere does not change that."""
    first = ROUTES.plan("one/m", (), {}, 0.0, 0.9)
    assert ROUTES.plan("one/m", (), {"pool": OPEN}, 100.0, 0.1) is first
    assert ROUTES.plan("one/m", (), {"one": Health(2)}, 100.0, 0.1) is first
    assert repr(ROUTES) == f"<Routes {CONFIG.version}, 4 providers, 5 keys>"


def test_plan_spreads_over_a_pool() -> None:
    """The roll chooses the first key; the others follow in turn. Keys that did not resolve are not there."""
    assert [names("pool/m", roll)[0] for roll in (0.0, 0.34, 0.99)] == ["pool/m env:A", "pool/m env:B", "pool/m file:/c"]
    assert names("pool/m", 0.5) == ["pool/m env:B", "pool/m file:/c", "pool/m env:A"]
    assert names("pool/m", 0.9, routes=Routes(CONFIG, frozenset({"env:B"}))) == ["pool/m env:B", "pool/m env:B"]


def test_plan_of_an_alias() -> None:
    """Each target has its turn in order; keys left over go to the first. What is left stands behind, for refusals at no cost."""
    assert names("both") == ["pool/m env:A", "pool/m env:B", "one/m env:ONE", "pool/m file:/c"]
    many = ["one/m env:ONE", "one/large env:ONE", "pool/m env:A", "pool/m env:B", "pool/m file:/c", "echo/a -", "echo/b -"]
    assert names("many") == many
    assert names("both", routes=Routes(CONFIG, frozenset({"env:ONE"}))) == ["one/m env:ONE", "one/m env:ONE"]


def test_plan_around_what_is_open() -> None:
    """What is open is passed over, whether the provider, one key or one model behind it."""
    assert names("both", health={"pool": OPEN}) == ["one/m env:ONE", "one/m env:ONE"]
    assert names("both", health={"pool env:A": OPEN}) == ["pool/m env:B", "pool/m file:/c", "one/m env:ONE"]
    assert names("both", health={"one env:ONE m": OPEN}) == ["pool/m env:A", "pool/m env:B", "pool/m file:/c"]
    assert names("one/large", health={"one env:ONE m": OPEN}) == ["one/large env:ONE"] * 2


def test_plan_leaves_trials_to_the_end() -> None:
    """What needs a trial is asked when all that is well has failed, or is all there is, or a trial at no cost went well."""
    pool = ["pool/m env:A", "pool/m env:B", "pool/m file:/c"]
    assert names("both", health={"pool": HALF_OPEN}) == ["one/m env:ONE", "one/m env:ONE", *pool]
    assert names("pool/m", health={"pool env:A": HALF_OPEN}) == ["pool/m env:B", "pool/m file:/c", "pool/m env:A"]
    assert names("pool/m", health={"pool": HALF_OPEN}) == pool
    assert names("both", health={"pool": HALF_OPEN.after_free_trial(100.0, went_well=True)}) == names("both")
    assert names("both", health={"pool": Health(0, 99.0, Cause.RATE_LIMITED, needs_trial=False)}) == names("both")


def test_plan_keeps_out_only_whom_it_concerns() -> None:
    """A target that fails one account's requests is open to the others."""
    health = {"one env:ONE m": Health(5, 200.0, Cause.UNAVAILABLE, 90.0, (("bad", 5),))}
    assert isinstance(ROUTES.plan("one/m", (), health, 100.0, 0.0, "bad"), Refusal)
    assert isinstance(ROUTES.plan("one/m", (), health, 100.0, 0.0, "good"), Plan)


def test_plan_goes_by_the_value_of_a_key() -> None:
    """Another value behind the same reference is another scope; the same value behind two references is one."""
    old = Routes(CONFIG, KEYS, {"env:ONE": "old"})
    new = Routes(CONFIG, KEYS, {"env:ONE": "new"})
    health = {"one old": REFUSED}
    assert isinstance(old.plan("one/m", (), health, 100.0, 0.0), Refusal)
    assert names("one/m", health=health, routes=new) == ["one/m env:ONE"] * 2


def test_plan_without_anything_left() -> None:
    """Nobody may be asked: all merely limited: 429; our own keys refused: 502, and no use in trying again; else
    503. Each with the shortest wait, where waiting helps."""
    refused = refusal("one/m", health={"one": OPEN})
    assert (refused.status, refused.code, refused.retry_after_s) == (503, "provider_unavailable", 100.0)
    refused = refusal("both", health={"pool env:A m": LIMITED, "pool env:B m": LIMITED, "pool file:/c": REFUSED, "one": LIMITED})
    assert (refused.status, refused.code, refused.retry_after_s) == (503, "provider_unavailable", 61.0)
    limited = refusal("one/m", health={"one env:ONE m": LIMITED, "one": Health(1)})
    assert (limited.status, limited.code, limited.retry_after_s) == (429, "provider_rate_limited", 61.0)
    refused = refusal("one/m", health={"one env:ONE": REFUSED})
    assert (refused.status, refused.code, refused.retry_after_s, refused.is_hopeless) == (502, "provider_auth", None, True)


@pytest.mark.parametrize("other", [LIMITED, REFUSED], ids=["limited", "refused"])
@pytest.mark.parametrize("closed_at_most", [0.0, 0.5, 1.0])
def test_plan_asks_what_failed_where_nothing_else_is_left(other: Health, closed_at_most: float) -> None:
    """Panic mode, whatever keeps the rest away and whatever part may be closed: what merely failed may serve by now; what is
    limited, or has refused our key, is known not to, and is not asked."""
    table = f'[defaults]\npolicy = "p"\n[policies.p]\nbreaker = {{ closed_at_most = {closed_at_most} }}\n'
    routes = Routes(parse(TEXT + table), KEYS)
    pool = ["pool/m env:A", "pool/m env:B", "pool/m file:/c"]
    assert names("both", health={"pool": OPEN, "one env:ONE m": other}, routes=routes) == pool
    some = {"pool env:A m": OPEN, "pool env:B": REFUSED, "pool file:/c m": LIMITED, "one": other}
    assert names("both", health=some, routes=routes) == ["pool/m env:A"] * 2


@pytest.mark.parametrize("allowed", [("one/m",), ("one/*",), ("*",), ("x", "one/m")])
def test_plan_allowed(allowed: tuple[str, ...]) -> None:
    """A key may use what its list names, by id or by prefix."""
    assert isinstance(ROUTES.plan("one/m", allowed, {}, 0.0, 0.0), Plan)


def test_plan_not_allowed() -> None:
    """A key that may not use a model is told so; an alias is allowed by its own name or by all it leads to."""
    refused = refusal("one/m", ("one/large", "pool/*"))
    assert (refused.status, refused.code, refused.param) == (403, "model_not_allowed", "model")
    assert refusal("both", ("pool/*",)).status == 403
    assert isinstance(ROUTES.plan("both", ("pool/*", "one/m"), {}, 0.0, 0.0), Plan)
    assert isinstance(ROUTES.plan("both", ("both",), {}, 0.0, 0.0), Plan)


def test_plan_unknown() -> None:
    """No provider of that name: 404 with what was perhaps meant."""
    refused = refusal("onne/m")
    assert (refused.status, refused.code, refused.metadata) == (404, "model_not_found", {"suggestions": ["one/m"]})
    assert refused.message.endswith("Did you mean one/m?")
    assert refusal("large").metadata == {"suggestions": ["one/large"]}
    assert refusal("quite different").metadata is None
    assert len(refusal("x" * 10_000).message) < 400


def test_plan_of_a_slip_under_a_known_provider() -> None:
    """A provider's model that is not in the table is a model that is not there, with those that were perhaps meant."""
    refused = refusal("one/larg")
    assert (refused.status, refused.code, refused.param) == (404, "model_not_found", "model")
    assert refused.metadata == {"suggestions": ["one/large"]}
    assert "the provider one has no model one/larg here" in refused.message


def test_plan_not_configured() -> None:
    """A provider without its key says which variable is missing, but not where files are."""
    refused = refusal("one/m", keys=frozenset())
    assert (refused.status, refused.code, refused.metadata) == (404, "provider_not_configured", {"providers": ["one"]})
    assert "the provider one is not offered because ONE is not in the environment" in refused.message
    assert "A or B is not in the environment" in refusal("both", keys=frozenset()).message
    assert "/run/key" not in refusal("single/x", keys=frozenset()).message
    assert missing_keys(Provider("p", BaseUrl("http", "x", 80), ("file:/secret",))) == "the file with its key cannot be read"


def test_plan_remembers_within_bounds() -> None:
    """Ids that callers make up do not pile up, and very long ones are not kept at all."""
    routes = Routes(CONFIG, KEYS)
    for number in range(ROWS_MAX + 10):
        routes.plan(f"single/{number}", (), {}, 0.0, 0.0)
    assert len(routes._rows) <= ROWS_MAX
    before = len(routes._rows)
    routes.plan("single/" + "x" * 300, (), {}, 0.0, 0.0)
    assert len(routes._rows) == before


@given(st.text(max_size=300))
def test_suggestions_are_few(model_id: str) -> None:
    """Whatever was asked for, at most three ids come back, and each exists."""
    near = suggestions(CONFIG, model_id)
    assert len(near) <= 3
    assert all(each in CONFIG.aliases or isinstance(ROUTES.plan(each, (), {}, 0.0, 0.0), Plan) for each in near)


_SCOPES = sorted(
    {scope for model in ("both", "many") for row in [ROUTES._remember(model)] if isinstance(row, PlanRow) for scope in row.scopes}
)


@given(
    st.sampled_from(["one/m", "both", "many"]),
    st.dictionaries(st.sampled_from(_SCOPES), st.sampled_from([OPEN, LIMITED, HALF_OPEN, Health(2)])),
    st.floats(0, 0.999),
)
def test_plan_never_asks_what_is_open(model_id: str, health: dict[str, Health], roll: float) -> None:
    """For any healths and any roll: no attempt is open but in panic, none is tried twice but a lone one, the bound holds."""
    planned = ROUTES.plan(model_id, (), health, 100.0, roll)
    if isinstance(planned, Refusal):
        assert planned.status in (429, 503)
        assert planned.retry_after_s is not None
        assert planned.retry_after_s > 0
        return
    assert 1 <= len(planned.attempts) <= 16
    for attempt in planned.attempts:
        opened = [health[scope] for scope in attempt.scopes.all if scope in health and health[scope].is_open(100.0)]
        assert all(each.is_passive for each in opened)
        assert not opened or model_id != "one/m"
    repeated = len(planned.attempts) - len(set(planned.attempts))
    assert repeated <= 1


def fallbacks(*models: str, allowed: tuple[str, ...] = (), keys: frozenset[str] = KEYS, **wishes: Any) -> Plan | Refusal:
    asked, *others = models
    return Routes(CONFIG, keys).plan_with(asked, Preferences(models=tuple(others), **wishes), allowed, {}, 0.0, 0.0)


def asked_of(planned: Plan | Refusal) -> list[str]:
    assert isinstance(planned, Plan), planned
    return list(dict.fromkeys(each.model.id for each in planned.attempts))


def test_plan_with_fallbacks_is_that_of_an_alias() -> None:
    """Each in its order and once, aliases and spellings resolved."""
    assert asked_of(fallbacks("one/large", "pool/m")) == ["one/large", "pool/m"]
    assert asked_of(fallbacks("ONE/M", "both", "one/m")) == ["one/m", "pool/m"]
    assert asked_of(fallbacks("one/m")) == ["one/m"]


def test_plan_with_fallbacks_that_the_key_may_not_use() -> None:
    """Each must be allowed by itself: a fallback is no way round the key's list."""
    refused = fallbacks("one/m", "pool/m", allowed=("one/*",))
    assert isinstance(refused, Refusal)
    assert (refused.status, refused.code) == (403, "model_not_allowed")
    assert "pool/m" in refused.message
    assert asked_of(fallbacks("one/m", "ONE/large", allowed=("one/*",))) == ["one/m", "one/large"]


def test_plan_with_fallbacks_that_are_not_there() -> None:
    """An unknown one is named; one whose provider lacks its key here is passed over while another is left."""
    refused = fallbacks("one/m", "one/larg")
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.metadata) == ("model_not_found", {"suggestions": ["one/large"]})
    assert asked_of(fallbacks("one/m", "pool/m", keys=frozenset({"env:A"}))) == ["pool/m"]
    missing = fallbacks("one/m", keys=frozenset({"env:A"}))
    assert isinstance(missing, Refusal)
    assert missing.code == "provider_not_configured"


def test_plan_with_wishes_about_providers() -> None:
    """Order, price and who is left out; without fallbacks only the first is asked."""
    assert asked_of(fallbacks("both", order=("one",))) == ["one/m", "pool/m"]
    assert asked_of(fallbacks("both", order=("one",), allows_fallbacks=False)) == ["one/m"]
    assert asked_of(fallbacks("both", only=("one/turbo",))) == ["one/m"]
    assert asked_of(fallbacks("both", sorts_by_price=True)) == ["pool/m", "one/m"]
    assert asked_of(fallbacks("one/large", "both", price_max={"input": 1_000_000})) == ["pool/m", "one/m"]
    refused = fallbacks("both", ignore=("one", "pool"))
    assert isinstance(refused, Refusal)
    assert (refused.status, refused.code) == (404, "no_allowed_provider")


def test_plan_sorts_the_targets_of_one_model() -> None:
    """What a caller, or a route, only falls back to stays behind, however cheap; across models only where the caller says so."""
    assert asked_of(fallbacks("one/large", "both", sorts_by_price=True)) == ["one/large", "pool/m", "one/m"]
    assert asked_of(fallbacks("one/large", "both", order=("pool",))) == ["one/large", "pool/m", "one/m"]
    crossing = fallbacks("one/large", "both", sorts_by_price=True, crosses_models=True)
    assert asked_of(crossing) == ["pool/m", "one/m", "one/large"]
    route = '[routes.r]\ntargets = ["one/large", "one/m"]\nfallback = ["pool/m"]\n'
    routes = Routes(parse(TEXT + route), KEYS)
    for model_id, wishes in (("r:floor", None), ("r", Preferences(sorts_by_price=True)), ("r", Preferences(order=("pool",)))):
        found = (
            routes.plan(model_id, (), {}, 0.0, 0.0) if wishes is None else routes.plan_with(model_id, wishes, (), {}, 0.0, 0.0)
        )
        assert asked_of(found)[2] == "pool/m"
    assert asked_of(routes.plan("r:floor", (), {}, 0.0, 0.0)) == ["one/m", "one/large", "pool/m"]


@pytest.mark.parametrize(
    ("sort", "param"),
    [
        ({"by": "price", "partition": "all"}, "provider.sort.partition"),
        ({"by": "price", "partion": "none"}, "provider.sort.partion"),
        ({"partition": "none"}, "provider.sort"),
    ],
)
def test_wish_to_sort_that_is_misspelt(sort: dict[str, str], param: str) -> None:
    """It is refused by its name, as every slip in `provider` is."""
    with pytest.raises(Invalid) as refused:
        read_preferences({"provider": Raw(json.dumps({"sort": sort}).encode())})
    assert refused.value.param == param
    kept = read_preferences({"provider": Raw(b'{"sort":{"by":"price","partition":"none"}}')})
    assert kept is not None
    assert (kept.sorts_by_price, kept.crosses_models) == (True, True)


def test_plan_of_an_alias_with_the_suffix_of_the_cheapest() -> None:
    """`:floor` begins with the cheapest target, `:nitro` leaves the order as it is."""
    assert asked_of(ROUTES.plan("both:floor", (), {}, 0.0, 0.0)) == ["pool/m", "one/m"]
    assert asked_of(ROUTES.plan("both:NITRO", (), {}, 0.0, 0.0)) == ["pool/m", "one/m"]
    assert asked_of(ROUTES.plan("single/x:free", (), {}, 0.0, 0.0)) == ["single/x:free"]


@pytest.mark.parametrize("allowed", [("one/m",), ("one/*",)])
def test_plan_of_an_id_in_another_case_goes_by_the_tables(allowed: tuple[str, ...]) -> None:
    """What a key may use is written as in the table, whatever the caller writes."""
    assert asked_of(ROUTES.plan("One/M", allowed, {}, 0.0, 0.0)) == ["one/m"]
    assert isinstance(ROUTES.plan("POOL/M", allowed, {}, 0.0, 0.0), Refusal)


def test_plan_with_a_wish_for_the_last_of_many_targets() -> None:
    """A plan lists at most sixteen attempts; which targets a caller chooses among is bounded by nothing."""
    terms = 'api_key = "env:P"\nmodels.m = { input = "1", output = "1" }\n'
    text = "".join(f'[providers.p{number}]\nbase_url = "https://p{number}.example/v1"\n{terms}' for number in range(24))
    targets = ", ".join(f'{{ to = "p{number}/m" }}' for number in range(24))
    config = parse(f'{text}[routes.m]\ntargets = [{targets}]\nbalance = "in_order"\n')
    plan = Routes(config, frozenset({"env:P"})).plan_with("m", Preferences(only=("p23",)), (), {}, 0.0, 0.0)
    assert isinstance(plan, Plan)
    assert {each.model.id for each in plan.attempts} == {"p23/m"}


PROVIDERS = ("one", "pool", "single", "echo")
SCOPES = ("one", "one env:ONE", "one env:ONE m", "pool", "pool env:A", "pool env:B m", "pool file:/c")
BACK = Health(failed_s=80.0, accounts=(), restoration=Restoration(95.0))


@given(
    st.sampled_from(["both", "many", "one/m", "pool/m"]),
    st.lists(st.sampled_from(PROVIDERS), max_size=2),
    st.lists(st.sampled_from(PROVIDERS), max_size=1),
    st.lists(st.sampled_from(PROVIDERS), max_size=2),
    st.sampled_from([None, 500_000, 1_000_000, 3_000_000]),
    st.booleans(),
    st.dictionaries(st.sampled_from(SCOPES), st.sampled_from([OPEN, LIMITED, REFUSED, HALF_OPEN, BACK]), max_size=4),
    st.floats(0, 0.999),
)
def test_wishes_are_obeyed_whatever_is_ill(
    model_id: str,
    only: list[str],
    ignore: list[str],
    order: list[str],
    price: int | None,
    sorts: bool,
    health: dict[str, Health],
    roll: float,
) -> None:
    """Nobody is asked whom the caller excludes, however ill the others are; and whoever is well and admitted is in the plan."""
    wishes = Preferences(only=tuple(only), ignore=tuple(ignore), order=tuple(order), sorts_by_price=sorts)
    if price is not None:
        wishes.price_max = {"input": price}
    planned = ROUTES.plan_with(model_id, wishes, (), health, 100.0, roll)
    all_well = ROUTES.plan_with(model_id, wishes, (), {}, 100.0, roll)
    if isinstance(all_well, Refusal):
        assert isinstance(planned, Refusal)
        assert planned.code == all_well.code == "no_allowed_provider"
        return
    known = [(each, [health[scope] for scope in each.scopes.all if scope in health]) for each in all_well.attempts]
    well = {id(each) for each, ills in known if all(ill is BACK for ill in ills)}
    if isinstance(planned, Refusal):
        assert not well
        return
    assert all(wishes.admits(each.provider, each.rates) for each in planned.attempts)
    assert {each.model.id + str(each.key_ref) for each, _ in known if id(each) in well} <= {
        each.model.id + str(each.key_ref) for each in planned.attempts
    }


def test_plan_around_wishes_remembers_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither callers' wishes nor the orders of a route's targets fill the memory; what was cleared is planned anew."""
    monkeypatch.setattr("routing.plan.plan.ROWS_MAX", 4)
    routes = Routes(CONFIG, KEYS)
    for most in range(1, 20):
        planned = routes.plan_with("both", Preferences(price_max={"input": most * 1_000_000}), (), {}, 0.0, 0.0)
        assert asked_of(planned) == ["pool/m", "one/m"]
        assert len(routes._wished) <= 4
    text = TEXT + '[routes.mixed]\ntargets = ["one/m", "one/large", "pool/m", "echo/a"]\nbalance = "weighted"\n'
    routes = Routes(parse(text), KEYS)
    for number in range(40):
        planned = routes.plan("mixed", (), {}, 0.0, number / 40)
        assert set(asked_of(planned)) == {"one/m", "one/large", "pool/m", "echo/a"}
        assert len(routes._branches) <= 4


def test_plan_of_a_route_is_that_of_its_id_whoever_asks_first() -> None:
    """Asked for by itself, before any request: the route of an id, and none of what is no route."""
    routes = Routes(parse(TEXT + '[routes.r]\ntargets = ["one/m"]\n'), KEYS)
    assert routes.route_of("r") is not None
    assert routes.route_of("R") is not None
    assert routes.route_of("one/m") is None
    assert routes.route_of("nobody/x") is None
    refused = routes.plan("one/m:online", (), {}, 0.0, 0.0)
    assert isinstance(refused, Refusal)
    assert (refused.status, refused.code) == (400, "unpriced_option")


def test_plan_without_a_target_for_this_request() -> None:
    """A route whose targets all have conditions, beside fallbacks that are asked all the same; a table refuses one without them,
    so only a table that was made otherwise has it."""
    config = parse(TEXT + '[routes.r]\ntargets = [{ to = "one/m", when = { stream = true } }]\nfallback = ["pool/m"]\n')
    assert asked_of(Routes(config, KEYS).plan("r", (), {}, 0.0, 0.0)) == ["pool/m"]
    bare = msgspec.structs.replace(config.routes["r"], fallback=())
    refused = Routes(msgspec.structs.replace(config, routes={"r": bare}), KEYS).plan("r", (), {}, 0.0, 0.0)
    assert isinstance(refused, Refusal)
    assert (refused.status, refused.code) == (404, "no_target")
    assert "its operator can add one without a condition" in refused.message


def test_plan_where_nobody_promises_what_is_demanded() -> None:
    """Who of the table's providers does, is said; also where none does."""
    demands: list[tuple[dict[str, Any], str]] = [({"denies_collection": True}, "train"), ({"demands_zdr": True}, "keeps nothing")]
    for wishes, what in demands:
        refused = fallbacks("both", **wishes)
        assert isinstance(refused, Refusal)
        assert f"this proxy's table says of echo that it {'does not ' if what == 'train' else ''}{what}" in refused.message
    config = parse(TEXT.replace("[providers.pool]\n", "[providers.pool]\ndata = { retains_days = 0 }\n"))
    planned = Routes(config, KEYS).plan_with("both", Preferences(demands_zdr=True), (), {}, 0.0, 0.0)
    assert asked_of(planned) == ["pool/m"]
