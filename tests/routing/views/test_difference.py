"""What an edit of the table means to callers: each kind of change has its line, and what nobody notices has none."""

import re

import pytest

from routing.table.config import parse
from routing.views.difference import difference

TABLE = """
[providers.p]
base_url = "https://p.example/v1"
api_key = "env:P"
unlisted = { input = "1", output = "2" }
[providers.p.models]
m = { input = "1", output = "2", above_200k = { input = "2", output = "3" }, tiers.flex = { input = "0.5", output = "1" } }
n = { input = "1", output = "2", context_tokens = 1000, created = 2024-07-18, display_name = "N" }
[providers.q]
base_url = "https://q.example/v1"
api_key = "env:Q"
[providers.q.models]
k = { input = "1", output = "2" }
[aliases]
any = ["p/m", "p/n"]
[routes.r]
targets = [{ to = "p/m", weight = 2 }, "p/n"]
fallback = ["q/k"]
[policies.patient]
attempts_max = 5
[limits]
header_count_max = 70
[cors]
origins = ["https://app.example"]
"""


def edited(old: str, new: str) -> list[str]:
    assert TABLE.count(old) == 1
    return difference(parse(TABLE), parse(TABLE.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("m = { input", "m = { output_modalities = ['image'], input", ["~ p/m: output_modalities text -> image"]),
        ('k = { input = "1"', 'k = { image_tokens_max = 9, input = "1"', ["~ q/k: image_tokens_max unknown -> 9"]),
        ("context_tokens = 1000, ", "", ["~ p/n: context_tokens 1000 -> unknown"]),
        ('above_200k = { input = "2"', 'above_200k = { input = "4"', ["~ p/m: other prices for long prompts or service tiers"]),
        ("above_200k", "above_300k", ["~ p/m: other prices for long prompts or service tiers"]),
        (
            'k = { input = "1", output = "2"',
            'k = { input = "1", output = "2", image = "0.04"',
            [
                "~ q/k: $1 input, $2 output per million tokens -> $1 input, $2 output per million tokens, $0.04 per image",
            ],
        ),
        ('any = ["p/m", "p/n"]', "", ["- any: the alias is gone"]),
        ('any = ["p/m", "p/n"]', 'any = ["p/m", "p/n"]\nother = "p/m"', ["+ other: an alias of p/m"]),
        ("[policies.patient]", '[routes.s]\ntargets = ["p/m"]\n[policies.patient]', ["+ s: a route to p/m"]),
        (
            '[routes.r]\ntargets = [{ to = "p/m", weight = 2 }, "p/n"]\nfallback = ["q/k"]',
            "",
            ["- r: the route is gone"],
        ),
        ('flex = { input = "0.5"', 'flex = { input = "0.6"', ["~ p/m: other prices for long prompts or service tiers"]),
        ('any = ["p/m", "p/n"]', 'any = ["p/n", "p/m"]', ["~ any: the order is now p/n, p/m"]),
        ('any = ["p/m", "p/n"]', 'any = ["p/m"]', ["~ any: loses p/n"]),
        ('any = ["p/m", "p/n"]', 'any = ["p/m", "p/n", "q/k"]', ["~ any: gains q/k"]),
        ("weight = 2", "weight = 3", ["~ r: other shares or conditions for the same targets"]),
        ('}, "p/n"]', '}, { to = "p/n", when = { stream = true } }]', ["~ r: other shares or conditions for the same targets"]),
        ('"p/n"]\nfallback = ["q/k"]', '"p/n"]\nfallback = ["q/k", "p/n"]', ["~ r: fallbacks are now q/k, p/n"]),
        ('fallback = ["q/k"]', "", ["~ r: loses q/k"]),
        ('fallback = ["q/k"]', 'fallback = ["q/k"]\nfallback_on = ["limited"]', ["~ r: fallback_on is now limited"]),
        ('fallback = ["q/k"]', 'fallback = ["q/k"]\nsticky_s = 60', ["~ r: sticky_s 0 -> 60"]),
        ('fallback = ["q/k"]', 'fallback = ["q/k"]\npolicy = "patient"', ["~ r: is served under another policy"]),
        ('api_key = "env:Q"', 'api_key = "none"', ["~ provider q: keys env:Q -> none"]),
        ('api_key = "env:Q"', 'api_keys = ["env:Q", "env:R"]', ["~ provider q: keys env:Q -> env:Q, env:R"]),
        ('api_key = "env:Q"', 'api_key = "env:Q"\nattempts_max = 1', ["~ provider q: attempts_max 3 -> 1"]),
        ('api_key = "env:Q"', 'api_key = "env:Q"\nparameters = ["top_k"]', ["~ provider q: parameters none -> top_k"]),
        ('api_key = "env:Q"', 'api_key = "env:Q"\nverify = false', ["~ provider q: verify True -> False"]),
        (
            'api_key = "env:Q"',
            'api_key = "env:Q"\nrate_limits = { requests_per_minute = 60, hard = true }',
            ["~ provider q: rate_limits requests_per_minute none -> 60", "~ provider q: rate_limits hard False -> True"],
        ),
        (
            'api_key = "env:Q"',
            'api_key = "env:Q"\ndata = { trains = false, regions = ["eu"] }',
            ["~ provider q: data trains unknown -> False", "~ provider q: data regions none -> eu"],
        ),
        (
            'api_key = "env:Q"',
            'api_key = "env:Q"\nserves = ["messages", "chat"]',
            ["~ provider q: serves chat -> messages, chat"],
        ),
        (
            'api_key = "env:Q"',
            'api_key = "env:Q"\nendpoints.chat = { path = "/v2/chat", extra_headers = { x = "1" } }',
            ["~ provider q: endpoints.chat has another path, headers"],
        ),
        ('k = { input = "1"', 'k = { serves = ["chat"], input = "1"', ["~ q/k: serves as its provider -> chat"]),
        ('k = { input = "1"', 'k = { searches_max = 9, input = "1"', ["~ q/k: searches_max 5 -> 9"]),
        (
            "[cors]",
            "[rate_limits.key]\ntokens_per_minute = 9\n[cors]",
            ["~ rate_limits: key tokens_per_minute none -> 9"],
        ),
        (
            "https://q.example/v1",
            "https://r.example",
            ["~ provider q: is asked at https://r.example instead of https://q.example/v1"],
        ),
        ('unlisted = { input = "1", output = "2" }', "", ["~ provider p: models that are not listed cannot be called any more"]),
        (
            'unlisted = { input = "1"',
            'unlisted = { input = "2"',
            [
                "~ provider p: unlisted models $1 input, $2 output per million tokens -> $2 input, $2 output per million tokens",
            ],
        ),
        (
            'api_key = "env:Q"',
            'api_key = "env:Q"\nunlisted = { input = "1", output = "2" }',
            ["~ provider q: models that are not listed have a price"],
        ),
        ('origins = ["https://app.example"]', 'origins = ["*"]', ["~ cors: origins https://app.example -> *"]),
        ("header_count_max = 70", "", ["~ limits: header_count_max 70 -> 64"]),
    ],
)
def test_edit_is_told_by_what_callers_notice(old: str, new: str, told: list[str]) -> None:
    """And the way back is told too, in as many lines."""
    assert edited(old, new) == told
    assert len(difference(parse(TABLE.replace(old, new)), parse(TABLE))) == len(told)


