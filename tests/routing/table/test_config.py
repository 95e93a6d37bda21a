"""The routing table: what a right one means, and that a wrong one says exactly what is wrong, where, and what would be right."""

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.table.config import Found, Limits, NotFound, find, parse
from routing.table.endpoint import BaseUrl
from routing.table.positions import line_of, lines
from routing.table.problem import ConfigError, Problem, dotted, nearest
from routing.table.provider import Provider
from usage.pricing import pico_per_request, pico_per_token

GOLDEN = Path(__file__).parent / "golden"
SHIPPED = Path(__file__).parents[3] / "providers.toml"
DASHES = "-" * 20 + "\n"

FULL = """
[providers.openai]
base_url = "https://API.openai.com/v1/"
api_keys = ["env:OPENAI_API_KEY", "file:/run/secrets/openai"]
auth_header = "Api-Key"
transport = "httpx"
http2 = true
proxy = "http://proxy.internal:3128"
ca_file = "/etc/ca.pem"
verify = false
connect_timeout_s = 1
idle_timeout_s = 2.5
attempts_max = 1
on_disconnect = "drain"
stream_options = false
max_tokens_field = "max_completion_tokens"
usage_arithmetic = "reasoning_excluded"
extra_headers = { "OpenAI-Organization" = "org" }
unlisted = { input = "1", output = "2", cached_input = "0.5" }

[providers.openai.models."gpt-4o-mini"]
input = "0.15"
cached_input = "0.075"
cache_write = "0.2"
audio_input = "10"
image_input = "0.3"
output = "0.60"
reasoning = "0.7"
audio_output = "20"
image_output = "30"
request = "0.001"
upstream = "gpt-4o-mini-2024-07-18"
context_tokens = 128_000
max_output_tokens = 16_384
image_tokens_max = 40_000
display_name = "GPT-4o mini"
input_modalities = ["text", "image"]
output_modalities = ["text"]
max_tokens_field = "max_tokens"
created = 2024-07-18

[providers."openai/eu"]
base_url = "http://[::1]:8080"
api_key = "none"
auth_header = "X-Auth:  Token"
models.m = { input = "0", output = "0", created = 17 }

[aliases]
fast = "openai/gpt-4o-mini"
any = ["fast", "openai/eu/m", "openai/gpt-4o-mini", "echo/x"]

[limits]
body_bytes_max = 1_000
body_timeout_s = 1.5
"""


def problems_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return str(caught.value)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.txt")), ids=lambda path: path.stem)
def test_config_wrong(path: Path) -> None:
    """Each golden file is a wrong table, a line of dashes, and the exact message."""
    text, _, message = path.read_text().partition(DASHES)
    assert problems_of(text) == message.rstrip("\n")


def test_config_secret_is_not_repeated() -> None:
    """A key or a password that was written into the table by mistake is not in the message."""
    message = problems_of((GOLDEN / "secret.txt").read_text().partition(DASHES)[0])
    assert "verysecret" not in message
    assert "hunter2" not in message


def test_config_full() -> None:
    """Every field arrives where it belongs, in our units."""
    config = parse(FULL)
    provider = config.providers["openai"]
    assert provider.base_url == BaseUrl("https", "api.openai.com", 443, "/v1")
    assert provider.base_url.text == "https://api.openai.com/v1"
    assert provider.key_refs == ("env:OPENAI_API_KEY", "file:/run/secrets/openai")
    assert (provider.auth_header, provider.extra_headers) == ("api-key", (("openai-organization", "org"),))
    assert (provider.transport, provider.http2, provider.proxy) == ("httpx", True, "http://proxy.internal:3128")
    assert (provider.ca_file, provider.verify, provider.attempts_max) == ("/etc/ca.pem", False, 1)
    assert (provider.connect_timeout_s, provider.idle_timeout_s, provider.total_timeout_s) == (1.0, 2.5, 1800.0)
    assert (provider.on_disconnect, provider.stream_options) == ("drain", False)
    assert (provider.max_tokens_field, provider.usage_arithmetic) == ("max_completion_tokens", "reasoning_excluded")
    assert provider.unlisted is not None
    assert provider.unlisted.cached == pico_per_token("0.5")
    assert config.limits == Limits(body_bytes_max=1_000, body_timeout_s=1.5)
    assert hash(provider) == hash(parse(FULL).providers["openai"])


