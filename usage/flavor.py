"""The two flavours of the API: `/v1` speaks OpenAI, `/api/v1` speaks OpenRouter; and an error in the words of each.

The same paths are called by the clients of both, and their schemas exclude each other: OpenAI's `code` is a string, OpenRouter's
the status. Rule: the path chooses, once; an error of ours becomes bytes only here, at the edge and at the collector.
Source: OpenAI's API reference (errors); OpenRouter's openapi.yaml and its page "errors and debugging".
"""

import enum
from typing import Any, Final

import msgspec


class Flavor(enum.Enum):
    """Whose clients are spoken to; the value is the base path that they are pointed at."""

    OPENAI = "/v1"
    OPENROUTER = "/api/v1"


BASES: Final = tuple(flavor.value for flavor in Flavor)
"""Under each of them there are the same paths, but for what one of the two alone has."""
_OPENROUTER_BASE: Final = Flavor.OPENROUTER.value


def flavor_of(path: str) -> Flavor:
    """The flavour of a request's path. What belongs to no API is answered as OpenAI would."""
    return Flavor.OPENROUTER if path.startswith(_OPENROUTER_BASE) and path[len(_OPENROUTER_BASE) :][:1] in "/" else Flavor.OPENAI


def below_base(path: str) -> str:
    """A path as it stands in the lists of paths, without its base; as it is when it has none."""
    base = flavor_of(path).value
    return path.removeprefix(base) if path.startswith(base + "/") else path


_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_credits",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    431: "invalid_request_error",
    500: "server_error",
    502: "upstream_error",
    503: "service_unavailable",
    504: "timeout_error",
}

_ERROR_TYPES: Final = {
    400: "invalid_request",
    401: "authentication",
    402: "payment_required",
    403: "permission_denied",
    404: "not_found",
    405: "invalid_request",
    408: "timeout",
    412: "precondition_failed",
    413: "payload_too_large",
    415: "invalid_request",
    422: "unprocessable",
    429: "rate_limit_exceeded",
    431: "invalid_request",
    500: "server",
    502: "provider_unavailable",
    503: "provider_overloaded",
    504: "timeout",
}
"""OpenRouter's `error_type` of a status."""

_NAMED_ERROR_TYPES: Final = frozenset(
    {
        "content_policy_violation",
        "context_length_exceeded",
        "image_download_failed",
        "image_not_found",
        "image_too_large",
        "image_too_small",
        "invalid_image",
        "invalid_prompt",
        "max_tokens_exceeded",
        "refusal",
        "string_too_long",
        "token_limit_exceeded",
        "unsupported_image_format",
    }
)
"""What OpenRouter calls by the same name as a code that we or a provider may use."""

_encode: Final = msgspec.json.Encoder().encode


def type_of(status: int) -> str:
    """OpenAI's error `type` that goes with a status of ours."""
    return _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")


def error_body(
    flavor: Flavor,
    status: int,
    message: str,
    code: str | None,
    *,
    type: str = "",
    param: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> bytes:
    """`{"error":{...}}` as JSON. An empty `type` is the one that goes with `status`.

    OpenAI: `message`, `type`, `param`, and the code as a string. OpenRouter: the status as the code; ours is in `metadata`, with
    its `error_type`, the parameter, and whatever else is told.
    """
    if flavor is Flavor.OPENAI:
        return _encode({"error": {"message": message, "type": type or type_of(status), "param": param, "code": code}})
    error_type = code if code in _NAMED_ERROR_TYPES else _ERROR_TYPES.get(status, "unmapped")
    told: dict[str, Any] = {"error_type": error_type, "code": code}
    if param is not None:
        told["param"] = param
    return _encode({"error": {"code": status, "message": message, "metadata": told | (metadata or {})}})
