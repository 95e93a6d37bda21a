"""The API described in OpenAPI 3.1, made from the operations themselves: what they decode, what they answer, who may call them.

Rule: nothing is written here by hand that the code says too. An operation under both bases is described under each.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec

from collector.api.operation import Operation, PlainAnswer
from collector.api.shapes import Amount, PicoAmount
from usage.flavor import Flavor

_JSON = "application/json"
_PARAMETER = re.compile(r"\{(\w+)\}")
_ERRORS = {
    "OpenAIError": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "param": {"type": ["string", "null"]},
                    "code": {"type": ["string", "null"]},
                },
            }
        },
    },
    "OpenRouterError": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "integer"},
                    "message": {"type": "string"},
                    "metadata": {"type": "object"},
                },
            }
        },
    },
}
_STATUSES = {
    304: "Not modified: the ETag of `If-None-Match` is still the one",
    400: "What was sent is wrong; `param` names it",
    401: "No key, or one that is unknown, revoked or expired",
    403: "The key's role does not allow it",
    404: "Not there, or not of this key's account",
    409: "It was done already and cannot be shown again",
    413: "The body is too large",
    422: "The Idempotency-Key was used for another request",
    502: "The payment provider did not answer as it should",
    503: "The collector's database is away; come again",
}


def _hook(kind: type) -> dict[str, Any]:
    if kind is Amount:
        return {"type": "number", "description": "Dollars, exact: at most nine decimal places."}
    if kind is PicoAmount:
        return {"type": "number", "description": "Dollars, exact: at most twelve decimal places."}
    raise NotImplementedError(kind)


@lru_cache(4)
def describe(operations: tuple[Operation, ...]) -> bytes:
    """The whole description as JSON."""
    kinds = [kind for operation in operations for kind in (operation.answer, operation.body) if _is_struct(kind)]
    kinds = list(dict.fromkeys(kinds))
    schemas, components = msgspec.json.schema_components(kinds, schema_hook=_hook, ref_template="#/components/schemas/{name}")
    refs = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        for base in operation.bases:
            paths.setdefault(base + operation.path, {})[operation.method.lower()] = _operation(operation, base, refs)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Tollway account API",
            "version": "1",
            "description": "Credit, keys, usage and history of an account. Errors: `/v1` as OpenAI, `/api/v1` as OpenRouter.",
        },
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {**_numbers(components), **_ERRORS},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "`sk_live_`, `sk_read_`, `sk_mgmt_` or `op_`"}
            },
        },
    }
    return msgspec.json.encode(document)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind is not PlainAnswer


def _numbers(node: Any) -> Any:
    """Amounts come in as JSON numbers; msgspec describes decimals as the strings it takes as well."""
    if isinstance(node, dict):
        if node.get("format") == "decimal":
            return {
                **{key: value for key, value in node.items() if key not in ("type", "format")},
                "type": "number",
                "minimum": 0,
            }
        return {key: _numbers(value) for key, value in node.items()}
    return [_numbers(value) for value in node] if isinstance(node, list) else node


def _operation(operation: Operation, base: str, refs: dict[Any, Any]) -> dict[str, Any]:
    error = "OpenRouterError" if Flavor(base) is Flavor.OPENROUTER else "OpenAIError"
    roles = ", ".join(sorted(operation.roles)) or "anybody"
    name = re.sub(r"\W+", "_", f"{operation.method.lower()}{operation.path}").strip("_")
    described: dict[str, Any] = {
        "operationId": name if base == Flavor.OPENROUTER.value else f"{name}_v1",
        "summary": operation.summary,
        "description": f"For: {roles}.",
        "security": [{"key": []}] if operation.roles else [],
        "parameters": _parameters(operation),
        "responses": {str(operation.status): _success(operation, refs)},
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": {_JSON: {"schema": refs[operation.body]}}}
    for status in _statuses(operation):
        answer: dict[str, Any] = {"description": _STATUSES[status]}
        if status != 304:
            answer["content"] = {_JSON: {"schema": {"$ref": f"#/components/schemas/{error}"}}}
        described["responses"][str(status)] = answer
    return described


def _statuses(operation: Operation) -> Iterable[int]:
    found = {400, 503, *operation.errors}
    if operation.roles:
        found |= {401, 403}
    if operation.method == "GET":
        found.add(304)
    if operation.body is not None or operation.method != "GET":
        found.add(413)
    if operation.method == "POST" and operation.has_effect and operation.roles:
        found |= {409, 422}
    return sorted(found - {operation.status})


def _success(operation: Operation, refs: dict[Any, Any]) -> dict[str, Any]:
    if _is_struct(operation.answer):
        return {"description": operation.summary, "content": {_JSON: {"schema": refs[operation.answer]}}}
    if isinstance(operation.answer, str):
        return {"description": operation.summary, "content": {operation.answer.partition(";")[0]: {"schema": {"type": "string"}}}}
    return {"description": operation.summary}


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PARAMETER.findall(operation.path)
    ]
    if operation.query is not None:
        _, components = msgspec.json.schema_components([operation.query], ref_template="{name}")
        schema = components[operation.query.__name__]
        for name, kind in schema["properties"].items():
            found.append({"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": _plain(kind)})
    if operation.method == "POST" and operation.has_effect and operation.roles:
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "maxLength": 255, "pattern": "^[ -~]*$"},
                "description": "The same key brings the first answer again for a day, and nothing is done twice.",
            }
        )
    return found


def _plain(kind: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kind.items() if name != "default" or value not in ("", [])}
