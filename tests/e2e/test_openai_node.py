"""The JavaScript SDKs, unmodified, against a real edge: OpenAI's for Node, and Vercel's AI SDK with its compatible provider.

Strategy: a small script makes one call as it is told and prints what its user sees; what that must be is said here.
Limits: needs `node` and, on the first run, the npm registry (tests/e2e/package-lock.json pins every package by its hash).
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.answers import DONE, Delay, Gate, completion, delta, event, respond, spoken, stream, usage_chunk
from tests.e2e.oracle import cost_nano, nano
from tests.patience import PATIENCE_S
from tests.processes import Account, Edge, make_account
from tests.provider import Provider

HERE = Path(__file__).parent
MESSAGES: Any = [{"role": "user", "content": "Say hello."}]
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Zürich"}'}}

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
Call = Callable[..., Any]


def run(command: list[str], text: str = "") -> str:
    done = subprocess.run(command, cwd=HERE, input=text, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def packages() -> None:
    """The locked packages, installed when they are missing."""
    run(["./install"])


@pytest.fixture
def create(packages: None, edge: Edge, account: Account, model: str) -> Call:
    """chat.completions.create of the OpenAI SDK; keyword arguments are the request's."""

    def call(key: str = account.key, leave_after: int = 0, max_retries: int = 0, **arguments: Any) -> Any:
        arguments = {"model": f"mock/{model}", "messages": MESSAGES} | arguments
        given = {
            "base_url": edge.base_url,
            "key": key,
            "leave_after": leave_after,
            "max_retries": max_retries,
            "arguments": arguments,
        }
        return json.loads(run(["node", "node/openai.mjs"], json.dumps(given)))

    return call


@pytest.fixture
def generate(packages: None, edge: Edge, account: Account, model: str) -> Call:
    """generateText or streamText of the AI SDK."""

    def call(**more: Any) -> Any:
        given = {"base_url": edge.base_url, "key": account.key, "model": f"mock/{model}", "prompt": "Say hello."}
        return json.loads(run(["node", "node/ai.mjs"], json.dumps(given | more)))

    return call


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])


def test_completion_plain(create: Call, provider: Provider, model: str) -> None:
    """The answer is the provider's with our id, the model that was asked for, and the exact cost."""
    provider.script(model, respond(completion("Hello there.", prompt=31, tokens=17)))
    seen = create()
    answer = seen["answer"]
    assert answer["choices"][0]["message"]["content"] == "Hello there."
    assert answer["id"].startswith("gen-")
    assert answer["id"] == seen["headers"]["x-generation-id"]
    assert seen["request_id"] == seen["headers"]["x-request-id"]
    assert answer["model"] == f"mock/{model}"
    assert nano(answer["usage"]["cost"]) == cost_nano(31, 17)


def test_stream_usage_merged(create: Call, provider: Provider, model: str) -> None:
    """Without include_usage no chunk has empty choices, and the usage is in the chunk that carries finish_reason."""
    provider.script(model, stream(spoken(prompt=31, tokens=17)))
    got = create(stream=True)["chunks"]
    assert text_of(got) == "Hello there."
    assert all(chunk["choices"] for chunk in got)
    assert [chunk for chunk in got if chunk.get("usage")] == got[-1:]
    assert got[-1]["choices"][0]["finish_reason"] == "stop"
    assert nano(got[-1]["usage"]["cost"]) == cost_nano(31, 17)


def test_stream_usage_included(create: Call, provider: Provider, model: str) -> None:
    """With include_usage there is exactly one usage, in one last chunk with empty choices."""
    provider.script(model, stream(spoken(prompt=31, tokens=17)))
    got = create(stream=True, stream_options={"include_usage": True})["chunks"]
    assert text_of(got) == "Hello there."
    assert [bool(chunk["choices"]) for chunk in got] == [True] * (len(got) - 1) + [False]
    assert [chunk for chunk in got if chunk.get("usage")] == got[-1:]
    assert nano(got[-1]["usage"]["cost"]) == cost_nano(31, 17)


def test_tools_plain(create: Call, provider: Provider, model: str) -> None:
    """A tool call comes back whole; the tools reach the provider."""
    provider.script(model, respond(completion(None, message={"tool_calls": [CALL]}, finish_reason="tool_calls")))
    answer = create(tools=TOOLS)["answer"]
    assert answer["choices"][0]["message"]["tool_calls"] == [CALL]
    assert provider.wait_for_request(model).json()["tools"] == TOOLS


def test_tools_streamed(create: Call, provider: Provider, model: str) -> None:
    """A tool call in fragments arrives as the same fragments."""
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    fragments = ['{"ci', 'ty":"Zü', 'rich"}']
    values = [delta(role="assistant", content=None, tool_calls=[first])]
    values += [delta(tool_calls=[{"index": 0, "function": {"arguments": fragment}}]) for fragment in fragments]
    provider.script(model, stream([*map(event, [*values, delta("tool_calls"), usage_chunk(50, 12)]), DONE]))
    got = create(tools=TOOLS, stream=True)["chunks"]
    calls = [call for chunk in got for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert [call["function"]["arguments"] for call in calls] == ["", *fragments]
    assert got[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_image_part(create: Call, provider: Provider, model: str) -> None:
    """Image parts pass unchanged."""
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "QUJD" * 5000}},
    ]
    provider.script(model, respond(completion("A cat.", prompt=900, tokens=4)))
    seen = create(messages=[{"role": "user", "content": parts}])
    assert seen["answer"]["choices"][0]["message"]["content"] == "A cat."
    assert provider.wait_for_request(model).json()["messages"] == [{"role": "user", "content": parts}]


