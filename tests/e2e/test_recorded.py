"""Recorded answers of real providers, by a real socket server through a real edge: byte for byte, but for id, model and usage.

Strategy: an oracle of our own (tests/e2e/oracle.py), which knows the rules for id, model and usage, builds the expected bytes
from the recording; what the caller got must then be equal, framing included.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.answers import Answer, bytewise, cut_at_random, respond, stream, whole
from tests.e2e.oracle import cost_nano, events, exact, member, nano, substituted
from tests.processes import Account, Edge, Reply, get, post
from tests.provider import Provider

FOLDER = Path(__file__).parents[1] / "recorded"
MESSAGES = [{"role": "user", "content": "Invent a new holiday and describe its traditions."}]

STREAMED = {  # prompt, completion, cached: read off the recordings by hand
    "azure-model-router.1": (15, 78, 0),
    "deepseek-reasoning": (18, 219, 0),
    "deepseek-text": (13, 400, 0),
    "groq-text": (45, 662, 0),
    "groq-tool-call": (210, 15, 0),
    "mistral-text": (13, 8, 0),
    "mistral-tool-call": (124, 22, 0),
    "openai-text": (16, 300, 0),
}
PLAIN = {
    "deepseek-text": (13, 300, 0),
    "groq-text": (45, 607, 0),
    "groq-tool-call": (218, 15, 0),
    "mistral-text": (13, 434, 0),
    "openai-text": (16, 363, 0),
    "perplexity-text": (11, 392, 0),
    "xai-text": (12, 1 + 228, 2),  # xAI leaves reasoning out of completion_tokens
}


def payloads_of(name: str) -> list[bytes]:
    return (FOLDER / f"{name}.chunks.txt").read_bytes().splitlines()


def cuttings(answer: Answer, seed: int) -> dict[str, Answer]:
    return {"whole": whole(answer), "bytewise": bytewise(answer), "random": cut_at_random(answer, 50, seed)}


def has_choices(payload: bytes) -> bool:
    return bool(json.loads(payload)["choices"])


def has_usage(payload: bytes) -> bool:
    return json.loads(payload).get("usage") is not None


def expected_stream(recorded: list[bytes], gen_id: str, model: str, usage: bytes, include_usage: bool) -> list[bytes]:
    """The payloads that the caller must get; the last chunk of a provider without one of its own is left out."""
    names = {"id": json.dumps(gen_id).encode(), "model": json.dumps(model).encode()}
    finished = max(at for at, payload in enumerate(recorded) if b'"finish_reason":"' in payload)
    wanted = []
    for at, payload in enumerate(recorded):
        if not has_choices(payload) and has_usage(payload):
            if include_usage:
                wanted.append(substituted(payload, names | {"usage": usage}))
        elif at == finished and not include_usage:
            wanted.append(substituted(payload, names | {"usage": usage}, append=True))
        elif has_usage(payload):
            wanted.append(substituted(payload, names | {"usage": b"null"}))
        else:
            wanted.append(substituted(payload, names))
    return wanted


def check_usage(usage: bytes, tokens: tuple[int, int, int]) -> None:
    value = exact(usage)
    prompt, completion, cached = tokens
    assert (value["prompt_tokens"], value["completion_tokens"], value["total_tokens"]) == (
        prompt,
        completion,
        prompt + completion,
    )
    assert nano(value["cost"]) == cost_nano(prompt, completion, cached)
    assert "usage_source" not in value


def check_same(got: bytes, wanted: bytes) -> None:
    """Says where they part. pytest's own account of two long texts takes minutes where it is not cut short, as under CI."""
    if got != wanted:
        at = next(
            (index for index, pair in enumerate(zip(got, wanted, strict=False)) if pair[0] != pair[1]), min(len(got), len(wanted))
        )
        raise AssertionError(f"at byte {at}: {got[max(at - 60, 0) : at + 60]!r} instead of {wanted[max(at - 60, 0) : at + 60]!r}")


def check_stream(got: Reply, recorded: list[bytes], model: str, tokens: tuple[int, int, int], include_usage: bool) -> None:
    """One answer against the recording."""
    assert got.status == 200, got.body[:500]
    assert got.headers["content-type"].startswith("text/event-stream")
    answered = events(got.body)
    assert answered[-1] == b"[DONE]"
    usages = [member(payload, "usage") for payload in answered[:-1] if has_usage(payload)]
    assert len(usages) == 1
    check_usage(usages[0], tokens)
    wanted = expected_stream(recorded, got.headers["x-generation-id"], model, usages[0], include_usage)
    if include_usage and has_choices(recorded[-1]):
        own = json.loads(answered.pop(len(wanted)))
        assert (own["id"], own["model"], own["choices"]) == (got.headers["x-generation-id"], model, [])
        body = got.body.replace(b"data: " + events(got.body)[len(wanted)] + b"\n\n", b"")
    else:
        body = got.body
    check_same(body, b"".join(b"data: " + payload + b"\n\n" for payload in [*wanted, b"[DONE]"]))


