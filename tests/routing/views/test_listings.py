"""The lists that OpenRouter's clients ask for beside that of the models; tests/e2e/test_surfaces.py has them read by its SDK."""

import json
from typing import Any

from routing.table.config import parse
from routing.views.catalog import Catalog

CATALOG = Catalog(
    parse("""
[providers.maker]
base_url = "https://maker.test"
api_key = "none"
serves = ["chat", "embeddings", "images"]
data = { trains = false, retains_days = 0 }
[providers.maker.models.chat]
input = "1"
output = "2"
[providers.maker.models.vectors]
input = "1"
output = "0"
serves = ["embeddings"]
[providers.maker.models.pictures]
input = "5"
output = "30"
image_input = "8"
image = "0.04"
serves = ["images"]
[providers.other]
base_url = "https://other.test"
api_key = "none"
[providers.other.models.m]
input = "1"
output = "2"
[aliases]
painter = ["maker/pictures"]
"""),
    frozenset(),
)


def test_models_of_a_surface() -> None:
    """Those alone that it is served by, in pages."""
    page: Any = json.loads(CATALOG.embeddings_listing(500, 0))
    assert ([model["id"] for model in page["data"]], page["total_count"]) == (["maker/vectors", "echo/echo-1"], 2)
    assert [model["id"] for model in json.loads(CATALOG.embeddings_listing(1, 1))["data"]] == ["echo/echo-1"]
    assert json.loads(CATALOG.embeddings_listing(500, 2))["data"] == []
    makers = {model["id"] for model in json.loads(CATALOG.images_listing())["data"]}
    assert makers == {"maker/pictures", "painter", "echo/echo-1"}


def test_prices_of_pictures_are_dollars_for_each() -> None:
    """By token and by picture; a model that makes none has no list."""
    told: Any = json.loads(CATALOG.image_endpoints("maker/pictures") or b"null")
    prices = {(each["billable"], each["unit"]): each["cost_usd"] for each in told["endpoints"][0]["pricing"]}
    assert prices == {
        ("input_text", "token"): 5e-06,
        ("input_image", "token"): 8e-06,
        ("output_image", "token"): 3e-05,
        ("output_image", "image"): 0.04,
    }
    assert CATALOG.image_endpoints("maker/chat") is None


def test_providers_and_who_keeps_nothing() -> None:
    """Each provider once; of what retains nothing no other names."""
    assert [each["slug"] for each in json.loads(CATALOG.providers)["data"]] == ["maker", "other", "echo"]
    kept = [each["model_id"] for each in json.loads(CATALOG.zdr_endpoints())["data"]]
    assert kept == ["maker/chat", "maker/vectors", "maker/pictures", "echo/echo-1"]
