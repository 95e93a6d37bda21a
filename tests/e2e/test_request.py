"""What a caller sends, over real sockets, against a provider that refuses unknown parameters as OpenAI does."""

import contextlib
import http.client
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from routing.request.parameters import OPENAI
from tests.answers import Answer, completion, respond
from tests.e2e.conftest import providers_toml
from tests.processes import Account, Edge, Reply, make_account, post
from tests.provider import Provider, Request

MORE = """
[providers.strict]
base_url = "{base_url}"
api_key = "none"
[providers.strict.models.exact]
input = "1"
output = "2"
max_output_tokens = 100
[providers.strict.models.dear]
input = "1000"
output = "2000"
max_output_tokens = 100
"""


def as_openai(request: Request) -> Answer:
    """An answer, or OpenAI's refusal of a member that it does not know or that stands twice in whatever spelling."""
    pairs: list[tuple[str, Any]] = json.loads(request.body, object_pairs_hook=list)
    names = [name for name, _ in pairs]
    for name in names:
        if name not in OPENAI or names.count(name) > 1:
            message = f"Unrecognized request argument supplied: {name}"
            return respond({"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}, 400)
    if dict(pairs).get("max_tokens", 0) > 100:
        return respond(
            {"error": {"message": "max_tokens is too large", "type": "invalid_request_error", "param": "max_tokens"}}, 400
        )
    return respond(completion("hello"))


@pytest.fixture(scope="module")
def strict(provider: Provider, server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    for model in ("exact", "dear"):
        provider.script_by(model, as_openai)
    table = providers_toml(provider) + MORE.format(base_url=provider.base_url)
    with (running := Edge(tmp_path_factory.mktemp("strict"), table, TOLLWAY_SERVER=server)):
        yield running


@pytest.fixture(scope="module")
def caller(strict: Edge) -> Account:
    return make_account(strict, "caller", "100.00")


def chat(strict: Edge, caller: Account, path: str = "/api/v1/chat/completions", **members: Any) -> Reply:
    body = {"model": "strict/exact", "messages": [{"role": "user", "content": "hi"}], **members}
    return post(strict.port, body, caller.headers, path)


@pytest.mark.parametrize(
    "members",
    [
        {"usage": {"include": True}},
        {"usage": {"include": True}, "provider": {"allow_fallbacks": True}, "models": ["strict/exact"], "route": "fallback"},
        {"transforms": ["middle-out"], "session_id": "s", "trace": {"trace_id": "t"}, "user": "u"},
        {"top_k": 40, "min_p": 0.05, "top_a": 0.1, "repetition_penalty": 1.1},
        {"reasoning": {"effort": "high"}, "include_reasoning": True, "verbosity": "low"},
        {"reasoning": {"max_tokens": 50}},
        {"plugins": []},
        {"options": {"num_ctx": 1024}, "keep_alive": -1, "think": False, "format": "json"},
        {"max_tokens": 100_000},
        {"max_completion_tokens": 100_000},
    ],
)
def test_members_of_other_routers_pass_a_strict_provider(strict: Edge, caller: Account, members: dict[str, Any]) -> None:
    """Every call of LiteLLM's `openrouter/`, of OpenRouter's SDKs and of Ollama's failed at such a provider."""
    reply = chat(strict, caller, **members)
    assert reply.status == 200, reply.body
    assert reply.json()["choices"][0]["message"]["content"] == "hello"


@pytest.mark.parametrize("name", ["Model", "MODEL", "mod\u0435l", "model\u0000", "Max_Tokens", "\u017ftream", "max_to\u212aens"])
def test_member_in_another_spelling_reaches_no_provider(strict: Edge, caller: Account, provider: Provider, name: str) -> None:
    """The dear model is not served at the cheap one's price, whichever of two the provider's reader takes."""
    before = len(provider.requests["exact"]) + len(provider.requests["dear"])
    reply = chat(strict, caller, **{name: "dear"})
    if name == "mod\u0435l":
        # A Cyrillic letter: no reader takes that for the name, so it is the provider's to refuse.
        assert reply.status == 400
        return
    assert (reply.status, reply.json()["error"]["metadata"]["code"]) == (400, "ambiguous_member")
    assert len(provider.requests["exact"]) + len(provider.requests["dear"]) == before


def test_member_that_is_repeated_leaves_us_once(strict: Edge, caller: Account, provider: Provider) -> None:
    """Whichever of two a reader takes, the body that leaves has one."""
    body = (
        b'{"model":"strict/dear","messages":[{"role":"user","content":"hi"}],"mod\\u0065l":"strict/exact","model":"strict/exact"}'
    )
    reply = post(strict.port, body, caller.headers)
    assert reply.status == 200
    assert provider.requests["exact"][-1].body.count(b'"model"') == 1


BOMBS = {
    "116,501 members": b'{"model":"strict/exact","messages":[1]' + b"".join(b',"%d":1' % at for at in range(116_501)) + b"}",
    "members of 8 MiB": b'{"model":"strict/exact","messages":[1]' + b"".join(b',"%d":1' % at for at in range(700_000)) + b"}",
    "three million file ids": b'{"model":"strict/exact","messages":[' + b'{"file_id":1},' * 2_200_000 + b"{}]}",
    "depth": b'{"model":"strict/exact","messages":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
}


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS.keys())
def test_body_of_many_small_parts_is_refused(strict: Edge, caller: Account, body: bytes) -> None:
    """It froze everybody for seconds and took a gigabyte; now it is a 400 that says what was too many."""
    reply = post(strict.port, body, caller.headers)
    assert reply.status == 400, reply.body
    assert chat(strict, caller).status == 200


def mutated(dice: random.Random) -> bytes:
    """Bytes that are nearly a request, or no request at all."""
    seeds = [
        b'{"model":"strict/exact","messages":[{"role":"user","content":"hi"}],"stream":false,"n":1}',
        b'{"model":"strict/exact","messages":[{"role":"user","content":[{"type":"text","text":"a"}]}],"top_k":4,"stop":["a"]}',
        b'{"model":"strict/exact","messages":[1],"models":["strict/dear"],"provider":{"order":["strict"]},"reasoning":{"effort":"low"}}',
        '{"model":"strict/exact","messages":[{"role":"ü","content":"\\ud83d\\ude00"}],"tools":[{"type":"function"}]}'.encode(),
    ]
    marks = [b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\\ud800", b"null", b"1e999", b"-0", b"\xff", b"\x00", b"\xc5\xbf"]
    if dice.random() < 0.1:
        return dice.randbytes(dice.randint(0, 80))
    body = bytearray(dice.choice(seeds))
    for _ in range(dice.randint(1, 4)):
        at = dice.randint(0, len(body))
        body[at : at + dice.randint(0, 3)] = dice.choice(marks) if dice.random() < 0.7 else dice.randbytes(2)
    return bytes(body)


def test_bodies_of_random_bytes_are_answered(strict: Edge, caller: Account) -> None:
    """Two thousand bodies that were changed at random: each is answered, none with a failure of ours, none with a traceback."""
    dice = random.Random(15)
    statuses = set()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", strict.port, timeout=20)) as connection:
        for number in range(2_000):
            path = ("/v1/chat/completions", "/api/v1/chat/completions")[number % 2]
            connection.request("POST", path, mutated(dice), caller.headers)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status in (200, 400, 402, 403, 404), (answer.status, text)
            assert answer.status == 200 or json.loads(text)["error"]["message"]
            statuses.add(answer.status)
    assert {200, 400, 404} <= statuses
    assert "Traceback" not in strict.log
