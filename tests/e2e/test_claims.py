"""A provider that lies about what it counted, over real sockets: what is charged, what is told, and that nothing locks."""

import http.client
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.answers import DONE, Gate, Step, completion, delta, event, respond, stream, usage, usage_chunk
from tests.e2e.oracle import cost_nano, nano
from tests.e2e.statement import credit_nano, eventually, generation, wait_spent_nano
from tests.e2e.test_streams import ask_stream, usage_in
from tests.processes import Account, Edge, figure, get, post, run, run_json
from tests.provider import Provider

HI: Any = [{"role": "user", "content": "hi"}]
NewAccount = Callable[[str], Account]


def ask(edge: Edge, account: Account, model: str, **more: Any) -> Any:
    """(usage in the answer, the generation's record) of a whole answer to `hi` with max_tokens 200."""
    got = post(edge.port, {"model": f"mock/{model}", "messages": HI, "max_tokens": 200} | more, account.headers)
    assert got.status == 200, got.body
    return got.json(parse_float=Decimal)["usage"], generation(edge.port, account, got.headers["x-generation-id"])


def body_bytes(model: str) -> int:
    return len(json.dumps({"model": f"mock/{model}", "messages": HI, "max_tokens": 200}))


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [(5_000_000, 3), (10**9, 3), (2**40, 3), (2**40, 2**40), (9, 1_000_000), (9, 2**40), (2**70, 2**70)],
)
def test_impossible_claim_is_charged_at_its_bound(
    edge: Edge, new_account: NewAccount, provider: Provider, model: str, prompt: int, tokens: int
) -> None:
    """The account pays for what can be, reads so in the answer and in /generation, and its next request is served."""
    account = new_account("1.00")
    provider.script(model, respond(completion(prompt=prompt, tokens=tokens)), respond(completion()))
    told, record = ask(edge, account, model)
    charged = (body_bytes(model) if prompt > 9 else 9, 200 if tokens > 3 else 3)
    assert (told["prompt_tokens"], told["completion_tokens"]) == charged
    assert (told["usage_source"], record["usage_source"]) == ("bounded", "bounded")
    assert nano(told["cost"]) == nano(record["total_cost"]) == cost_nano(*charged)
    told, _ = ask(edge, account, model)
    assert "usage_source" not in told
    wait_spent_nano(edge.port, account, cost_nano(*charged) + cost_nano(9, 3))
    assert credit_nano(edge.port, account)[0] == 10**9


def test_impossible_claim_is_told_to_the_operator(edge: Edge, account: Account, provider: Provider, model: str) -> None:
    """By provider in /metrics; in the log a minute at most once, with the numbers and nothing of what the provider wrote."""
    provider.script(model, respond(completion("said", prompt=5_000_000)))
    told = "provider mock claims a usage that cannot be"
    before = edge.log.count(told)  # by tests before this one, which on a slow machine take minutes
    ask(edge, account, model)
    ask(edge, account, model)
    assert figure(edge, "tollway_usage_bounded_total", 'provider="mock"') >= 2
    assert edge.log.count(told) <= before + 1
    assert told in edge.log


TEXT, FINISH = event(delta(content="x" * 40)), event(delta("stop"))


def last(**members: Any) -> bytes:
    """The last chunk of OpenAI's streams with these members in its usage."""
    return event(delta() | {"choices": [], "usage": members})


STREAMS: dict[str, tuple[list[Step], tuple[int, int], str]] = {
    "zeros last": ([TEXT, FINISH, event(usage_chunk(20, 10)), event(usage_chunk(0, 0))], (20, 10), ""),
    "first chunk only": (
        [event(delta(content="word ") | {"usage": usage(20, 1)}), *[event(delta(content="word "))] * 299, FINISH],
        (20, 375),
        "counted",
    ),
    "prompt first, completion last": (
        [event(delta(content="x" * 40) | {"usage": usage(20, 0)}), event(delta("stop") | {"usage": {"completion_tokens": 10}})],
        (20, 10),
        "",
    ),
    "choices null": ([TEXT, FINISH, event({"choices": None, "usage": usage(20, 10)})], (20, 10), ""),
    "bad neighbours": (
        [TEXT, FINISH, last(prompt_tokens=20, completion_tokens=10, total_tokens="30", prompt_tokens_details=[])],
        (20, 10),
        "",
    ),
    "thinking in the total": ([TEXT, FINISH, last(prompt_tokens=20, completion_tokens=10, total_tokens=730)], (20, 710), ""),
    "Anthropic's names": ([TEXT, FINISH, last(input_tokens=20, output_tokens=10)], (20, 10), ""),
}


