"""The import rule of the house: proxy.py → edge → routing → usage ← collector, and what the pure packages may not touch.

Strategy: read the sources' syntax trees, so that an import inside a function counts too; one table says what is forbidden where.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOUSE = ("proxy", "edge", "routing", "usage", "collector")
WORLD = frozenset({"asyncio", "anyio", "httpx", "starlette", "sqlite3", "socket", "ssl", "time", "random", "os"})
FORBIDDEN: dict[str, frozenset[str]] = {
    "usage": frozenset({"proxy", "edge", "routing", "collector"}) | WORLD,
    "routing": frozenset({"proxy", "edge", "collector"}) | WORLD,
    "edge": frozenset({"proxy", "collector"}),
    "collector": frozenset({"proxy", "edge", "routing"}),
    "proxy": frozenset(),
}


def sources() -> list[Path]:
    """Every module of the house, by path from the top folder."""
    found = [ROOT / "proxy.py"] if (ROOT / "proxy.py").exists() else []
    for package in HOUSE[1:]:
        found += sorted((ROOT / package).rglob("*.py"))
    return [path.relative_to(ROOT) for path in found]


def imported(tree: ast.AST, package: tuple[str, ...]) -> Iterator[str]:
    """The top-level names that `tree` imports, wherever it does; a relative import counts as its own package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield package[0] if node.level else (node.module or "").split(".")[0]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"importlib.import_module", "import_module", "__import__"}:
            first = node.args[0] if node.args else None
            yield str(first.value).split(".")[0] if isinstance(first, ast.Constant) else ""


def offences(path: Path, text: str) -> list[str]:
    """What `text`, standing at `path`, imports against the rule."""
    owner = path.parts[0].removesuffix(".py")
    package = path.with_suffix("").parts
    bad = sorted(set(imported(ast.parse(text), package)) & FORBIDDEN[owner])
    return [f"{path} imports {name}" for name in bad]


@pytest.mark.parametrize("path", sources(), ids=str)
def test_module_imports_only_what_its_place_allows(path: Path) -> None:
    """Imports go one way, the pure packages touch no world, and httpx is not loaded by importing the edge."""
    assert offences(path, (ROOT / path).read_text()) == []


@pytest.mark.parametrize(
    ("path", "text", "offence"),
    [
        ("usage/a.py", "import os.path", "usage/a.py imports os"),
        ("usage/a.py", "def f():\n    from routing import plan", "usage/a.py imports routing"),
        ("routing/a.py", "from edge.relay import x", "routing/a.py imports edge"),
        ("routing/dialects/a.py", "import importlib\nimportlib.import_module('socket')", "routing/dialects/a.py imports socket"),
        ("edge/a.py", "import collector.store", "edge/a.py imports collector"),
        ("collector/a.py", "from routing.config import parse", "collector/a.py imports routing"),
    ],
)
def test_boundary_crossed_is_caught(path: str, text: str, offence: str) -> None:
    """The rule is seen to fail on each kind of wrong import."""
    assert offences(Path(path), text) == [offence]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("edge/a.py", "def f():\n    import httpx"),
        ("proxy.py", "def build():\n    from collector.service import Collector"),
        ("collector/a.py", "import httpx, sqlite3, asyncio"),
    ],
)
def test_boundary_kept_is_left_alone(path: str, text: str) -> None:
    """What the rule allows passes."""
    assert offences(Path(path), text) == []


def test_proxy_imported_loads_neither_httpx_nor_the_collector() -> None:
    """Both are loaded when they are needed: httpx costs memory that an edge does not have, the collector may not be there."""
    code = "import sys, proxy; print(sorted({'httpx', 'collector'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (run.stdout.strip(), run.stderr) == ("[]", "")
