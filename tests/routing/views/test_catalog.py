"""What /models tells."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from routing.table.config import ConfigError, parse
from routing.views.catalog import Catalog
from usage.flavor import Flavor

TABLE = parse("""
[providers.open]
base_url = "http://127.0.0.1:1/v1"
api_key = "none"
[providers.open.models."a/b"]
input = "0.15"
cached_input = "0.075"
output = "0.60"
request = "0.005"
context_tokens = 1000
max_output_tokens = 100
[providers.shut]
base_url = "http://127.0.0.1:1/v1"
api_key = "env:NOT_THERE"
[providers.shut.models.x]
input = "1"
output = "1"
[aliases]
quick = ["shut/x", "open/a/b"]
gone = "shut/x"
""")


def listing() -> dict[str, object]:
    parsed: dict[str, object] = json.loads(Catalog(TABLE, frozenset()).listing(Flavor.OPENROUTER))
    return parsed


def test_catalog_lists_offered_models_with_prices_per_token() -> None:
    """Prices are decimal strings in dollars per token or request, as OpenRouter has them."""
    entries = {entry["id"]: entry for entry in listing()["data"]}  # type: ignore[attr-defined]
    assert set(entries) == {"open/a/b", "echo/echo-1", "quick"}
    assert entries["open/a/b"]["pricing"] == {
        "prompt": "0.00000015",
        "completion": "0.0000006",
        "request": "0.005",
        "input_cache_read": "0.000000075",
    }
    assert entries["open/a/b"]["top_provider"]["max_completion_tokens"] == 100
    assert listing()["total_count"] == 3


def test_catalog_says_which_provider_is_not_offered_and_why() -> None:
    """A provider without its key is named, with what would offer it."""
    assert listing()["not_offered"] == [{"provider": "shut", "reason": "NOT_THERE is not in the environment"}]


def test_catalog_endpoints_of_a_model() -> None:
    """A model's endpoints name its provider; an alias answers with its own id."""
    catalog = Catalog(TABLE, frozenset())
    body = catalog.endpoints("open/a/b")
    assert body is not None
    assert [endpoint["provider_name"] for endpoint in json.loads(body)["data"]["endpoints"]] == ["open"]
    alias = catalog.endpoints("quick")
    assert alias is not None
    assert json.loads(alias)["data"]["id"] == "quick"
    assert catalog.endpoints("shut/x") is None


def test_catalog_for_openai() -> None:
    """OpenAI's four members for each model, and nothing of OpenRouter's."""
    catalog = Catalog(TABLE, frozenset())
    listed = json.loads(catalog.listing(Flavor.OPENAI))
    assert listed["object"] == "list"
    assert {entry["id"] for entry in listed["data"]} == {"open/a/b", "echo/echo-1", "quick"}
    entry = {"id": "open/a/b", "object": "model", "created": 0, "owned_by": "open"}
    assert entry in listed["data"]
    body = catalog.model("open/a/b", Flavor.OPENAI)
    assert body is not None
    assert json.loads(body) == entry


def test_catalog_model_for_openrouter() -> None:
    """One model as it stands in the listing; an alias under its own name."""
    catalog = Catalog(TABLE, frozenset())
    body = catalog.model("quick", Flavor.OPENROUTER)
    assert body is not None
    listed = json.loads(catalog.listing(Flavor.OPENROUTER))["data"]
    assert json.loads(body)["data"] in listed
    assert json.loads(catalog.count) == {"data": {"count": 3}}


def test_catalog_of_what_is_not_offered() -> None:
    """No model, and the id that was probably meant."""
    catalog = Catalog(TABLE, frozenset())
    assert catalog.model("shut/x", Flavor.OPENAI) is None
    assert catalog.nearest("open/a/B") == "open/a/b"
    assert catalog.nearest("zzzzzz") is None


MANY = parse("""
[providers.claude]
base_url = "https://claude.example/v1"
api_key = "none"
serves = ["messages"]
[providers.claude.models]
haiku = { input = "1", output = "5", context_tokens = 200_000, max_output_tokens = 8_192, created = 2025-10-15 }
old = { input = "1", output = "5", display_name = "Old one" }
[providers.vectors]
base_url = "https://vectors.example/v1"
api_key = "none"
serves = ["embeddings", "gemini_embeddings"]
models.v = { input = "1", output = "0", serves = ["embeddings"] }
models.g = { input = "1", output = "0", search = "0.01", serves = ["gemini_embeddings"] }
[routes.best]
targets = ["claude/haiku", "claude/old"]
[routes."claude/old"]
targets = ["claude/haiku"]
""")
NAMES = ["claude/haiku", "claude/old", "vectors/v", "vectors/g", "echo/echo-1", "best"]


