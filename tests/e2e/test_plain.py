"""The plain routes, which the speed-ups decline to: what callers get over them is what they get without (`bench.plain`)."""

import sys
from collections.abc import Iterator

import pytest

from bench.plain import SWITCHES
from tests.answers import cut_at_random, respond, stream
from tests.e2e.conftest import providers_toml
from tests.e2e.test_recorded import FOLDER, MESSAGES, PLAIN, STREAMED, payloads_of
from tests.processes import Account, Edge, make_account, post
from tests.provider import Provider

CALLS = [
    *[(path, name, True) for name in ("openai-text", "groq-tool-call", "mistral-text") for path in ("/v1", "/api/v1")],
    *[("/v1", name, False) for name in ("openai-text", "deepseek-text")],
]
assert {name for _, name, _ in CALLS} <= STREAMED.keys() | PLAIN.keys()


def started(names: str, folder: str, provider: Provider, base: pytest.TempPathFactory) -> Edge:
    edge = Edge(base.mktemp(folder), providers_toml(provider))
    edge.command = [sys.executable, "-m", "bench.plain", names, "serve"]
    return edge


@pytest.fixture(scope="module")
def fast(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Edge, Account]]:
    """Everything on, as in production."""
    with (edge := started("", "fast", provider, tmp_path_factory)):
        yield edge, make_account(edge, "caller", "1000.00")


@pytest.fixture(scope="module", params=["pour", ",".join(SWITCHES)])
def plain(
    request: pytest.FixtureRequest, provider: Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Edge, Account]]:
    """Without some speed-ups, or without any."""
    with (edge := started(request.param, "plain", provider, tmp_path_factory)):
        yield edge, make_account(edge, "caller", "1000.00")


def answer(made: tuple[Edge, Account], provider: Provider, model: str, path: str, name: str, is_stream: bool) -> bytes:
    """What a caller gets of a recording that comes in pieces; without what is another one each time."""
    edge, account = made
    if is_stream:
        parts = [b"data: " + payload + b"\n\n" for payload in [*payloads_of(name), b"[DONE]"]]
        provider.script(model, cut_at_random(stream(parts), 40, 7))
    else:
        provider.script(model, cut_at_random(respond((FOLDER / f"{name}.json").read_bytes()), 5, 7))
    body = {"model": f"mock/{model}", "messages": MESSAGES, "stream": is_stream}
    got = post(edge.port, body, account.headers, f"{path}/chat/completions")
    assert got.status == 200, got.body[:500]
    return got.body.replace(got.headers["x-generation-id"].encode(), b"gen-x")


@pytest.mark.parametrize(("path", "name", "is_stream"), CALLS)
def test_plain_route_gives_the_same_bytes(
    fast: tuple[Edge, Account],
    plain: tuple[Edge, Account],
    provider: Provider,
    model: str,
    path: str,
    name: str,
    is_stream: bool,
) -> None:
    """Both APIs, streamed and whole, however the provider's bytes were cut."""
    wanted = answer(fast, provider, model, path, name, is_stream)
    assert len(wanted) > 200
    assert answer(plain, provider, model, path, name, is_stream) == wanted
