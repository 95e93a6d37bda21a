"""What several parts have to agree on is written down once: a second definition of it, anywhere in the house, fails here.

Limits: definitions are found by what they are made of, the constants of the sources; docstrings are no definitions. That each
field of `[limits]` is read live has its own test (tests/edge/limits/test_live.py), the form of the node protocol too
(tests/usage/protocol/test_http.py).
"""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from collector.api.routes import OPERATIONS
from edge.endpoints.account import OPEN_PATHS
from edge.endpoints.routes import ACCOUNT_PATHS
from usage.flavor import BASES, Flavor, below_base, flavor_of
from usage.release import VERSION

ROOT = Path(__file__).parents[1]
HOUSE = ("collector", "edge", "routing", "usage")
RETRY_AFTER = "usage.retry_after"
Finder = Callable[[ast.Module], bool]


def constants(tree: ast.Module) -> Iterator[str]:
    """The texts that a module is made of, docstrings and comments aside; bytes as text."""
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in documents:
            if isinstance(node.value, str):
                yield node.value
            elif isinstance(node.value, bytes):
                yield node.value.decode("latin-1")


def has(pattern: str) -> Finder:
    """Whether a constant is so."""
    return lambda tree: any(re.fullmatch(pattern, word, re.DOTALL) for word in constants(tree))


def lists(*words: str) -> Finder:
    """Whether they stand together in one list of any kind."""

    def is_there(tree: ast.Module) -> bool:
        found = ({part.value for part in ast.iter_child_nodes(node) if isinstance(part, ast.Constant)} for node in ast.walk(tree))
        return any(set(words) <= each for each in found)

    return is_there


def goes_its_own_way_with_retry_after(tree: ast.Module) -> bool:
    """Names the header where it makes or reads a value: not in a list of names, and without its module."""
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    named = any(re.fullmatch(r"(?s).*(?:\\A|\r\n|^)retry-after(?:: .*)?", word) for word in constants(tree))
    return named and RETRY_AFTER not in imported


def makes_an_error(tree: ast.Module) -> bool:
    """`{"error": {… "message" …}}`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "error" and isinstance(value, ast.Dict):
                    names = {part.value for part in value.keys if isinstance(part, ast.Constant)}
                    if "message" in names:
                        return True
    return False


def says_no_answer(tree: ast.Module) -> bool:
    """`Failure(Kind.PROTOCOL, Source.UPSTREAM, Sent.REQUEST, …)`, under whatever names these were imported."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Failure"))
    return any(
        [ast.unparse(arg).rpartition(".")[2] for arg in call.args[:3]] == ["PROTOCOL", "UPSTREAM", "REQUEST"] for call in calls
    )


SOURCES: dict[str, tuple[Finder, set[str], str]] = {
    "the release": (has(re.escape(VERSION)), {"usage/release.py"}, f'AGENT = "{VERSION}"'),
    "the bases of the API": (
        has(r"/(?:api/)?v1(?:beta)?(?:/(?!traces|checkout/sessions).*)?"),
        {"usage/flavor.py"},
        'x = "/api/v1/models"',
    ),
    "paths of the node protocol": (has("/node/v[0-9].*"), {"usage/protocol/http.py"}, 'f"{base}/node/v1/{name}"'),
    "the path of commands": (has("/operator/v[0-9].*"), {"usage/protocol/command.py"}, 'PATH = "/operator/v1/command"'),
    "the kinds of durability": (lists("os", "group", "strict"), {"edge/settings.py"}, 'KINDS = ("os", "group", "strict")'),
    "retry-after": (
        goes_its_own_way_with_retry_after,
        {"edge/endpoints/account.py"},  # a list of headers that cross
        'headers["retry-after"] = str(int(wait_s))',
    ),
    "that a response with a good status is no answer": (
        says_no_answer,
        {"routing/failures/provider_error.py"},
        'raise AttemptFailed(Failure(Kind.PROTOCOL, Source.UPSTREAM, SentState.REQUEST, detail="no choices"))',
    ),
    "an error as JSON": (
        makes_an_error,
        {
            "usage/flavor.py",
            "collector/api/openapi.py",  # its schema
            "routing/rewrite/messages.py",  # in Anthropic's words
            "routing/rewrite/responses.py",  # as an event of Responses
            "routing/rewrite/gemini.py",  # in Google's words
        },
        'body = {"error": {"message": "no", "code": None}}',
    ),
}
"""What → (what its definition looks like, where it stands, a second one)."""


@cache
def house() -> dict[str, ast.Module]:
    paths = [path for package in HOUSE for path in (ROOT / package).rglob("*.py")]
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in paths}


@pytest.mark.parametrize("what", SOURCES)
def test_definition_stands_once(what: str) -> None:
    finds, owners, _ = SOURCES[what]
    found = {name for name, tree in house().items() if finds(tree)}
    assert found <= owners
    assert found or what == "retry-after"


@pytest.mark.parametrize("what", SOURCES)
def test_second_definition_is_seen(what: str) -> None:
    finds, _, second = SOURCES[what]
    assert finds(ast.parse(second))
    assert not finds(ast.parse("\"\"\"Speaks of /v1, /node/v1/boot, retry-after and 'os', 'group', 'strict'.\"\"\""))


def test_packaged_release_is_the_one_that_is_told() -> None:
    """pyproject.toml cannot import it."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION


def test_account_paths_at_the_edge_are_those_of_the_collector() -> None:
    """An edge's image has no collector, so it has a list; each path and method of one is the other's; likewise what is open."""
    served: dict[str, set[str]] = {"/openapi.json": {"GET"}}
    for operation in OPERATIONS:
        served.setdefault(operation.path, set()).add(operation.method)
    assert {path: set(methods) for path, methods in ACCOUNT_PATHS.items()} == served
    assert set(OPEN_PATHS) == {"/openapi.json", *(operation.path for operation in OPERATIONS if not operation.roles)}


@pytest.mark.parametrize("base", BASES)
def test_path_below_its_base(base: str) -> None:
    assert below_base(f"{base}/keys") == "/keys"
    assert flavor_of(f"{base}/keys") is Flavor(base)
    for path in ("/", "/healthz", f"{base}beta/models", base[:-1] + "2/keys"):
        assert below_base(path) == path


JSON = "json"
STANDARD_JSON = {
    "routing/failures/provider_error_body.py",  # control characters in strings
    "routing/translate/events.py",  # NaN, control characters, surrogates that stand alone
    "routing/wire/lenient_view.py",  # likewise
    "routing/wire/objects.py",  # members that are there twice
}
"""Who reads what orjson refuses, and providers send."""


def test_json_is_read_and_written_by_the_libraries_for_it() -> None:
    """Typed by msgspec, untyped by orjson; the standard library's only where it takes what both refuse. Nor is a start slower for
    it (tests/test_imports.py)."""
    imports = {
        name
        for name, tree in house().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import) and any(alias.name == JSON for alias in node.names)
    }
    users = {
        name
        for name, tree in house().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        if any(alias.name == "orjson" for alias in node.names)
    }
    assert imports == STANDARD_JSON
    assert {name.partition("/")[0] for name in users} == {"collector", "edge"}