def test_model_that_is_gone_may_still_be_called() -> None:
    """Where its provider has a price for what is not listed; where it has none, it is gone for good."""
    without_n = re.sub(r"\nn = .*", "", TABLE.replace('any = ["p/m", "p/n"]', 'any = ["p/m"]').replace(', "p/n"]', "]"))
    told = difference(parse(TABLE), parse(without_n))
    assert "- p/n: is gone, and is called at the price for unlisted models" in told
    without_k = TABLE.replace('k = { input = "1", output = "2" }', 'j = { input = "1", output = "2" }')
    told = difference(parse(TABLE), parse(without_k.replace('fallback = ["q/k"]', "")))
    assert "- q/k: is gone" in told
    assert "+ q/j: $1 input, $2 output per million tokens" in told


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("attempts_max = 5", "attempts_max = 6"),
        ('display_name = "N"', 'display_name = "M"'),
        ("2024-07-18", "2024-07-19"),
        ("[cors]", "# a comment\n[cors]"),
        ("header_count_max = 70", "header_count_max = 7_0"),
    ],
)
def test_edit_that_no_caller_notices_is_silent(old: str, new: str) -> None:
    """A policy that nobody uses, a name for people, white space: though the version of the table is another one."""
    assert parse(TABLE).version != parse(TABLE.replace(old, new)).version
    assert edited(old, new) == []