def test_config_model() -> None:
    """Prices become pico-dollars per token, and carry the version of the table they were read from."""
    config = parse(FULL)
    model = config.providers["openai"].models["gpt-4o-mini"]
    rates = model.rates
    assert (model.id, model.name, model.display_name) == ("openai/gpt-4o-mini", "gpt-4o-mini-2024-07-18", "GPT-4o mini")
    assert (rates.input, rates.output, rates.request) == (150_000, 600_000, pico_per_request("0.001"))
    assert (rates.cached, rates.cache_write, rates.audio_prompt, rates.image_prompt) == (75_000, 200_000, 10_000_000, 300_000)
    assert (rates.reasoning, rates.audio_completion, rates.image_completion) == (700_000, 20_000_000, 30_000_000)
    assert rates.version == config.version != parse(FULL + " ").version
    assert (model.context_tokens, model.max_output_tokens, model.image_tokens_max) == (128_000, 16_384, 40_000)
    assert (model.input_modalities, model.max_tokens_field, model.created_s) == (("text", "image"), "max_tokens", 1_721_260_800)


def test_config_prefix_is_the_longest() -> None:
    """The longest provider name that ends at a slash takes the id; a shorter one never sees it."""
    config = parse(FULL)
    found = find(config, "openai/eu/m")
    assert isinstance(found, Found)
    assert (found.provider.name, found.model.name) == ("openai/eu", "m")
    assert found.provider.base_url.authority == "[::1]:8080"
    assert found.provider.auth_header == "x-auth: Token"
    missing = find(config, "openai/eu/other")
    assert isinstance(missing, NotFound)
    assert missing.provider is not None
    assert missing.provider.name == "openai/eu"
    near = find(config, "openai/europe")
    assert isinstance(near, Found)
    assert near.provider.name == "openai"
    assert near.model.is_listed is False


@pytest.mark.parametrize(
    "model_id", ["", "/", "gpt-4o", "openai", "openai/", "nobody/m", "openai/a b", "openai/ü", "openai/x" * 40]
)
def test_config_id_of_nothing(model_id: str) -> None:
    """What is not a provider's name, a slash and a name without space leads nowhere, even where unlisted models pass."""
    assert isinstance(find(parse(FULL), model_id), NotFound)


def test_config_aliases() -> None:
    """Aliases lead straight to models, through other aliases, each once and in order."""
    config = parse(FULL)
    assert config.aliases == {
        "fast": ("openai/gpt-4o-mini",),
        "any": ("openai/gpt-4o-mini", "openai/eu/m", "echo/x"),
    }


def test_config_echo() -> None:
    """The provider echo is there in an empty table, needs no key and has a price; a table may give it another."""
    for text in ("", "\ufeff# a byte order mark is no mistake\n"):
        found = find(parse(text), "echo/echo-1")
        assert isinstance(found, Found)
        assert found.provider.dialect == "echo"
        assert not found.provider.key_refs
        assert found.model.rates.input > 0
        assert found.model.rates.output > 0
        assert isinstance(find(parse(text), "echo/anything"), Found)
    own = parse('[providers.echo]\nmodels.dear = { input = "9", output = "9" }').providers["echo"]
    assert own.dialect == "echo"
    assert own.models["dear"].rates.input == 9_000_000
    assert own.unlisted is None


