"""Errors as the users of the OpenAI Python SDK meet them: each is the class they would catch, and says what to mend."""

from typing import Any

import openai
import pytest

from tests.answers import Delay, completion, delta, event, respond, stream
from tests.processes import Account, Edge, make_account
from tests.provider import Provider
from usage.key import mint

MESSAGES: Any = [{"role": "user", "content": "Say hello."}]


@pytest.mark.parametrize(
    ("param", "value"),
    [("temperature", 2.5), ("temperature", -0.1), ("top_p", 1.5), ("max_tokens", 0), ("stop", ["a"] * 5), ("messages", [])],
)
def test_error_bad_parameter(client: openai.OpenAI, provider: Provider, model: str, param: str, value: Any) -> None:
    """A value out of range is a BadRequestError that names the parameter, and nothing is forwarded."""
    arguments: dict[str, Any] = {"model": f"mock/{model}", "messages": MESSAGES, param: value}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**arguments)
    assert caught.value.param == param
    assert caught.value.request_id
    assert not provider.requests[model]


@pytest.mark.parametrize("key", ["sk-nonsense", "wrong checksum", "unknown"])
def test_error_bad_key(edge: Edge, account: Account, model: str, key: str) -> None:
    """A key that is malformed, mistyped or unknown is an AuthenticationError."""
    if key == "wrong checksum":
        key = account.key[:-1] + ("a" if account.key[-1] != "a" else "b")
    elif key == "unknown":
        key, _ = mint(bytes(32))
    with (
        openai.OpenAI(base_url=edge.base_url, api_key=key, max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        stranger.chat.completions.create(model=f"mock/{model}", messages=MESSAGES)
    assert key not in str(caught.value)


def test_error_no_credit(edge: Edge, provider: Provider, model: str) -> None:
    """An exhausted account reads 402 once, and nothing is forwarded."""
    poor = make_account(edge, f"poor-{model}", "0.000000001")
    with (
        openai.OpenAI(base_url=edge.base_url, api_key=poor.key) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        client.chat.completions.create(model=f"mock/{model}", messages=MESSAGES, max_tokens=1000)
    assert caught.value.status_code == 402
    assert not provider.requests[model]


@pytest.mark.parametrize("name", ["nobody/nothing", "mock", "gpt-4o"])
def test_error_unknown_model(client: openai.OpenAI, name: str) -> None:
    """A model that the table does not have is a NotFoundError with OpenAI's code."""
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model=name, messages=MESSAGES)
    assert caught.value.code == "model_not_found"


def test_error_too_large(client: openai.OpenAI) -> None:
    """A body over 32 MiB is a 413."""
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="mock/any", messages=[{"role": "user", "content": "x" * (33 * 1024 * 1024)}])
    assert caught.value.status_code == 413


def test_error_rate_limited(client: openai.OpenAI, provider: Provider, model: str) -> None:
    """A provider's 429 reaches the caller as RateLimitError with its Retry-After."""
    body = {"error": {"message": "slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}}
    provider.script(model, respond(body, 429, [("retry-after", "7")]))
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model=f"mock/{model}", messages=MESSAGES)
    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.request_id


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("status", [500, 502, 503, 529])
def test_error_provider_failed(client: openai.OpenAI, provider: Provider, model: str, status: int, streamed: bool) -> None:
    """A provider's 5xx is an InternalServerError, streamed or not, before any byte of an answer."""
    provider.script(model, respond({"error": {"message": "secret details", "type": "server_error"}}, status))
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model=f"mock/{model}", messages=MESSAGES, stream=streamed)
    assert caught.value.status_code >= 500


def test_error_provider_refused(client: openai.OpenAI, provider: Provider, model: str) -> None:
    """A provider's own 400 stays a BadRequestError with its message, so that the caller can mend the request."""
    body = {
        "error": {
            "message": "context too long",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        }
    }
    provider.script(model, respond(body, 400))
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=f"mock/{model}", messages=MESSAGES)
    assert "context too long" in caught.value.message
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")


def test_error_provider_key_refused(client: openai.OpenAI, provider: Provider, model: str) -> None:
    """A 401 of the provider is our trouble, not the caller's: it is never an AuthenticationError."""
    provider.script(model, respond({"error": {"message": "bad key", "code": "invalid_api_key"}}, 401))
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=f"other/{model}", messages=MESSAGES)
    assert caught.value.status_code >= 500


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": {"message": "Incorrect API key provided: x", "code": "invalid_api_key"}}, 401),
        ({"error": {"message": "You exceeded your current quota.", "code": "insufficient_quota"}}, 429),
        ({"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}}, 400),
    ],
    ids=["key", "quota", "balance"],
)
def test_error_that_waiting_does_not_mend(
    edge: Edge, account: Account, provider: Provider, model: str, body: Any, status: int
) -> None:
    """What only the operator can mend is said once: the SDK, told not to retry, does not, and does not sit and wait."""
    provider.script(model, respond(body, status, [("retry-after", "60")]))
    with (
        openai.OpenAI(base_url=edge.base_url, api_key=account.key, max_retries=2) as client,
        pytest.raises(openai.InternalServerError) as caught,
    ):
        client.chat.completions.create(model=f"refused-{status}/{model}", messages=MESSAGES)
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert "retry-after" not in caught.value.response.headers
    assert len(provider.requests[model]) == 1


def test_error_mid_stream(client: openai.OpenAI, provider: Provider, model: str) -> None:
    """An error after the head raises APIError in the loop over the chunks."""
    failure = {"error": {"message": "overloaded", "type": "server_error", "code": 503}}
    provider.script(model, stream([event(delta(content="par")), Delay(0.05), event(failure)]))
    with client.chat.completions.create(model=f"mock/{model}", messages=MESSAGES, stream=True) as chunks:
        each = iter(chunks)
        assert next(each).choices[0].delta.content == "par"
        with pytest.raises(openai.APIError):
            next(each)


def test_retry_by_the_sdk(edge: Edge, account: Account, provider: Provider, model: str) -> None:
    """The SDK's own retries work: a provider that fails and recovers gives an answer."""
    failed = respond({"error": {"message": "busy"}}, 503, [("retry-after", "0.01")])
    provider.script(model, failed, failed, respond(completion("At last.")))
    with openai.OpenAI(base_url=edge.base_url, api_key=account.key, max_retries=2) as client:
        answer = client.chat.completions.create(model=f"mock/{model}", messages=MESSAGES)
    assert answer.choices[0].message.content == "At last."
