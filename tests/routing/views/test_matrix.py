"""The matrix of providers and surfaces: what passes, what is translated, and what is not offered."""

from routing.surfaces import SURFACES
from routing.table.config import parse
from routing.views.matrix import NAMES, cell, matrix

CONFIG = parse("""
[providers.chatty]
base_url = "https://chatty.example/v1"
api_key = "none"
models.m = { input = "1", output = "2" }
[providers.claude]
base_url = "https://claude.example/v1"
api_key = "none"
serves = ["messages"]
models.m = { input = "1", output = "2" }
[providers.vectors]
base_url = "https://vectors.example/v1"
api_key = "none"
serves = ["embeddings"]
unlisted = { input = "1", output = "0" }
[providers.mixed]
base_url = "https://mixed.example/v1"
api_key = "none"
serves = ["chat", "embeddings"]
models.m = { input = "1", output = "2" }
models.v = { input = "1", output = "0", serves = ["embeddings"] }
""")
BY_FORMAT = {entry.format: entry for entry in SURFACES}


def told(provider: str, format: str) -> str:
    return cell(BY_FORMAT[format], CONFIG.providers[provider])


def test_cell_says_how_a_surface_is_served() -> None:
    """By any of the provider's models; by what it lists no models of, if it offers the format; else not at all."""
    assert (told("chatty", "chat"), told("chatty", "messages"), told("chatty", "embeddings")) == ("passes", "translated", "")
    assert (told("claude", "chat"), told("claude", "messages")) == ("translated", "passes")
    assert (told("vectors", "embeddings"), told("vectors", "chat")) == ("passes", "")
    assert (told("mixed", "embeddings"), told("mixed", "chat")) == ("passes", "passes")


def test_matrix_has_a_row_for_each_provider_and_a_column_for_each_surface() -> None:
    lines = matrix(CONFIG).splitlines()
    rows = [[each.strip() for each in line.strip("|").split("|")] for line in lines]
    assert rows[0] == ["provider", *NAMES.values()]
    assert [row[0] for row in rows[2:]] == list(CONFIG.providers)
    assert {len(row) for row in rows} == {1 + len(SURFACES)}
    assert {each for row in rows[2:] for each in row[1:]} == {"passes", "translated", ""}
