"""What /models tells."""

import json

from routing.table.config import parse
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
