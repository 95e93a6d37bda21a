"""A query and a body as the types that an operation names; what they cannot be is an ApiError that says which member it is."""

from typing import Any, get_origin, get_type_hints

import msgspec
from starlette.requests import Request

from collector.api.problem import ApiError


def decode_query(kind: type[msgspec.Struct], request: Request) -> Any:
    """The query as a Struct: what it does not know is left alone, what it knows must be right. Lists repeat or have commas."""
    hints = get_type_hints(kind)
    given: dict[str, Any] = {}
    for field, name in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True):
        values = [value for spelled in (name, f"{name}[]") for value in request.query_params.getlist(spelled)]
        if not values:
            continue
        if any("\0" in value for value in values):
            raise ApiError(400, f"{name} has a NUL in it", "invalid_parameter", name)
        if get_origin(hints[field]) is tuple:
            given[name] = [part for value in values for part in value.split(",") if part]
        else:
            given[name] = values[-1]
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _not(error, "query") from error


def decode_body(kind: type[msgspec.Struct], raw: bytes) -> Any:
    """A body as the type that the operation names. ApiError 400."""
    try:
        body = msgspec.json.decode(raw or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise _not(error, "body") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, "the body is not JSON", "invalid_json") from error
    if b"\\u0000" in raw or b"\0" in raw:
        raise ApiError(400, "the body has a NUL in it", "invalid_request")
    return body


def _not(error: msgspec.ValidationError, where: str) -> ApiError:
    message, _, path = str(error).partition(" - at ")
    param = path.strip("`$.") or None
    if param is None and "`" in message and "field" in message:
        param = message.split("`")[1]
    return ApiError(400, f"{message[:300]}{f' at {param}' if param else ''} in the {where}", "invalid_parameter", param)
