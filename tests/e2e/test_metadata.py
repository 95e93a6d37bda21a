"""Which model and route answered: the answer, /generation and `tollway explain` agree, where an alias' first target fails."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.answers import completion, respond, spoken, stream
from tests.e2e.statement import generation
from tests.processes import Account, Edge, make_account, post, run_json
from tests.provider import Provider

ILL, WELL = "metadata-ill", "metadata-well"
OURS, OPENROUTER = "x-tollway-metadata", "x-openrouter-metadata"
CHAT, OPENROUTER_CHAT = "/v1/chat/completions", "/api/v1/chat/completions"


@pytest.fixture
def edge(provider: Provider, server: str, tmp_path: Path) -> Iterator[Edge]:
    """One of its own: what closes here stays closed."""
    price = 'input = "1", output = "2", context_tokens = 100_000, max_output_tokens = 1_000'
    sections = "".join(
        f'[providers.{name}]\nbase_url = "{provider.base_url}"\napi_key = "none"\nmodels."{model}" = {{ {price} }}\n'
        for name, model in (("ill", ILL), ("well", WELL))
    )
    table = f'{sections}[aliases]\nboth = ["ill/{ILL}", "well/{WELL}"]\n'
    provider.forget(ILL)
    provider.forget(WELL)
    provider.script(ILL, respond({"error": {"message": "no such model", "code": "model_not_found"}}, 404))
    with (running := Edge(tmp_path / "edge", table, TOLLWAY_SERVER=server)):
        yield running


def told(
    edge: Edge, account: Account, path: str, header: str, *, is_stream: bool, **more: Any
) -> tuple[dict[str, Any], list[Any]]:
    """The answer's last part that has usage, and all its parts."""
    asked = {"model": "both", "messages": [{"role": "user", "content": "hi"}], "stream": is_stream, **more}
    reply = post(edge.port, asked, {**account.headers, header: "enabled"} if header else account.headers, path)
    assert reply.status == 200, reply.body
    if not is_stream:
        return reply.json(), [reply.json()]
    lines = [line[6:] for line in reply.body.decode().splitlines() if line.startswith("data: {")]
    parts = [json.loads(line) for line in lines]
    return next(part for part in reversed(parts) if part.get("usage")), parts


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("path", "header"), [(CHAT, OURS), (OPENROUTER_CHAT, OURS), (OPENROUTER_CHAT, OPENROUTER)])
def test_answer_says_how_it_was_routed(edge: Edge, provider: Provider, path: str, header: str, is_stream: bool) -> None:
    """Once per answer, where its usage is, and in the record; nothing of it where it was not asked for."""
    provider.script(WELL, stream(spoken("hello")) if is_stream else respond(completion()))
    account, member = make_account(edge, "reader"), header[2:].replace("-", "_")
    answer, parts = told(edge, account, path, header, is_stream=is_stream)
    assert sum(member in part for part in parts) == 1
    found = answer[member]
    attempts = [(each["provider"], each["model"], each["status"], each["result"]) for each in found["attempts"]]
    assert attempts == [("ill", ILL, 404, "model_gone"), ("well", WELL, 200, "answered")]
    assert (found["requested"], found["strategy"], found["attempt"]) == ("both", "in_order", 2)
    explained = run_json(edge, "explain", "both", "--json")
    assert [each.pop("key") for each in explained["plan"]] == [None] * len(explained["plan"])
    assert explained == {name: found[name] for name in explained}
    record = generation(edge.port, account, answer["id"])
    assert (record["router"], record["routing"]["requested"], record["routing"]["attempt"]) == ("both", "both", 2)
    assert record["routing"]["attempts"] == found["attempts"]
    plain, parts = told(edge, account, path, "", is_stream=is_stream)
    assert plain["usage"]
    assert not any(member in part for part in parts)


def test_answer_says_what_rests(edge: Edge, provider: Provider) -> None:
    """A usage chunk of its own carries it as well; a target that is led around says why."""
    provider.script(WELL, stream(spoken("hello")))
    account = make_account(edge, "reader")
    for _ in range(20):
        answer, parts = told(edge, account, CHAT, OURS, is_stream=True, stream_options={"include_usage": True})
        assert parts[-1]["choices"] == []
        assert answer is parts[-1]
        assert answer["tollway_metadata"]["attempts"][-1]["result"] == "answered"
        if answer["tollway_metadata"]["not_asked"]:
            break
    assert answer["tollway_metadata"]["not_asked"] == [{"model": f"ill/{ILL}", "why": "rests, since it failed lately"}]
