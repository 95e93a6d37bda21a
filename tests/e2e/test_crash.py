"""kill -9 of real processes under load, in short: nothing lost, nothing doubled. The long form is `scripts/soak crash-edge`."""

from collections.abc import Iterator

import pytest

from tests.crash import Crash
from tests.e2e.conftest import providers_toml
from tests.processes import Account, Collector, Edge, make_account
from tests.provider import Provider

SEED = 7


@pytest.fixture
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with (running := Collector(tmp_path_factory.mktemp("centre"))):
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
