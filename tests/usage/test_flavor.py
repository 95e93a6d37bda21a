"""The two flavours: which path speaks which, and what an error is in each."""

import json
from typing import Any

import pytest

from usage.flavor import Flavor, below_base, error_body, flavor_of, type_of


@pytest.mark.parametrize(
    ("path", "flavor"),
    [
        ("/v1/chat/completions", Flavor.OPENAI),
        ("/v1", Flavor.OPENAI),
        ("/api/v1/chat/completions", Flavor.OPENROUTER),
        ("/api/v1/", Flavor.OPENROUTER),
        ("/api/v1", Flavor.OPENROUTER),
        ("/api/v10/models", Flavor.OPENAI),
        ("/api", Flavor.OPENAI),
        ("/", Flavor.OPENAI),
        ("", Flavor.OPENAI),
        ("/healthz", Flavor.OPENAI),
    ],
)
def test_flavor_of_a_path(path: str, flavor: Flavor) -> None:
    """The base chooses; what belongs to no API is OpenAI's."""
    assert flavor_of(path) is flavor


def error_of(flavor: Flavor, *arguments: Any, **more: Any) -> dict[str, Any]:
    body = json.loads(error_body(flavor, *arguments, **more))
    assert list(body) == ["error"]
    error: dict[str, Any] = body["error"]
    return error


def test_error_for_openai() -> None:
    """Exactly OpenAI's four members, the code as a string; nothing of the other's."""
    told = error_of(Flavor.OPENAI, 402, "m", "insufficient_credits", metadata={"available": "0"})
    assert told == {"message": "m", "type": "insufficient_credits", "param": None, "code": "insufficient_credits"}
    assert error_of(Flavor.OPENAI, 400, "m", "c", type="own", param="model")["param"] == "model"


def test_error_for_openrouter() -> None:
    """The status as a whole number; our code, the parameter and what else is told in the metadata."""
    told = error_of(Flavor.OPENROUTER, 402, "m", "insufficient_credits", param="model", metadata={"available": "0"})
    metadata = {"error_type": "payment_required", "code": "insufficient_credits", "param": "model", "available": "0"}
    assert told == {"code": 402, "message": "m", "metadata": metadata}


@pytest.mark.parametrize(
    ("status", "code", "error_type"),
    [
        (400, "invalid_value", "invalid_request"),
        (400, "context_length_exceeded", "context_length_exceeded"),
        (401, "invalid_api_key", "authentication"),
        (404, "model_not_found", "not_found"),
        (413, "payload_too_large", "payload_too_large"),
        (429, "provider_rate_limited", "rate_limit_exceeded"),
        (502, "provider_error", "provider_unavailable"),
        (503, "provider_overloaded", "provider_overloaded"),
        (504, "provider_timeout", "timeout"),
        (418, None, "unmapped"),
    ],
)
def test_error_type_of_openrouter(status: int, code: str | None, error_type: str) -> None:
    """OpenRouter's stable vocabulary: by the code where that is one of its words, else by the status."""
    assert error_of(Flavor.OPENROUTER, status, "m", code)["metadata"]["error_type"] == error_type


def test_type_of_a_status_that_is_not_ours() -> None:
    assert (type_of(418), type_of(507)) == ("invalid_request_error", "server_error")


@pytest.mark.parametrize(
    ("path", "below"),
    [
        ("/v1/models", "/models"),
        ("/api/v1/models", "/models"),
        ("/api/v1", "/api/v1"),
        ("/apiary/v1", "/apiary/v1"),
        ("/readyz", "/readyz"),
    ],
)
def test_path_below_its_base(path: str, below: str) -> None:
    """As the lists of paths have it; one that has no base stays."""
    assert below_base(path) == below
