"""What a caller says about the way of its request: each member is obeyed, reported or refused by name, and never dropped."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.plan.preferences import MODELS_MAX, NAMES_MAX, Preferences, read_preferences
from routing.request.invalid import Invalid
from routing.table.config import parse
from routing.wire.members import decode_members

CONFIG = parse("""
[providers.open]
base_url = "https://open.example/v1"
api_key = "none"
data = { trains = false, retains_days = 0 }
models.m = { input = "1", output = "2" }
[providers.shut]
base_url = "https://shut.example/v1"
api_key = "none"
models.m = { input = "1", output = "2", image_input = "3", request = "0.01" }
""")


def read(**members: Any) -> Preferences | None:
    return read_preferences(decode_members(json.dumps(members).encode()))


def provider(**wishes: Any) -> Preferences:
    found = read(provider=wishes)
    assert found is not None
    return found


def admitted(wishes: Preferences) -> list[str]:
    asked = [CONFIG.providers[name] for name in ("open", "shut")]
    return [each.name for each in asked if wishes.admits(each, each.models["m"].rates)]


def test_nothing_said_is_nothing_wished() -> None:
    """Neither by absence nor by null."""
    assert read() is None
    assert read(models=None, provider=None, route=None) is None
    assert provider() == Preferences()
    assert provider(order=None, sort=None, max_price=None) == Preferences()
    assert not provider().chooses


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ({"order": ["OpenAI", "Azure"]}, {"order": ("openai", "azure")}),
        ({"only": ["A"]}, {"only": ("a",)}),
        ({"ignore": ["A/b"]}, {"ignore": ("a/b",)}),
        ({"allow_fallbacks": False}, {"allows_fallbacks": False}),
        ({"require_parameters": True}, {"requires_parameters": True}),
        ({"sort": "price"}, {"sorts_by_price": True}),
        ({"sort": "latency"}, {"sorts_by_speed": True}),
        ({"sort": {"by": "throughput", "partition": "none"}}, {"sorts_by_speed": True, "crosses_models": True}),
        ({"sort": {"by": "throughput", "partition": "model"}}, {"sorts_by_speed": True}),
        ({"sort": "exacto"}, {"ignored": ("provider.sort",)}),
        ({"data_collection": "deny"}, {"denies_collection": True}),
        ({"data_collection": "allow"}, {}),
        ({"zdr": True}, {"demands_zdr": True}),
        ({"enforce_distillable_text": False}, {}),
        ({"quantizations": []}, {}),
        ({"preferred_min_throughput": 50}, {"ignored": ("provider.preferred_min_throughput",)}),
        ({"preferred_max_latency": {"p50": 1}}, {"ignored": ("provider.preferred_max_latency",)}),
    ],
)
def test_wish_is_obeyed_or_reported(wishes: dict[str, Any], expected: dict[str, Any]) -> None:
    assert provider(**wishes) == Preferences(**expected)


@pytest.mark.parametrize(
    ("members", "param", "code"),
    [
        ({"models": "a/b"}, "models", "invalid_value"),
        ({"models": ["a/b", ""]}, "models", "invalid_value"),
        ({"models": ["a/b", 1]}, "models", "invalid_value"),
        ({"models": ["a/b"] * (MODELS_MAX + 1)}, "models", "invalid_value"),
        ({"route": "sideways"}, "route", "invalid_value"),
        ({"route": ["fallback"]}, "route", "invalid_value"),
        ({"provider": "openai"}, "provider", "invalid_value"),
        ({"provider": ["openai"]}, "provider", "invalid_value"),
        ({"provider": {"oder": []}}, "provider.oder", "unsupported_parameter"),
        ({"provider": {"x" * 999: 1}}, "provider." + "x" * 64, "unsupported_parameter"),
        ({"provider": {"order": "openai"}}, "provider.order", "invalid_value"),
        ({"provider": {"only": ["a"] * (NAMES_MAX + 1)}}, "provider.only", "invalid_value"),
        ({"provider": {"allow_fallbacks": "false"}}, "provider.allow_fallbacks", "invalid_value"),
        ({"provider": {"zdr": 1}}, "provider.zdr", "invalid_value"),
        ({"provider": {"sort": "speed"}}, "provider.sort", "invalid_value"),
        ({"provider": {"sort": {"order": "price"}}}, "provider.sort.order", "invalid_value"),
        ({"provider": {"sort": {"partition": "none"}}}, "provider.sort", "invalid_value"),
        ({"provider": {"sort": {"by": "price", "partition": "all"}}}, "provider.sort.partition", "invalid_value"),
        ({"provider": {"sort": ["price"]}}, "provider.sort", "invalid_value"),
        ({"provider": {"data_collection": True}}, "provider.data_collection", "invalid_value"),
        ({"provider": {"enforce_distillable_text": True}}, "provider.enforce_distillable_text", "unsupported_parameter"),
        ({"provider": {"quantizations": ["fp8"]}}, "provider.quantizations", "unsupported_parameter"),
        ({"provider": {"max_price": 1}}, "provider.max_price", "invalid_value"),
        ({"provider": {"max_price": {"tokens": 1}}}, "provider.max_price.tokens", "invalid_value"),
        ({"provider": {"max_price": {"prompt": "cheap"}}}, "provider.max_price.prompt", "invalid_value"),
        ({"provider": {"max_price": {"prompt": -1}}}, "provider.max_price.prompt", "invalid_value"),
        ({"provider": {"max_price": {"prompt": True}}}, "provider.max_price.prompt", "invalid_value"),
        ({"provider": {"max_price": {"prompt": [1]}}}, "provider.max_price.prompt", "invalid_value"),
        ({"provider": {"max_price": {"prompt": 1e300}}}, "provider.max_price.prompt", "invalid_value"),
        ({"provider": {"max_price": {"prompt": 10**18}}}, "provider.max_price.prompt", "invalid_value"),
        ({"provider": {"max_price": {"prompt": "0.0000001"}}}, "provider.max_price.prompt", "invalid_value"),
    ],
)
def test_demand_that_cannot_be_met_is_refused_by_name(members: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(**members)
    assert (refused.value.param, refused.value.code) == (param, code)
    assert len(refused.value.message) < 1_000


@pytest.mark.parametrize("text", [b'{"models":[1e999]}', b'{"provider":{"a":' + b"[" * 2_000 + b"]" * 2_000 + b"}}"])
def test_wish_that_cannot_be_read_is_refused(text: bytes) -> None:
    """What a lenient reader took on the way in is no reason for a 500."""
    try:
        members = decode_members(text)
    except (ValueError, RecursionError):
        return
    with pytest.raises(Invalid):
        read_preferences(members)


@pytest.mark.parametrize(
    ("most", "pico"),
    [
        (1, 1_000_000),
        (0, 0),
        (0.15, 150_000),
        ("0.15", 150_000),
        (0.1, 100_000),
        (1.9999999, 1_999_999),
        (0.0000009, 0),
        (1e-7, 0),
        (None, None),
    ],
)
def test_price_bound_is_never_rounded_up(most: Any, pico: int | None) -> None:
    """Dollars per million tokens: what is finer than prices are is less, not more, so nobody dearer is asked."""
    assert provider(max_price={"prompt": most}).price_max == ({} if pico is None else {"input": pico})


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        ({"prompt": 1}, ["open", "shut"]),
        ({"prompt": 0.99}, []),
        ({"completion": 2}, ["open", "shut"]),
        ({"completion": 1}, []),
        ({"image": 2}, ["open"]),
        ({"image": 3}, ["open", "shut"]),
        ({"request": 0.001}, ["open"]),
        ({"request": 0.01, "prompt": 1}, ["open", "shut"]),
        ({"audio": 0.5}, []),
    ],
)
def test_price_bound_leaves_out_who_is_dearer(bound: dict[str, float], expected: list[str]) -> None:
    """What has no price of its own costs what a token of the prompt does."""
    wishes = provider(max_price=bound)
    assert admitted(wishes) == expected
    assert wishes.chooses


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ({"only": ["open"]}, ["open"]),
        ({"only": ["OPEN/fast"]}, ["open"]),
        ({"only": ["opener"]}, []),
        ({"ignore": ["open"]}, ["shut"]),
        ({"ignore": ["open", "shut"]}, []),
        ({"order": ["shut"]}, ["open", "shut"]),
        ({"order": ["shut"], "allow_fallbacks": False}, ["shut"]),
        ({"allow_fallbacks": False}, ["open", "shut"]),
        ({"data_collection": "deny"}, ["open"]),
        ({"zdr": True}, ["open"]),
        ({"zdr": True, "ignore": ["open"]}, []),
    ],
)
def test_wish_chooses_among_providers(wishes: dict[str, Any], expected: list[str]) -> None:
    assert admitted(provider(**wishes)) == expected


def test_wishes_that_choose_differently_have_different_keys() -> None:
    """A plan that was laid out for one is never given to another."""
    variants = [
        provider(),
        provider(order=["a"]),
        provider(only=["a"]),
        provider(ignore=["a"]),
        provider(allow_fallbacks=False),
        provider(sort="price"),
        provider(data_collection="deny"),
        provider(zdr=True),
        provider(max_price={"prompt": 1}),
        provider(max_price={"completion": 1}),
        provider(max_price={"prompt": 2}),
    ]
    assert len({each.key for each in variants}) == len(variants)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_NAMES = ("order", "only", "ignore", "allow_fallbacks", "sort", "max_price", "zdr", "quantizations", "data_collection")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(_NAMES, _JSON)), _JSON)
def test_anything_said_is_read_or_refused(wishes: dict[str, Any], models: Any) -> None:
    """Whatever the value: there are wishes, or an Invalid that names the member."""
    for members in ({"provider": wishes}, {"models": models}, {"route": models}, {"provider": {"max_price": {"prompt": models}}}):
        param: str | None = None
        try:
            read(**members)
        except Invalid as refused:
            param = refused.param or ""
        assert param is None or param.partition(".")[0] in members
