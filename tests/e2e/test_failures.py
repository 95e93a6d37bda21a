"""Providers that fail, as callers of a running edge meet them: one caller never harms another, and what can move on does."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.answers import Answer, completion, respond
from tests.e2e.statement import eventually
from tests.processes import Account, Edge, Reply, make_account, post
from tests.provider import Provider, Request

MODEL = "failures"
GOOD = respond(completion())


def table(provider: Provider, folder: Path) -> str:
    model = f'.models."{MODEL}"]\ninput = "1"\noutput = "2"\ncontext_tokens = 100_000\nmax_output_tokens = 1_000\n'
    (folder / "one").write_text("ill")
    (folder / "two").write_text("well")
    one, two = f'"file:{folder}/one"', f'"file:{folder}/two"'
    return "".join(
        [
            f'[providers.lone]\nbase_url = "{provider.base_url}"\napi_key = {one}\n[providers.lone{model}',
            f'[providers.pool]\nbase_url = "{provider.base_url}"\napi_keys = [{one}, {two}]\n[providers.pool{model}',
            f'[providers.well]\nbase_url = "{provider.base_url}"\napi_key = {two}\n[providers.well{model}',
            f'[aliases]\nboth = ["lone/{MODEL}", "well/{MODEL}"]\n',
        ]
    )


@pytest.fixture
def failing(provider: Provider, server: str, tmp_path: Path) -> Iterator[Edge]:
    """An edge of its own, since what closes here would stay closed for other tests."""
    provider.forget(MODEL)
    with (running := Edge(tmp_path / "edge", table(provider, tmp_path), TOLLWAY_SERVER=server)):
        yield running


def script(provider: Provider, ill: Answer) -> None:
    def answer(request: Request) -> Answer:
        bad = request.header("authorization") == "Bearer ill" or b"break it" in request.body
        return ill if bad else GOOD

    provider.script_by(MODEL, answer)


def ask(edge: Edge, account: Account, model: str, text: str = "hi") -> Reply:
    return post(edge.port, {"model": model, "messages": [{"role": "user", "content": text}]}, account.headers)


def asked_ill(provider: Provider) -> int:
    return sum(request.header("authorization") == "Bearer ill" for request in provider.requests[MODEL])


REFUSALS: list[tuple[int, Any]] = [
    (401, {"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}),
    (403, {"type": "error", "error": {"type": "permission_error", "message": "no"}}),
    (404, {"error": {"message": "no such model", "code": "model_not_found"}}),
    (400, {"error": {"message": "API usage limits reached. You will regain access on 2099-01-01 at 00:00 UTC."}}),
    (429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}),
]


@pytest.mark.parametrize(("status", "body"), REFUSALS, ids=[str(status) for status, _ in REFUSALS])
def test_hundreds_of_callers_beside_one_refused(failing: Edge, provider: Provider, status: int, body: Any) -> None:
    """With one healthy key or target none of 300 callers, 8 at a time, sees the refusal of the other."""
    script(provider, respond(body, status))
    account = make_account(failing, "many")
    with ThreadPoolExecutor(8) as pool:
        models = ["both", f"pool/{MODEL}"] * 150
        statuses = list(pool.map(lambda model: ask(failing, account, model).status, models))
    assert statuses == [200] * 300
    assert asked_ill(provider) >= 1


def test_too_long_for_the_first_is_asked_of_the_second(failing: Edge, provider: Provider) -> None:
    """Four of four, though nothing rests."""
    script(provider, respond({"error": {"message": "prompt is too long: 9 tokens > 8 maximum"}}, 400))
    account = make_account(failing, "long")
    assert [ask(failing, account, "both").status for _ in range(4)] == [200] * 4


def test_burst_of_one_account_closes_nothing_for_others(failing: Edge, provider: Provider) -> None:
    """Fourteen at once that are told to wait a second: a second later another account is served."""
    script(provider, respond(b"", 429, [("retry-after", "1")]))
    loud, quiet = make_account(failing, "loud"), make_account(failing, "quiet")
    with ThreadPoolExecutor(14) as pool:
        burst = list(pool.map(lambda _: ask(failing, loud, f"lone/{MODEL}").status, range(14)))
    assert set(burst) == {429}
    script(provider, GOOD)
    eventually(lambda: ask(failing, quiet, f"lone/{MODEL}").status, lambda status: status == 200, within_s=3.0)


def test_content_of_one_account_closes_nothing_for_others(failing: Edge, provider: Provider) -> None:
    """What breaks the provider, or is refused there, is that account's own trouble."""
    bad, good = make_account(failing, "bad"), make_account(failing, "good")
    for answer in (respond(b"", 500), respond({"error": {"message": "Content violates usage guidelines"}}, 403)):
        script(provider, answer)
        for _ in range(6):
            assert ask(failing, bad, f"well/{MODEL}", "break it").status != 200
        assert ask(failing, good, f"well/{MODEL}").status == 200


def test_right_key_reopens(failing: Edge, provider: Provider, tmp_path: Path) -> None:
    """Eight refusals at once, then the right key in the same file: within seconds it serves, without a restart."""
    script(provider, respond({"error": {"message": "who is ill?"}}, 401))
    account = make_account(failing, "key")
    with ThreadPoolExecutor(8) as pool:
        refused = list(pool.map(lambda _: ask(failing, account, f"lone/{MODEL}"), range(8)))
    assert {reply.status for reply in refused} == {502}
    assert {reply.headers.get("x-should-retry") for reply in refused} == {"false"}
    assert all("retry-after" not in reply.headers for reply in refused)
    (tmp_path / "one").write_text("right\n")
    eventually(lambda: ask(failing, account, f"lone/{MODEL}").status, lambda status: status == 200, within_s=8.0)
