"""docs/api.md against the code: every path that is routed, and every error code that can be answered, stands there; and no other.
The account's paths have a document of their own, `/openapi.json`, and tests of their own.

Limits: codes are found by reading the sources: the string arguments of the calls that make errors.
"""

import ast
import re
from pathlib import Path

from starlette.routing import Match, Route

from edge.downstream.http_error import _ANSWERS
from edge.endpoints.front import PathEndpoint
from edge.endpoints.routes import ACCOUNT_PATHS, routes
from edge.process import Edge
from usage.flavor import BASES

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "api.md").read_text()
MAKERS = {"Refusal", "_refusal", "Invalid", "ApiError"}
CODE = re.compile(r"[a-z]+(?:_[a-z]+)+\Z")
NOT_A_CODE = {"api_key_hash", "input_audio", "response_format"}


def own_routes() -> list[Route]:
    """Those of the API: what is left is the dashboard's."""
    return [route for route in routes(Edge()) if isinstance(route, Route)]


def paths() -> set[tuple[str, str]]:
    found = set()
    for route in own_routes():
        assert isinstance(route.endpoint, PathEndpoint)
        found |= {(method, route.path.replace("{model:path}", "{model}")) for method in route.endpoint.methods}
    return found


def test_docs_name_every_path() -> None:
    """What is routed is documented; under `/api/v1` as under `/v1`, but for what is said to be there alone."""
    documented = set(re.findall(r"`(GET|POST|PATCH|DELETE) (/[^`]+)`", TEXT))
    documented |= {(method, "/api" + path) for method, path in documented if path.startswith("/v1")}
    routed = paths()
    assert documented - routed == set()
    assert {path for _, path in routed - documented} <= {base + path for base in BASES for path in ACCOUNT_PATHS}


def test_path_is_answered_by_its_own_route() -> None:
    """None that is spelled out is taken for the parameter of another one, at the edge."""

    routed = own_routes()
    for path in (route.path for route in routed if "{" not in route.path):
        scope = {"type": "http", "method": "GET", "path": path, "root_path": ""}
        first = next(route for route in routed if route.matches(scope)[0] is not Match.NONE)
        assert first.path == path


def codes(*packages: str) -> set[str]:
    found = set()
    for package in packages:
        for path in (ROOT / package).rglob("*.py"):
            if path.name == "app.py":  # what probes are told
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
                    words = [*node.args[:3], *(keyword.value for keyword in node.keywords if keyword.arg == "code")]
                    found |= {word.value for word in words if isinstance(word, ast.Constant) and isinstance(word.value, str)}
    failure = ast.parse((ROOT / "routing" / "failures" / "failure.py").read_text())
    for node in ast.walk(failure):
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            ends = [part.value for part in ast.walk(node.value.elts[-1]) if isinstance(part, ast.Constant)]
            found |= {end for end in ends if isinstance(end, str)}
    return {code for code in found if CODE.match(code)} - NOT_A_CODE


def test_docs_name_every_code() -> None:
    """An error code that a caller may read is in the table, with what to do."""
    table = TEXT[TEXT.index("## Errors") : TEXT.index("## Browsers")]
    documented = set(
        re.findall(r"`([a-z]+(?:_[a-z]+)*)`", "".join(row.split("|")[2] for row in table.splitlines() if "|" in row))
    )
    assert {code for _, code, _ in _ANSWERS.values()} <= documented
    assert codes("routing", "edge") - documented - {"client_disconnected"} == set()
    told_elsewhere = {code for _, code, _ in _ANSWERS.values()} | {"invalid_value"}
    assert {code for code in documented if CODE.match(code)} - codes("routing", "edge", "collector") <= told_elsewhere
