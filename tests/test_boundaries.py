"""The import rule of the house, kept by reading every module: imports go one way, the pure packages stay pure.

proxy.py -> edge -> routing -> usage <- collector
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MAY_IMPORT = {
    "usage": {"usage"},
    "routing": {"routing", "usage"},
    "edge": {"edge", "routing", "usage"},
    "collector": {"collector", "usage"},
}
"""Package → the packages of ours it may import. `proxy.py` alone wires everything."""

IMPURE = {"asyncio", "anyio", "httpx", "starlette", "sqlite3", "socket", "ssl", "time", "random", "os", "threading", "subprocess"}
PURE = ("usage", "routing")
SPAWNERS = {"create_task", "ensure_future"}
SPAWNER_HOME = "edge/tasks.py"
HTTPX_HOME = "edge/upstream/httpx_transport.py"
"""The one module at the edge that imports httpx with itself; so nobody may import that one with itself."""
HTTPX_MODULE = HTTPX_HOME.removesuffix(".py").replace("/", ".")

SOURCES = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))


def imports(tree: ast.Module) -> list[tuple[str, bool]]:
    """(module, whether it is imported when the file is) for every import, those of type checking aside."""
    found: list[tuple[str, bool]] = []

    def walk(node: ast.AST, at_import: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.extend((alias.name, at_import) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            found.append((node.module or "", at_import))
            found.extend((f"{node.module}.{alias.name}", at_import) for alias in node.names)
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            walk(child, at_import and not is_function)

    walk(tree, True)
    return found


def violations(package: str, source: str, name: str = "") -> list[str]:
    """What one module does against the rule."""
    tree = ast.parse(source)
    found = []
    for module, at_import in imports(tree):
        top = module.partition(".")[0]
        if (top in MAY_IMPORT or top == "proxy") and top not in MAY_IMPORT[package]:
            found.append(f"{package} imports {module}")
        if package in PURE and top in IMPURE:
            found.append(f"{package} imports {module}, but decides without touching the world")
        is_httpx = (top == "httpx" and name != HTTPX_HOME) or module == HTTPX_MODULE
        if package == "edge" and is_httpx and at_import:
            found.append("edge imports httpx when it is imported; it costs memory that an embedded collector does not need")
    if any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree)):
        found.append("a relative import hides where it leads")
    if name != SPAWNER_HOME:
        spawned = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in SPAWNERS]
        found += [f"{attribute} outside {SPAWNER_HOME}" for attribute in spawned]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_boundary_of_a_module(path: Path) -> None:
    """Each module imports only what its package may, and says what it is before it begins."""
    name = path.relative_to(ROOT).as_posix()
    source = path.read_text()
    assert violations(name.partition("/")[0], source, name) == []
    if source.strip():
        assert ast.get_docstring(ast.parse(source)), f"{name} does not open with what it knows"


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("usage", "from routing.table.config import parse"),
        ("usage", "import os"),
        ("routing", "import asyncio"),
        ("routing", "def f():\n    import time"),
        ("routing", "from edge import tasks"),
        ("edge", "import collector.service"),
        ("edge", "import httpx"),
        ("edge", "class A:\n    from httpx import Client"),
        ("edge", "from edge.upstream.httpx_transport import HttpxUpstream"),
        ("edge", "from edge.upstream import httpx_transport"),
        ("edge", "import proxy"),
        ("edge", "from . import tasks"),
        ("edge", "import asyncio\nasyncio.create_task(None)"),
        ("collector", "from edge.journal import Journal"),
        ("collector", "from routing import plan"),
    ],
)
def test_boundary_is_seen(package: str, source: str) -> None:
    """The rule catches each way of breaking it."""
    assert violations(package, source) != []


def test_boundary_lets_pass() -> None:
    """What is allowed: inner imports of httpx at the edge, and imports that only type checkers read."""
    assert violations("edge", "def f():\n    import httpx\nfrom routing.plan.plan import Plan") == []
    assert violations("edge", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import httpx") == []
    assert violations("edge", "import asyncio\nasyncio.create_task(None)", SPAWNER_HOME) == []
    assert violations("edge", "import httpx", HTTPX_HOME) == []