def test_config_shipped() -> None:
    """The table we ship is right: at least 25 providers in the OpenAI dialect with keys, each with something that has a price."""
    config = parse(SHIPPED.read_text())
    remote = [provider for provider in config.providers.values() if provider.dialect == "openai" and provider.key_refs]
    assert len(remote) >= 25
    for provider in config.providers.values():
        assert provider.models or provider.unlisted is not None
        for model in provider.models.values():
            assert find(config, model.id) == Found(provider, model)
            rates = model.rates
            if not model.serves:
                assert min(rates.input, rates.output) > 0
            else:
                assert rates.input or rates.search or rates.second or rates.character or model.serves == ("moderations",)
            assert (model.rates.cached or 0) <= model.rates.input
    assert all(provider.base_url.scheme == "https" for provider in remote)
    assert not config.providers["mistral"].stream_options
    assert not config.providers["cohere"].stream_options
    assert config.providers["openai"].max_tokens_field == "max_completion_tokens"


def test_config_shipped_comments_name_every_field() -> None:
    """The head of the shipped table explains each field that a table may have."""
    head = SHIPPED.read_text().partition('[aliases]\n"')[0]
    renamed = {"name", "key_refs", "models", "is_unlisted_free"}
    for name in {*Provider.__struct_fields__, *Limits.__struct_fields__} - renamed:
        assert f"#   {name} " in head or f", {name}" in head, name


def test_config_shipped_matches_the_price_table() -> None:
    """A sample of the shipped prices is what the public price table says; both are only read here."""
    config = parse(SHIPPED.read_text())
    rates = config.providers["openai"].models["gpt-4o-mini"].rates
    assert (rates.input, rates.cached, rates.output) == tuple(map(pico_per_token, ("0.15", "0.075", "0.60")))


def test_line_of_every_kind_of_key() -> None:
    """Dotted keys, quoted keys, inline tables, lists over several lines and multi-line strings all have their line."""
    text = (
        '# a comment with [brackets] = "x"\n'
        "a . b.\"c d\" = { x = 1, 'y' = [1, { z = 2 }] } # c\n"
        'long = """\n[not.a.table]\nkey = 1\\"""\n"""\n'
        "literal = '''\n[neither]\n'''\n"
        "list = [\n  1, # one\n  '],',\n  [3],\n]\n"
        "[[t]]\nk = 2024-01-01\n[t.'u.v']\n\"\\u0041\" = {}\nlast = []"
    )
    known = lines(text)
    assert known[("a", "b", "c d", "y", 1, "z")] == 2
    assert (known[("long",)], known[("literal",)]) == (3, 7)
    assert (known[("list", 0)], known[("list", 1)], known[("list", 2, 0)]) == (11, 12, 13)
    assert (known[("t", "k")], known[("t", "u.v", "A")], known[("t", "u.v", "last")]) == (16, 18, 19)
    assert line_of(("a", "b", "missing", "deep"), known) == 2
    assert line_of(("nowhere",), known) == 1


def test_problem_reads_as_a_sentence() -> None:
    """Paths are written as in TOML, and a typo finds what was meant."""
    assert dotted(("providers", "a/b", "api_keys", 1)) == 'providers."a/b".api_keys[1]'
    assert nearest("API-KYE", ["api_key", "proxy"]) == "api_key"
    assert nearest("zzz", ["api_key"]) is None
    assert str(Problem("", 3, "is wrong")) == "line 3: is wrong"


@given(st.text(alphabet=string.printable, max_size=60), st.integers(0, len(FULL)))
def test_config_damaged(garbage: str, at: int) -> None:
    """Whatever is typed into a table, the answer is a Config or a ConfigError with places inside the text."""
    text = FULL[:at] + garbage + FULL[at:]
    lines_of_problems = [problem.line for problem in _problems(text)]
    assert all(1 <= line <= text.count("\n") + 1 for line in lines_of_problems)


def _problems(text: str) -> tuple[Problem, ...]:
    try:
        parse(text)
    except ConfigError as error:
        return error.problems
    return ()


_KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\x7f", min_codepoint=32), min_size=1, max_size=8)


@given(
    st.recursive(
        st.integers(0, 9), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3), max_leaves=12
    )
)
def test_line_of_any_value(value: object) -> None:
    """Every key of any valid text has a place: one line here, and the walk comes to its end."""

    def toml(part: object) -> str:
        if isinstance(part, dict):
            return "{" + ", ".join(f"{_quoted(key)} = {toml(inner)}" for key, inner in part.items()) + "}"
        return f"[{', '.join(map(toml, part))}]" if isinstance(part, list) else str(part)

    known = lines(f"\n\nk = {toml(value)}\nend = 1")
    assert set(known.values()) <= {1, 3, 4}
    assert known[("end",)] == 4


