"""Which id a caller means: by its case, by OpenRouter's suffixes, and never another model than one could have meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.table.config import MODEL_ID_CHARS_MAX, Found, find, parse
from routing.table.model_id import Ids, ResolvedId

CONFIG = parse("""
[providers.open]
base_url = "https://open.example/v1"
api_key = "none"
[providers.open.models]
mini = { input = "1", output = "2" }
Mini = { input = "3", output = "4" }
Large = { input = "1", output = "2" }
"tag:free" = { input = "1", output = "2" }
gift = { input = "0", output = "0" }
toll = { input = "0", output = "0", request = "0.01" }
[providers.Any]
base_url = "https://any.example/v1"
api_key = "none"
unlisted = { input = "1", output = "2" }
[aliases]
quick = ["open/mini", "open/Large"]
presents = ["open/gift"]
mixed = ["open/gift", "open/mini"]
[routes.best]
targets = ["open/Large"]
""")
IDS = Ids(CONFIG)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("open/mini", "open/mini"),
        ("open/Mini", "open/Mini"),
        ("open/MINI", "open/MINI"),  # two that differ in their case alone: which one is not to be told
        ("open/large", "open/Large"),
        ("OPEN/LARGE", "open/Large"),
        ("open/tag:free", "open/tag:free"),
        ("OPEN/TAG:FREE", "open/tag:free"),
        ("QUICK", "quick"),
        ("Best", "best"),
        ("any/Thing", "Any/Thing"),
        ("ANY/Thing", "Any/Thing"),
        ("any/", "any/"),
        ("open/nothing", "open/nothing"),
        ("nothing", "nothing"),
        ("", ""),
        ("x" * (MODEL_ID_CHARS_MAX + 1), "x" * (MODEL_ID_CHARS_MAX + 1)),
    ],
)
def test_id_in_another_case(written: str, expected: str) -> None:
    """The table's own way of writing it; what is written as in the table is that, and what is not known stays."""
    assert IDS.meant(written) == ResolvedId(expected)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("open/mini:nitro", ResolvedId("open/mini", sorts_by_speed=True)),
        ("open/mini:floor", ResolvedId("open/mini", sorts_by_price=True)),
        ("open/mini:default", ResolvedId("open/mini")),
        ("Quick:NITRO", ResolvedId("quick", sorts_by_speed=True)),
        ("best:floor", ResolvedId("best", sorts_by_price=True)),
        ("open/gift:free", ResolvedId("open/gift")),
        ("presents:free", ResolvedId("presents")),
        ("any/x:nitro", ResolvedId("Any/x:nitro")),
        ("nothing:nitro", ResolvedId("nothing:nitro")),
        (":nitro", ResolvedId(":nitro")),
    ],
)
def test_suffix_that_is_served(written: str, expected: ResolvedId) -> None:
    """Where what it asks for is true here; a provider that takes any name takes one with a colon, too."""
    assert IDS.meant(written) == expected


@pytest.mark.parametrize(
    ("written", "status", "code", "words"),
    [
        ("open/mini:free", 404, "model_not_found", "here it has its price: call open/mini"),
        ("mixed:free", 404, "model_not_found", "here it has its price: call mixed"),
        ("open/toll:free", 404, "model_not_found", "here it has its price"),
        ("open/mini:online", 400, "unpriced_option", "searches the web"),
        ("open/mini:thinking", 404, "model_not_found", "reasoning_effort"),
        ("open/mini:exacto", 404, "model_not_found", "does not measure"),
        ("open/mini:extended", 404, "model_not_found", "longer window"),
        ("OPEN/large:beta", 404, "model_not_found", "Did you mean open/Large?"),
        ("open/mini:", 404, "model_not_found", "Did you mean open/mini?"),
    ],
)
def test_suffix_that_is_not_served_says_why(written: str, status: int, code: str, words: str) -> None:
    """And which id to call instead; nothing that costs otherwise is taken for it."""
    refusal = IDS.meant(written).refusal
    assert refusal is not None
    assert (refusal.status, refusal.code, refusal.param) == (status, code, "model")
    assert words in refusal.message
    assert refusal.metadata == {"suggestions": [IDS.meant(written).id]}


@given(st.sampled_from(["open/mini", "open/Mini", "open/Large", "quick", "best", "Any/x"]), st.text(max_size=6), st.booleans())
def test_any_id_is_its_own_or_one_that_can_be_called(known: str, more: str, is_upper: bool) -> None:
    """Never raises; and what it makes of an id either is that id or leads somewhere."""
    written = f"{known}:{more}"
    meant = IDS.meant(written.upper() if is_upper else written)
    can_be_called = (
        meant.id in CONFIG.aliases or meant.id in CONFIG.routes or isinstance(find(CONFIG, meant.id), Found) or meant.refusal
    )
    assert can_be_called or meant.id == (written.upper() if is_upper else written)