@pytest.mark.parametrize("include_usage", [False, True], ids=["merged", "included"])
@pytest.mark.parametrize("cutting", ["whole", "bytewise", "random"])
@pytest.mark.parametrize("name", STREAMED)
def test_stream_recorded(
    edge: Edge, account: Account, provider: Provider, model: str, name: str, cutting: str, include_usage: bool
) -> None:
    """Whatever way TCP split it, the caller gets the recorded bytes, our id and model, and the right usage once."""
    recorded = payloads_of(name)
    parts = [b"data: " + payload + b"\n\n" for payload in [*recorded, b"[DONE]"]]
    framing = "close" if include_usage else "chunked"
    provider.script(model, cuttings(stream(parts, framing=framing), seed=len(recorded))[cutting])
    body: dict[str, Any] = {"model": f"mock/{model}", "messages": MESSAGES, "stream": True}
    if include_usage:
        body["stream_options"] = {"include_usage": True}
    got = post(edge.port, body, account.headers)
    check_stream(got, recorded, f"mock/{model}", STREAMED[name], include_usage)


@pytest.mark.parametrize("cutting", ["whole", "bytewise", "random"])
@pytest.mark.parametrize("name", PLAIN)
def test_answer_recorded(edge: Edge, account: Account, provider: Provider, model: str, name: str, cutting: str) -> None:
    """A JSON answer comes back byte for byte, but for id, model and usage."""
    recorded = (FOLDER / f"{name}.json").read_bytes()
    provider.script(model, cuttings(respond(recorded), seed=len(recorded))[cutting])
    got = post(edge.port, {"model": f"mock/{model}", "messages": MESSAGES}, account.headers)
    assert got.status == 200, got.body[:500]
    usage = member(got.body, "usage")
    check_usage(usage, PLAIN[name])
    names = {"id": f'"{got.headers["x-generation-id"]}"'.encode(), "model": f'"mock/{model}"'.encode(), "usage": usage}
    check_same(got.body, substituted(recorded, names))


def test_generation_of_recorded_stream(edge: Edge, account: Account, provider: Provider, model: str) -> None:
    """The record that is kept of a replayed stream tells the same counts and the same cost."""
    parts = [b"data: " + payload + b"\n\n" for payload in [*payloads_of("openai-text"), b"[DONE]"]]
    provider.script(model, stream(parts))
    got = post(edge.port, {"model": f"mock/{model}", "messages": MESSAGES, "stream": True}, account.headers)
    kept = exact(get(edge.port, f"/api/v1/generation?id={got.headers['x-generation-id']}", account.headers).body)["data"]
    assert (kept["native_tokens_prompt"], kept["native_tokens_completion"]) == (16, 300)
    assert nano(kept["total_cost"]) == cost_nano(16, 300)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body.replace(b'"content":"**"', b'"content":"*"', 1),
        lambda body: body.replace(b"\n\n", b"\n", 1),
        lambda body: body.replace(b'"obfuscation":', b'"obfuscation": ', 1),
        lambda body: body.replace(b"data: [DONE]\n\n", b""),
        lambda body: body.replace(b'"cost":', b'"cost":1', 1),
        lambda body: body.replace(b'"usage":null', b'"usage":{"cost":0}', 1),
    ],
)
def test_oracle_notices(edge: Edge, account: Account, provider: Provider, model: str, spoil: Any) -> None:
    """The comparison above is seen to fail for each kind of damage that it is there to find."""
    recorded = payloads_of("openai-text")
    provider.script(model, stream([b"data: " + payload + b"\n\n" for payload in [*recorded, b"[DONE]"]]))
    got = post(edge.port, {"model": f"mock/{model}", "messages": MESSAGES, "stream": True}, account.headers)
    check_stream(got, recorded, f"mock/{model}", STREAMED["openai-text"], False)
    spoiled = Reply(got.status, got.headers, spoil(got.body))
    assert spoiled.body != got.body
    with pytest.raises(AssertionError):
        check_stream(spoiled, recorded, f"mock/{model}", STREAMED["openai-text"], False)