def _quoted(key: str) -> str:
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


@pytest.mark.parametrize(
    "value", ["1" * 6000, "[" * 20_000 + "]" * 20_000, "{a=" * 5000 + "1" + "}" * 5000], ids=["digits", "lists", "tables"]
)
def test_config_beyond_the_parser_is_refused(value: str) -> None:
    """What Python's parser gives up on is a problem of the file, not of the process."""
    with pytest.raises(ConfigError, match="cannot be read as TOML"):
        parse(f"x = {value}")


PLACES = [
    "[limits]\nbody_timeout_s = {}",
    "[limits]\nheader_count_max = {}",
    "[policies.a]\nretry_budget = {}",
    "[policies.a.breaker]\nfailure_rate = {}",
    "[providers.p]\nmodels.m.input = {}",
    "[providers.p]\nmodels.m.created = {}",
    "[providers.p]\nmodels.m.context_tokens = {}",
    "[providers.p]\nidle_timeout_s = {}",
    "[providers.p]\nattempts_max = {}",
    "[rate_limits.key]\nrequests_per_minute = {}",
    "[routes.r]\ntargets = [{{ to = 'echo/echo-1', weight = {} }}]",
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("number", ["9" * 400, "-" + "9" * 400, "0x" + "f" * 5000, "1e400", "-inf", "nan", "9" * 30, "-1"])
def test_config_number_that_nobody_means(place: str, number: str) -> None:
    """Longer than a float, longer than Python writes in decimal, none at all: a problem with its place, and short."""
    message = problems_of(place.format(number))
    assert place.rpartition("\n")[2].partition(" = {}")[0].rpartition(".")[2].rpartition(" ")[2] in message
    assert len(message) < 1_000


def test_config_alias_of_aliases_is_followed_once() -> None:
    """Thirty that each name the next one twice are thirty steps; what leads on for ever is refused, each name with its line."""
    text = "".join(f'a{number} = ["a{number + 1}", "a{number + 1}"]\n' for number in range(30))
    assert parse(f'[aliases]\n{text}a30 = "echo/echo-1"\n').aliases["a0"] == ("echo/echo-1",)
    text = "".join(f'a{number} = "a{number + 1}"\n' for number in range(2_000))
    message = problems_of(f'[aliases]\n{text}a2000 = "echo/echo-1"\n')
    assert "line 2, aliases.a0: leads through more than 32 other aliases" in message
    assert "aliases.a1990" not in message


def test_config_alias_keeps_the_order_of_what_it_names() -> None:
    """Depth first, as it reads: what stands first is asked first, through however many names."""
    text = '[aliases]\na = ["b", "echo/1", "c"]\nb = ["c", "echo/2"]\nc = ["echo/3", "echo/1"]\n'
    assert parse(text).aliases["a"] == ("echo/3", "echo/1", "echo/2")


@pytest.mark.parametrize(("count", "is_right"), [(1, True), (30, True), (2_000, False)])
def test_config_like_of_likes_is_followed_so_far(count: int, is_right: bool) -> None:
    """The last of some in a row has what the first says; thousands are a problem with its place."""
    first = '[providers.p0]\nbase_url = "https://p.example"\napi_key = "none"\nmodels.m = { input = "1", output = "2" }\n'
    rest = "".join(
        f'[providers.p{number}]\nlike = "p{number - 1}"\nbase_url = "https://p{number}.example"\napi_key = "none"\n'
        for number in range(1, count + 1)
    )
    if not is_right:
        assert f"providers.p{count}.like: leads through more than 32 others" in problems_of(first + rest)
        return
    last = parse(first + rest).providers[f"p{count}"]
    assert (last.models["m"].id, last.models["m"].rates.input) == (f"p{count}/m", 1_000_000)
