"""kill -9 of real processes under load, in short: nothing lost, nothing doubled. The long form is `scripts/soak crash-edge`."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.collector_database import Record
from tests.crash import Crash, compare
from tests.e2e.conftest import providers_toml
from tests.load import Seen, Shot
from tests.processes import Account, Collector, Edge, make_account
from tests.provider import Provider

SEED = 7


@pytest.fixture
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with (running := Collector(tmp_path_factory.mktemp("collector"))):
        yield running


@pytest.fixture
def node(provider: Provider, collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with (running := Edge(tmp_path_factory.mktemp("node"), providers_toml(provider, "attempts_max = 1\n"), collector=collector)):
        yield running


@pytest.fixture
def payer(collector: Collector) -> Account:
    return make_account(collector, "payer", "100.00")


def test_edge_killed(node: Edge, collector: Collector, payer: Account, provider: Provider) -> None:
    """Five kills of the edge: every request that reached the provider is charged once, orphans included."""
    report = Crash(node, collector, node, provider, payer, SEED).run(5)
    provider.forget("crash")
    assert report.kills == 5
    assert report.answered > 0
    assert report.orphans > 0


def test_collector_killed(node: Edge, collector: Collector, payer: Account, provider: Provider) -> None:
    """Three kills of the collector while batches are on their way: callers notice nothing, and the books are whole."""
    report = Crash(node, collector, collector, provider, payer, SEED).run(3)
    provider.forget("crash")
    assert report.kills == 3
    assert report.answered == report.sent


def _books() -> dict[str, Any]:
    """Books that agree: two requests that the provider saw, one of them answered, one an orphan."""
    kept = [Record(f"gen-{name}", "payer", 5, {"request_id": name, "end_reason": "completed"}) for name in ("a", "b")]
    answers = [Seen(Shot("a", "", b""), 200, "gen-a", 5, True)]
    return {"asked": Counter("ab"), "kept": kept, "answers": answers, "spent_nano": 10}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda books: books | {"kept": books["kept"][:1], "spent_nano": 5},
        lambda books: books | {"kept": [*books["kept"], replace(books["kept"][0], gen_id="gen-c")], "spent_nano": 15},
        lambda books: books | {"kept": [replace(books["kept"][0], cost_nano=6), books["kept"][1]], "spent_nano": 11},
        lambda books: books | {"spent_nano": 11},
    ],
    ids=["lost", "doubled", "overcharged", "charged without a record"],
)
def test_comparison_notices(spoil: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """The comparison above passes right books, and is seen to fail for each wrong that it is there to find."""
    compare(**_books())
    with pytest.raises(AssertionError):
        compare(**spoil(_books()))
