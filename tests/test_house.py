"""The shape of the house, kept by reading every module: no circle among files, rooms that stay rooms, one name for one class.

Bounds are those of DESIGN.md 2: 300 lines a file, 2,000 a room, 12 files a room. What was beyond them when the rule came has its
own figure below. It may only become smaller: a figure that is no longer needed fails the test as one that is exceeded does.
`python -m tests.test_house` prints the drawing: files, arrows, circles.
"""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("collector", "edge", "routing", "usage")
FILE_LINES_MAX, ROOM_LINES_MAX, ROOM_FILES_MAX = 300, 2_000, 12
LONG_FILES: dict[str, int] = {
    "edge/collector_client/shipper.py": 360,
    "edge/credit/credit.py": 420,
    "edge/downstream/connection.py": 330,
    "edge/downstream/reader.py": 330,
    "edge/journal/journal.py": 320,
    "edge/relay/generation.py": 390,
    "edge/relay/relay.py": 365,
    "edge/relay/response/stream.py": 380,
    "routing/rewrite/chat/event_rewrite.py": 320,
}
LARGE_ROOMS: dict[str, int] = {}
CROWDED_ROOMS: dict[str, int] = {
    "routing/translate": 14,
}
FUNCTION_LINES_MAX = 50
LONG_FUNCTIONS: dict[str, int] = {
    "edge/journal/entries.py record_of": 65,
    "edge/relay/relay.py Relay._generation": 53,
    "edge/relay/response/stream.py StreamForwarder.run": 51,
}
"""Two make a value of many fields, one field a line; one is the loop that a streamed chunk takes."""
FOREIGN_WORDS = ("routing/translate", "routing/dialects")
SLACK = 0.1
"""How far below its own figure a file or room may lie before that figure has to be lowered."""

Graph = Mapping[str, set[str]]


@cache
def modules() -> dict[str, Path]:
    """Every module of the product by its dotted name."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")] + [ROOT / "proxy.py"]
    return {path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): path for path in paths}


def graph_of(sources: Mapping[str, str]) -> Graph:
    """Module → the modules it imports, wherever in it: an import inside a function or for type checkers is an arrow too."""
    graph: dict[str, set[str]] = {}
    for name, source in sources.items():
        found = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {inner if (inner := f"{node.module}.{alias.name}") in sources else node.module for alias in node.names}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
        graph[name] = (found & sources.keys()) - {name}
    return graph


def circles(graph: Graph) -> list[list[str]]:
    """The sets of modules that reach each other (Tarjan's strongly connected components of more than one)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            circle = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(circle) > 1:
                found.append(sorted(circle))

    for node in graph:
        if node not in index:
            visit(node)
    return found


@cache
def drawing() -> Graph:
    return graph_of({name: path.read_text() for name, path in modules().items()})


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def room_of(path: Path) -> str:
    return path.parent.relative_to(ROOT).as_posix()


def kept(found: Mapping[str, int], bound: int, own: Mapping[str, int], slack: float = SLACK) -> list[str]:
    """What is beyond its bound, and each own figure that could be lowered."""
    beyond = [f"{name} has {n}, and may have {own.get(name, bound)}" for name, n in found.items() if n > own.get(name, bound)]
    stale = [
        f"{name} has {found.get(name, 0)}: lower its figure of {n}, or take it out"
        for name, n in own.items()
        if found.get(name, 0) <= bound or found.get(name, 0) < n * (1 - slack)
    ]
    return beyond + stale


def test_files_import_each_other_in_no_circle() -> None:
    """Nor around, nor for type checkers alone: what two files share is a Protocol beside the one that needs it."""
    assert circles(drawing()) == []


@pytest.mark.parametrize(
    "sources",
    [
        {"a": "import b", "b": "from a import x"},
        {"a": "import b", "b": "import c", "c": "def f():\n    import a"},
        {"a": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import b", "b": "import a"},
        {"p": "import p.a", "p.a": "from p import x"},
    ],
)
def test_circle_is_seen(sources: dict[str, str]) -> None:
    """Direct, around, lazy, and only for types."""
    assert circles(graph_of(sources)) != []


def test_files_stay_readable() -> None:
    found = {path.relative_to(ROOT).as_posix(): lines(path) for path in modules().values()}
    assert kept(found, FILE_LINES_MAX, LONG_FILES) == []


def functions(tree: ast.AST, within: str = "") -> dict[str, int]:
    """Every function and method by its qualified name, and how many lines it has."""
    found: dict[str, int] = {}
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[within + node.name] = (node.end_lineno or 0) - node.lineno + 1
        is_named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        found |= functions(node, f"{within}{node.name}." if is_named and hasattr(node, "name") else within)
    return found


def test_functions_fit_a_screen() -> None:
    found = {
        f"{path.relative_to(ROOT).as_posix()} {name}": size
        for path in modules().values()
        for name, size in functions(ast.parse(path.read_text())).items()
    }
    assert kept(found, FUNCTION_LINES_MAX, LONG_FUNCTIONS) == []


def test_long_function_is_seen_wherever_it_is() -> None:
    source = "class A:\n    async def f(self):\n        def g():\n            pass\nif x:\n    def h():\n        pass\n"
    assert functions(ast.parse(source)) == {"A.f": 3, "A.f.g": 2, "h": 2}


def test_rooms_stay_rooms() -> None:
    size: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for path in modules().values():
        if path.parent != ROOT:
            size[room_of(path)] += lines(path)
            count[room_of(path)] += path.name != "__init__.py"
    assert kept(size, ROOM_LINES_MAX, LARGE_ROOMS) + kept(count, ROOM_FILES_MAX, CROWDED_ROOMS, slack=0) == []


def test_bound_that_is_exceeded_or_stale_is_seen() -> None:
    assert kept({"a": 301}, 300, {}) == ["a has 301, and may have 300"]
    assert kept({"a": 400}, 300, {"a": 400}) == []
    assert kept({"a": 420}, 300, {"a": 400}) != []
    assert kept({"a": 290}, 300, {"a": 400}) != []
    assert kept({}, 300, {"gone": 400}) != []


def class_names(paths: Iterable[Path]) -> dict[str, list[str]]:
    found = defaultdict(list)
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(f"{path.relative_to(ROOT).as_posix()}:{node.lineno}")
    return found


def test_class_name_means_one_class() -> None:
    """Whoever searches for a name finds what it is called after. Views of foreign formats are called what the format calls them,
    each for its own file, so there `Event` and `Usage` mean those of the format."""
    ours = [path for path in modules().values() if not room_of(path).startswith(FOREIGN_WORDS)]
    assert {name: places for name, places in class_names(ours).items() if len(places) > 1} == {}


if __name__ == "__main__":
    graph = drawing()
    print(f"{len(graph)} files, {sum(map(len, graph.values()))} arrows, {len(circles(graph))} circles")
    print("edge:", sum(name.startswith("edge") for name in graph), "files,", end=" ")
    print(sum(len({x for x in to if x.startswith("edge")}) for name, to in graph.items() if name.startswith("edge")), "arrows")
