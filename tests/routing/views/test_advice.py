"""Advice on a table that can be served: every doubt is said once, with its place, and what is in order is left alone."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.routes.route import GROUPS
from routing.table.config import ConfigError, parse
from routing.views.advice import SECONDS_MAX, Advice, advise, is_private
from routing.views.price_advice import DEARER_TIERS, DEAREST_PIECE

CHECKED = sorted((Path(__file__).parents[2] / "edge" / "commands" / "wrong").glob("*.toml"))
"""Wrong tables, each beside what `tollway check` says of it."""
PROVIDER = '[providers.p]\nbase_url = "https://p.example/v1"\napi_key = "env:P"\n'
PRICED = 'unlisted = { input = "1", output = "2" }\n'
MODEL = PROVIDER + '[providers.p.models.m]\ninput = "1"\noutput = "2"\n'


def advised(text: str) -> list[Advice]:
    return advise(parse(text), text)


def paths(text: str) -> list[str]:
    return [each.path for each in advised(text)]


@pytest.mark.parametrize("path", CHECKED, ids=lambda path: path.stem)
def test_table_alone_says_what_check_says(path: Path) -> None:
    """Whoever reads a table without a command line (a dashboard, a test) finds the same problems and the same advice."""
    text = path.read_text()
    try:
        found = [str(each) for each in advised(text)]
    except ConfigError as error:
        found = str(error).split("\n    ")
    golden = path.with_suffix(".txt").read_text()
    assert all(each in golden for each in found)
    assert golden.count("danger: ") + golden.count("doubt: ") == sum(each.startswith(("danger: ", "doubt: ")) for each in found)


def test_advice_without_a_path_has_its_line() -> None:
    """What is said of the text as a whole names a line all the same; what is there is named once."""
    (empty,) = advised("# nothing yet\n")
    assert str(empty).startswith("danger: line 1: no provider is in it")


@pytest.mark.parametrize("name", SECONDS_MAX)
def test_seconds_that_were_milliseconds(name: str) -> None:
    """Each clock, wherever it stands: at its bound nothing is said, a thousandfold is doubted, and what was meant is named."""
    most = SECONDS_MAX[name]
    policy = '[defaults]\npolicy = "q"\n[policies.q]\nabandoned = "ours"\n'
    read = 0
    for section in ("", policy, "[limits]\n"):
        text = f"{PROVIDER}{PRICED}{section}{name} = "
        try:
            quiet, doubted = advised(f"{text}{most}\n"), advised(f"{text}{most + 1}\n")
        except ConfigError:
            continue
        read += 1
        assert quiet == []
        assert [(each.level, each.path.rpartition(".")[2]) for each in doubted] == [("doubt", name)]
        assert f"write {(most + 1) / 1_000:g}" in doubted[0].hint
    assert read == 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("attempts_max = 20", []),
        ("attempts_max = 21", ["providers.p.attempts_max"]),
        ("idle_timeout_s = 1800", []),
        ("idle_timeout_s = 1801", ["providers.p.idle_timeout_s"]),
        ("first_byte_timeout_s = 1801", ["providers.p.first_byte_timeout_s"]),
        ('parameters = ["top_k"]', []),
        ('parameters = ["reasoning_efort"]', ["providers.p.parameters"]),
        ('parameters = ["-reasoning_efort"]', ["providers.p.parameters"]),
        ('parameters = ["house_rules"]', []),
        ('extra_headers = { "x-team" = "blue" }', []),
        ('extra_headers = { "x-api-key" = "blue" }', ["providers.p.extra_headers"]),
        ('extra_headers = { "x-team" = "xai-0123456789abcdefgh" }', ["providers.p.extra_headers"]),
        ('auth_header = "x-api-key"', []),
        ('auth_header = "Bearer"', ["providers.p.auth_header"]),
        ('auth = "sigv4"\nregion = "eu-central-1"', []),
        ('auth = "sigv4"\nregion = "us-gov-west-1"', []),
        ('auth = "sigv4"\nregion = "europe"', ["providers.p.region"]),
        ("verify = false", ["providers.p.verify"]),
    ],
)
def test_provider_is_doubted_for_what_it_says(line: str, expected: list[str]) -> None:
    """And its neighbours are not: each pair is one step apart."""
    assert paths(PROVIDER + PRICED + line + "\n") == expected


@pytest.mark.parametrize(
    ("url", "is_doubted"),
    [
        ("https://your-resource.openai.azure.com/openai/v1", True),
        ("https://xxx.example/v1", True),
        ("https://yours.example/v1", False),
        ("https://p.example/v1/messages", True),
        ("https://p.example/v1/messages/count_tokens", True),
        ("https://p.example/v1/embeddings", True),
        ("https://p.example/v1/chats", False),
    ],
)
def test_address_of_nobody_or_with_a_path_too_much(url: str, is_doubted: bool) -> None:
    found = paths(f'[providers.p]\nbase_url = "{url}"\napi_key = "env:P"\n{PRICED}')
    assert set(found) == ({"providers.p.base_url"} if is_doubted else set())


@pytest.mark.parametrize(
    ("scheme", "host", "key", "is_danger"),
    [
        ("http", "p.example", "env:P", True),
        ("http", "8.8.8.8", "env:P", True),
        ("http", "p.example", "none", False),
        ("https", "p.example", "env:P", False),
        ("http", "127.0.0.1", "env:P", False),
        ("http", "vllm", "env:P", False),
        ("http", "[fe80::1]", "env:P", False),
        ("http", "[2606:4700::1111]", "env:P", True),
    ],
)
def test_key_in_the_clear_is_a_danger(scheme: str, host: str, key: str, is_danger: bool) -> None:
    """Out of this network only, and only where there is a key."""
    found = advised(f'[providers.p]\nbase_url = "{scheme}://{host}"\napi_key = "{key}"\n{PRICED}')
    assert [(each.level, each.path) for each in found] == [("danger", "providers.p.base_url")] * is_danger
    assert is_private(host.strip("[]")) is (host not in ("p.example", "8.8.8.8", "[2606:4700::1111]"))


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ('input = "1"\noutput = "2"', []),
        ('input = "0"\noutput = "0"', ["m"]),
        ('input = "0"\noutput = "0"\nfree = true', []),
        ('input = "0"\noutput = "0"\nupstream = "m:free"', []),
        ('input = "0"\noutput = "0"\nsecond = "0.1"\noutput_modalities = ["audio"]', []),
        ('input = "0"\noutput = "2"', ["input"]),
        ('input = "2"\noutput = "0"', ["output"]),
        ('input = "160"\noutput = "640"', []),
        ('input = "161"\noutput = "640"', ["input"]),
        ('input = "160"\noutput = "641"', ["output"]),
        ('input = "2001"\noutput = "2002"', ["input", "output"]),
        ('input = "0.003"\noutput = "0.01"', []),
        ('input = "0.002"\noutput = "0.009"', ["input", "output"]),
        ('input = "0.0004"\noutput = "1"', ["input"]),
        ('input = "2"\noutput = "1"', ["output"]),
        ('input = "1"\noutput = "2"\ncached_input = "1"', []),
        ('input = "1"\noutput = "2"\ncached_input = "1.1"', ["cached_input"]),
        ('input = "1"\noutput = "2"\ncache_write = "2001"', ["cache_write"]),
        ('input = "1"\noutput = "2"\ncached_input = "0.0004"', ["cached_input"]),
        ('input = "2"\noutput = "1"\noutput_modalities = ["image"]', []),
    ],
)
def test_price_in_another_unit(prices: str, expected: list[str]) -> None:
    """In cents, per thousand, exchanged, none at all: each bound holds exactly."""
    text = PROVIDER + f"[providers.p.models.m]\n{prices}\n"
    assert [path.rpartition(".")[2] for path in paths(text)] == expected


@pytest.mark.parametrize("name", DEAREST_PIECE)
def test_price_of_a_piece_that_is_one_of_many(name: str) -> None:
    """The price of a thousand searches is no price of one; the hint has the price of one."""
    most, _, number, word = DEAREST_PIECE[name]
    assert paths(MODEL + f'{name} = "{most:.6f}"\n') == []
    (found,) = advised(MODEL + f'{name} = "{most * number:.6f}"\n')
    assert (found.level, found.path) == ("danger", f"providers.p.models.m.{name}")
    assert f"price of a {word}, write {most:g}" in found.hint


@pytest.mark.parametrize(
    ("steps", "count"),
    [
        ('above_200k = { input = "2", output = "4" }', 0),
        ('above_200k = { input = "0.5", output = "4" }', 1),
        ('above_200k = { input = "2", output = "1" }', 1),
        ('above_200k = { input = "2", output = "4" }\ncontext_tokens = 200_000', 1),
        ('above_200k = { input = "2", output = "4" }\ncontext_tokens = 200_001', 0),
        ('above_20000k = { input = "2", output = "4" }', 1),
        ('tiers.flex = { input = "0.5", output = "1" }', 0),
        ('tiers.flex = { input = "1.5", output = "2" }', 1),
        ('tiers.priority = { input = "2", output = "4" }', 0),
        ('tiers.priority = { input = "0.5", output = "4" }', 1),
        ('tiers.priorty = { input = "2", output = "4" }', 1),
        ('tiers.house = { input = "2", output = "4" }', 0),
        ("context_tokens = 1_000", 0),
        ("context_tokens = 128", 1),
        ("context_tokens = 100_000_001", 1),
        ("context_tokens = 1_000\nmax_output_tokens = 1_000", 0),
        ("context_tokens = 1_000\nmax_output_tokens = 1_001", 1),
        ('context_tokens = 1_000\nmax_output_tokens = 1_001\noutput_modalities = ["image"]', 0),
    ],
)
def test_step_tier_or_window_that_nobody_means(steps: str, count: int) -> None:
    assert len(advised(MODEL + steps + "\n")) == count


def test_tier_is_said_with_its_place() -> None:
    """A tier's own prices are looked at as a model's are."""
    found = advised(MODEL + f'tiers.{DEARER_TIERS[0]} = {{ input = "3000", output = "4000" }}\n')
    assert {each.path for each in found} == {
        f"providers.p.models.m.tiers.{DEARER_TIERS[0]}.{name}" for name in ("input", "output")
    }


def test_two_names_of_one_model_at_two_prices() -> None:
    """The provider bills both alike; the same prices twice are nobody's mistake."""
    other = '[providers.p.models.n]\nupstream = "m"\ninput = "{}"\noutput = "2"\n'
    assert paths(MODEL + other.format("1")) == []
    assert paths(MODEL + other.format("1.5")) == ["providers.p.models.n"]


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ('targets = [{ to = "p/m", weight = 2 }, "p/n"]', []),
        ('targets = [{ to = "p/m", weight = 2 }, "p/n"]\nbalance = "cheapest"', ["routes.r"]),
        ('targets = ["p/m", "p/n"]\nbalance = "cheapest"', []),
        ('targets = [{ to = "p/m", when = { region = "eu" } }, "p/n"]', []),
        ('targets = [{ to = "p/m", when = { region = "Europe" } }, "p/n"]', ["routes.r.targets[0].when.region"]),
        ('targets = [{ to = "p/m", when = { region = "africaa" } }, "p/n"]', ["routes.r.targets[0].when.region"]),
        ('targets = ["p/m"]\n[policies.spare]\nattempts_max = 2', ["policies.spare"]),
        ('targets = ["p/m"]\n[policies.spare]\nattempts_max = 2\n[defaults]\npolicy = "spare"', []),
        ('targets = ["p/m"]\n[limits]\nbody_bytes_max = 1024', []),
        ('targets = ["p/m"]\n[limits]\nbody_bytes_max = 32', ["limits.body_bytes_max"]),
        ('targets = ["p/m"]\n[rate_limits.key]\nrequests_per_minute = 1', []),
        ('targets = ["p/m"]\n[rate_limits.key]\nshadow = true', ["rate_limits.key"]),
        ('targets = ["p/m"]\n[rate_limits.account]\nhard = true', ["rate_limits.account"]),
    ],
)
def test_route_policy_or_bound_that_does_nothing(rest: str, expected: list[str]) -> None:
    models = '[providers.p.models]\nm = { input = "1", output = "2" }\nn = { input = "1", output = "2" }\n'
    assert paths(f"{PROVIDER}{models}[routes.r]\n{rest}\n") == expected