def test_stream_left_early(create: Call, provider: Provider, model: str) -> None:
    """Leaving the loop closes the connection to the provider."""
    provider.script(model, stream([event(delta(content="first")), Gate(f"{model}-never"), DONE]))
    assert text_of(create(stream=True, leave_after=1)["chunks"]) == "first"
    assert provider.wait_for_request(model).closed.wait(PATIENCE_S)


def test_errors_of_the_request(create: Call, provider: Provider, model: str) -> None:
    """400 names the parameter, 401 and 404 are their own classes."""
    bad = create(temperature=2.5)["error"]
    assert (bad["name"], bad["status"], bad["param"]) == ("BadRequestError", 400, "temperature")
    assert bad["request_id"]
    stranger = create(key="sk-nonsense")["error"]
    assert (stranger["name"], stranger["status"]) == ("AuthenticationError", 401)
    long = [{"role": "user", "content": "x" * (20 * 1024 * 1024)}]
    assert create(key="sk-nonsense", messages=long)["error"]["status"] == 401
    unknown = create(model="nobody/nothing")["error"]
    assert (unknown["name"], unknown["status"], unknown["code"]) == ("NotFoundError", 404, "model_not_found")
    assert not provider.requests[model]


def test_error_no_credit(create: Call, edge: Edge, provider: Provider, model: str) -> None:
    """An exhausted account reads 402, and the SDK does not try again."""
    poor = make_account(edge, f"poor-{model}", "0.000000001")
    assert create(key=poor.key, max_retries=2, max_tokens=1000)["error"]["status"] == 402
    assert not provider.requests[model]


def test_error_too_large(create: Call) -> None:
    """A body over 32 MiB is a 413."""
    assert create(messages=[{"role": "user", "content": "x" * (33 * 1024 * 1024)}])["error"]["status"] == 413


def test_errors_of_the_provider(create: Call, provider: Provider, model: str) -> None:
    """429 with its Retry-After, and 5xx, are their own classes."""
    provider.script(
        model, respond({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, 429, [("retry-after", "7")])
    )
    limited = create()
    assert (limited["error"]["name"], limited["headers"]["retry-after"]) == ("RateLimitError", "7")
    provider.script("broken", respond({"error": {"message": "broken"}}, 500))
    assert create(model="other/broken", stream=True)["error"]["name"] == "InternalServerError"


def test_error_mid_stream(create: Call, provider: Provider, model: str) -> None:
    """An error after the head is an APIError in the loop over the chunks."""
    provider.script(
        model, stream([event(delta(content="par")), Delay(0.05), event({"error": {"message": "overloaded", "code": 503}})])
    )
    seen = create(stream=True)
    assert text_of(seen["chunks"]) == "par"
    assert seen["error"]["name"] == "APIError"


# --- Vercel's AI SDK ------------------------------------------------------------------------------------------------------------


def test_ai_generate(generate: Call, provider: Provider, model: str) -> None:
    """generateText: text, counts, our id and model."""
    provider.script(model, respond(completion("Hello there.", prompt=31, tokens=17)))
    seen = generate()
    assert (seen["text"], seen["finish_reason"]) == ("Hello there.", "stop")
    assert (seen["usage"]["inputTokens"], seen["usage"]["outputTokens"]) == (31, 17)
    assert seen["response"]["id"].startswith("gen-")
    assert seen["response"]["model"] == f"mock/{model}"


def test_ai_stream(generate: Call, provider: Provider, model: str) -> None:
    """streamText: the deltas, and the counts of the last chunk."""
    provider.script(model, stream(spoken(prompt=31, tokens=17)))
    seen = generate(stream=True)
    assert seen["deltas"] == ["Hel", "lo ", "there."]
    assert (seen["usage"]["inputTokens"], seen["usage"]["outputTokens"]) == (31, 17)


def test_ai_tool_streamed(generate: Call, provider: Provider, model: str) -> None:
    """A streamed tool call becomes one call with its input."""
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":'}}
    values = [delta(role="assistant", content=None, tool_calls=[first])]
    values += [delta(tool_calls=[{"index": 0, "function": {"arguments": '"Rome"}'}}]), delta("tool_calls"), usage_chunk(50, 12)]
    provider.script(model, stream([*map(event, values), DONE]))
    seen = generate(stream=True, tool="weather")
    assert seen["tool_calls"] == [{"name": "weather", "input": {"city": "Rome"}}]
    assert seen["finish_reason"] == "tool-calls"


def test_ai_error(generate: Call, provider: Provider, model: str) -> None:
    """A refusal carries its status and message."""
    provider.script(model, respond({"error": {"message": "context too long", "code": "context_length_exceeded"}}, 400))
    error = generate()["error"]
    assert (error["status"], error["name"]) == (400, "AI_APICallError")
    assert "context too long" in error["message"]