@pytest.mark.parametrize("name", STREAMS)
def test_stream_is_charged_by_the_last_word_of_each_member(
    edge: Edge, account: Account, provider: Provider, model: str, name: str
) -> None:
    """What the caller reads is what is charged, whatever order the provider says it in, and it is read once."""
    parts, charged, source = STREAMS[name]
    provider.script(model, stream([*parts, DONE]))
    got = ask_stream(edge, account, model)
    told = json.loads(usage_in(got), parse_float=Decimal)
    record = generation(edge.port, account, got.headers["x-generation-id"])
    assert (told["prompt_tokens"], told["completion_tokens"]) == charged
    assert told.get("usage_source", "") == source
    assert record["usage_source"] == (source or "provider")
    assert nano(told["cost"]) == nano(record["total_cost"]) == cost_nano(*charged)


def test_caller_who_leaves_pays_for_what_was_sent_on(edge: Edge, account: Account, provider: Provider, model: str) -> None:
    """A usage in the first chunk says one token; 219 frames are not one token."""
    first = event(delta(content="ab ") | {"usage": usage(20, 1)})
    provider.script(model, stream([first, *[event(delta(content="ab ")) for _ in range(218)], Gate(f"{model}-never"), DONE]))
    connection = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=20)
    body = json.dumps({"model": f"mock/{model}", "messages": HI, "stream": True})
    connection.request("POST", "/v1/chat/completions", body, account.headers | {"content-type": "application/json"})
    answer = connection.getresponse()
    seen = 0
    while seen < 219:
        seen += answer.readline().startswith(b"data:")
    connection.close()
    record = generation(edge.port, account, answer.headers["x-generation-id"])
    assert (record["end_reason"], record["usage_source"]) == ("cancelled", "counted")
    assert (record["tokens_prompt"], record["tokens_completion"]) == (20, 219)


def test_unreadable_events_are_not_free(edge: Edge, account: Account, provider: Provider, model: str) -> None:
    """A stream in an encoding that is none passes, and is charged by its bytes."""
    words = b'{"id":"x","choices":[{"index":0,"delta":{"content":"' + "你好世界".encode("gbk") * 10 + b'"}}]}'
    provider.script(model, stream([event(words), event(words), event(delta("stop")), DONE]))
    got = ask_stream(edge, account, model)
    assert got.status == 200
    record = generation(edge.port, account, got.headers["x-generation-id"])
    assert record["usage_source"] == "counted"
    assert record["tokens_completion"] >= 40


def test_finish_reason_of_megabytes_holds_nothing_up(edge: Edge, new_account: NewAccount, provider: Provider, model: str) -> None:
    """The record of that answer is there, cut, and so are those behind it; the books hold."""
    account = new_account("5.00")
    poison = completion(finish_reason="x" * 4_000_000) | {"id": "y" * 1_000_000, "service_tier": "z" * 1_000_000}
    provider.script(model, respond(poison), respond(completion()))
    got = post(edge.port, {"model": f"mock/{model}", "messages": HI}, account.headers)
    assert len(got.json()["choices"][0]["finish_reason"]) == 4_000_000
    record = generation(edge.port, account, got.headers["x-generation-id"])
    assert len(record["finish_reason"]) <= 64
    assert len(record["upstream_id"]) <= 128
    assert record["service_tier"] is None
    for _ in range(3):
        ask(edge, account, model)
    wait_spent_nano(edge.port, account, 4 * cost_nano(9, 3))
    eventually(lambda: get(edge.admin_port, "/metrics").body, lambda body: b"\ntollway_journal_pending_records 0\n" in body)
    assert get(edge.port, "/readyz").status == 200
    assert "ok" in run(edge, "verify")


def test_providers_own_cost_is_shown_beside_ours(edge: Edge, account: Account, provider: Provider, model: str) -> None:
    """What the provider says that it bills is in /generation to the last digit, and what it differs by is a metric."""
    provider.script(model, respond(completion() | {"usage": usage(9, 3, cost=0.000123456789)}))
    told, record = ask(edge, account, model)
    assert nano(told["cost"]) == cost_nano(9, 3)
    assert record["upstream_inference_cost"] == Decimal("0.000123456789")
    text = get(edge.admin_port, "/metrics").body.decode()
    found = dict(line.rsplit(" ", 1) for line in text.splitlines() if f'model="mock/{model}"' in line)
    assert found[f'tollway_upstream_cost_dollars_total{{model="mock/{model}"}}'] == "0.000123456"
    difference_nano = nano(found[f'tollway_upstream_cost_difference_dollars{{model="mock/{model}"}}'])
    assert difference_nano == 123_456 - cost_nano(9, 3)


def test_books_hold_after_every_lie(edge: Edge, account: Account) -> None:
    """Last: `verify` on all that was told above, and no record was rejected."""
    assert all(row["kept"] for row in run_json(edge, "verify"))
    assert [row["rejected"] for row in run_json(edge, "nodes", "list")] == [0]