@pytest.mark.parametrize(
    ("regions", "is_doubted"),
    [
        (sorted({*GROUPS, *(each for group in GROUPS.values() for each in group)}), False),
        (["eu1", "eu-west-1", "us-east-1", "usw", "berlin", "rack-7", "nowhere"], False),
        (["EU", "Europe", "eea", "America", "USA", "apac", "GB", "afrika", "oceana", "Asia"], True),
    ],
)
def test_region_is_doubted_where_a_group_is_meant(regions: list[str], is_doubted: bool) -> None:
    """Each of Fly's regions and any name of somebody's own machines is one; a continent in other words is none."""
    models = '[providers.p.models]\nm = { input = "1", output = "2" }\n'
    for region in regions:
        route = f'[routes.r]\ntargets = [{{ to = "p/m", when = {{ region = "{region}" }} }}, "p/m"]\n'
        assert (region, paths(PROVIDER + models + route)) == (region, ["routes.r.targets[0].when.region"] * is_doubted)


@given(st.decimals("0.000001", "5000", places=6), st.decimals("0.000001", "5000", places=6))
def test_any_price_can_be_judged(price_in: object, price_out: object) -> None:
    """Every price that the table takes has at most one word about its size, and no hint but with figures in it."""
    found = advised(PROVIDER + f'[providers.p.models.m]\ninput = "{price_in}"\noutput = "{price_out}"\n')
    sizes = [each.path for each in found if "dollars per million" in each.message]
    assert len(set(sizes)) == len(sizes)
