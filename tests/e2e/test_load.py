"""10,000 requests, 50 at once, a tenth of them hung up at random moments: the books agree with the callers to the nano-dollar."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.answers import DONE, Answer, Delay, Step, completion, delta, event, respond, stream, usage_chunk
from tests.collector_database import records
from tests.e2e.conftest import providers_toml
from tests.e2e.oracle import cost_nano
from tests.e2e.statement import credit_nano, wait_spent_nano
from tests.load import Shot, fire, shot
from tests.processes import Edge, make_account, run
from tests.provider import Provider, Request

REQUESTS = 10_000
AT_ONCE = 50
SEED = 20_261_122


def answer(request: Request) -> Answer:
    """An answer whose counts follow from the shot's number; a third is streamed with pauses, so that there is time to leave."""
    asked = request.json()
    number = int(asked["user"].rpartition("-")[2])
    prompt, tokens = number % 997 + 1, number % 89 + 1
    if not asked["stream"]:
        pause: tuple[Step, ...] = (Delay(0.01),) if number % 10 == 0 else ()
        return (*pause, *respond(completion(prompt=prompt, tokens=tokens)))
    parts: list[Step] = []
    for word in ("Hel", "lo ", "there."):
        parts += [event(delta(content=word)), Delay(0.004)]
    return stream([*parts, event(delta("stop")), event(usage_chunk(prompt, tokens)), DONE])


def shots(key: str) -> Iterator[Shot]:
    dice = random.Random(SEED)
    for number in range(REQUESTS):
        hang_up_s = dice.uniform(0.001, 0.04) if dice.random() < 0.1 else None
        yield shot(f"load-{number}", key, "mock/load", stream=number % 3 == 0, hang_up_s=hang_up_s, max_tokens=100)


@pytest.fixture
def edge_alone(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with (running := Edge(tmp_path_factory.mktemp("load"), providers_toml(provider))):
        yield running


def test_load_balances(edge_alone: Edge, provider: Provider) -> None:
    """One record per request, none twice; the sum of their costs is the fall of the balance, and what the callers were told."""
    account = make_account(edge_alone, "load", "1000.00")
    provider.script_by("load", answer)
    seen = asyncio.run(fire(edge_alone.port, shots(account.key), AT_ONCE))
    assert len(seen) == REQUESTS
    whole = [each for each in seen if each.is_whole]
    hung_up = [each for each in seen if each.has_hung_up]
    assert len(whole) + len(hung_up) == REQUESTS, Counter((each.status, each.body[:200]) for each in seen if not each.is_whole)
    assert len(hung_up) > REQUESTS // 50
    for each in whole:
        number = int(each.shot.name.rpartition("-")[2])
        assert each.cost_nano == cost_nano(number % 997 + 1, number % 89 + 1), each

    assert edge_alone.stop() == 0
    kept = records(edge_alone, "load")
    by_name = {record.request_id: record for record in kept}
    assert len(by_name) == len(kept)
    asked = {request.json()["user"] for request in provider.requests["load"]}
    provider.forget("load")
    assert asked <= by_name.keys()
    assert {each.shot.name for each in whole} <= by_name.keys()
    # Who hung up before the server had read the request has not made one: nobody was asked, nothing is written.
    gone = {each.shot.name for each in hung_up}
    missing = {f"load-{number}" for number in range(REQUESTS)} - by_name.keys()
    assert missing <= gone - asked
    assert len(gone & by_name.keys()) > REQUESTS // 200
    for each in whole:
        assert by_name[each.shot.name].cost_nano == each.cost_nano
        assert by_name[each.shot.name].gen_id == each.gen_id

    edge_alone.start()
    spent = sum(record.cost_nano for record in kept)
    wait_spent_nano(edge_alone.port, account, spent)
    assert credit_nano(edge_alone.port, account) == (1_000_000_000_000, spent)
    run(edge_alone, "verify")