def pages(
    ask: Callable[[int, str], bytes], limit: int, list_name: str, id_name: str, is_last: Callable[[Any], bool]
) -> list[str]:
    """Ids as a client gathers them that goes on behind the last of each page."""
    found: list[str] = []
    for _ in range(20):
        page = json.loads(ask(limit, found[-1] if found else ""))
        assert len(page[list_name]) <= limit
        found += [each[id_name].removeprefix("models/") for each in page[list_name]]
        if is_last(page):
            return found
    raise AssertionError("the list has no end")


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 7, 1000])
def test_catalog_pages_have_each_model_once(limit: int) -> None:
    """For Anthropic's clients and for Google's, whatever the size of a page; a route has its name in it as a model has."""
    catalog = Catalog(MANY, frozenset())
    assert pages(catalog.anthropic_listing, limit, "data", "id", lambda page: not page["has_more"]) == NAMES
    assert pages(catalog.google_listing, limit, "models", "name", lambda page: "nextPageToken" not in page) == NAMES


def test_catalog_page_behind_what_is_not_there_is_the_first() -> None:
    """A model that went with the last table is no reason to answer nothing."""
    catalog = Catalog(MANY, frozenset())
    assert catalog.anthropic_listing(2, "gone/x") == catalog.anthropic_listing(2)
    assert catalog.google_listing(2, "gone/x") == catalog.google_listing(2)
    ends = json.loads(catalog.anthropic_listing(2, NAMES[-1]))
    assert (ends["data"], ends["first_id"], ends["last_id"], ends["has_more"]) == ([], None, None, False)


def test_catalog_model_for_anthropic() -> None:
    """Anthropic's own shape, with a name and a moment for each; None for what is not offered."""
    catalog = Catalog(MANY, frozenset())
    body = catalog.anthropic_model("claude/haiku")
    assert body is not None
    assert json.loads(body) == {
        "type": "model",
        "id": "claude/haiku",
        "display_name": "claude/haiku",
        "created_at": "2025-10-15T00:00:00Z",
        "max_input_tokens": 200_000,
        "max_tokens": 8_192,
    }
    listed = json.loads(catalog.anthropic_listing())["data"]
    assert json.loads(body) in listed
    assert [each["display_name"] for each in listed if each["id"] == "claude/old"] == ["Old one"]
    assert catalog.anthropic_model("gone/x") is None


@pytest.mark.parametrize(
    ("model_id", "methods"),
    [
        ("claude/haiku", ["generateContent", "countTokens"]),
        ("best", ["generateContent", "countTokens"]),
        ("echo/echo-1", ["generateContent", "countTokens", "embedContent", "batchEmbedContents"]),
        ("vectors/g", ["embedContent"]),
        ("vectors/v", []),
    ],
)
def test_catalog_model_for_google(model_id: str, methods: list[str]) -> None:
    """What a client may do with it is what this proxy does, through a translator too; limits only where they are known."""
    catalog = Catalog(MANY, frozenset())
    body = catalog.google_model(model_id)
    assert body is not None
    told = json.loads(body)
    assert (told["name"], told["supportedGenerationMethods"]) == (f"models/{model_id}", methods)
    assert ("inputTokenLimit" in told) is (model_id in ("claude/haiku", "best", "echo/echo-1"))
    assert told in json.loads(catalog.google_listing())["models"]
    assert catalog.google_model("gone/x") is None


def test_catalog_price_of_a_search_is_told_where_there_is_one() -> None:
    entries = {each["id"]: each for each in json.loads(Catalog(MANY, frozenset()).listing(Flavor.OPENROUTER))["data"]}
    assert entries["vectors/g"]["pricing"]["web_search"] == "0.01"
    assert "web_search" not in entries["vectors/v"]["pricing"]


@pytest.mark.parametrize("created", ["0001-01-01", "1969-12-31", "9999-12-31", "0", "253402300799"])
def test_catalog_tells_any_moment_that_the_table_takes(created: str) -> None:
    """Each listing is made of every one; what no calendar has (milliseconds for seconds) is refused with the table."""
    head = '[providers.p]\nbase_url = "https://p.example"\napi_key = "none"\n'
    table = f'{head}models.m = {{ input = "1", output = "2", created = {created} }}\n'
    catalog = Catalog(parse(table), frozenset())
    body = catalog.anthropic_model("p/m")
    assert body is not None
    datetime.fromisoformat(json.loads(body)["created_at"])
    for flavor in Flavor:
        assert catalog.model("p/m", flavor) is not None
    with pytest.raises(ConfigError, match="beyond the year 9999"):
        parse(table.replace(created, "1721260800000"))
