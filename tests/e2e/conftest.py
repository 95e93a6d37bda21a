"""What the end-to-end tests share: one scripted provider, one edge with its collector embedded, accounts made by command."""

import itertools
from collections.abc import Callable, Iterator

import openai
import pytest

from tests.e2e.oracle import CACHED, INPUT, OUTPUT
from tests.processes import Account, Edge, make_account
from tests.provider import Provider

MODELS = 1000
"""So many are listed: a model that fails again and again is closed for a while, so each test has one of its own."""
_numbers = itertools.count(1)


def providers_toml(provider: Provider, more: str = "") -> str:
    """A table with the providers `mock` and `other`, both the scripted one, at the oracle's prices.

    `more` is appended: further keys of `mock`'s section first, then sections.
    """
    price = f'{{ input = "{INPUT}", cached_input = "{CACHED}", output = "{OUTPUT}" }}'
    section = f'base_url = "{provider.base_url}"\napi_key = "none"\nunlisted = {price}\n'
    listed = "".join(f'"model-{number}" = {price}\n' for number in range(MODELS))
    refused = "".join(f"[providers.refused-{status}]\n{section}\n" for status in (400, 401, 429))
    return f"{refused}[providers.other]\n{section}\n[providers.mock]\n{section}{more}\n[providers.mock.models]\n{listed}"


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(scope="session", params=["native", "granian"])
def server(request: pytest.FixtureRequest) -> str:
    """What listens: our own server, and granian."""
    return str(request.param)


@pytest.fixture(scope="session")
def edge(provider: Provider, server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """One edge, under each server, for every test that needs no settings of its own."""
    with (running := Edge(tmp_path_factory.mktemp("edge"), providers_toml(provider), TOLLWAY_SERVER=server)):
        yield running


@pytest.fixture(scope="session")
def account(edge: Edge) -> Account:
    """An account that cannot run out in these tests."""
    return make_account(edge, "caller", "1000.00")


@pytest.fixture
def new_account(edge: Edge) -> Callable[[str], Account]:
    """Makes a new account with so many dollars."""
    return lambda credit: make_account(edge, f"account-{next(_numbers)}", credit)


@pytest.fixture
def model() -> str:
    """A model name at the scripted provider that no other test uses."""
    return f"model-{next(_numbers) % MODELS}"


@pytest.fixture
def client(edge: Edge, account: Account) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=edge.base_url, api_key=account.key, max_retries=0, timeout=20) as made:
        yield made
