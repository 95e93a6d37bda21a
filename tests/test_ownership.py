"""What a request is waiting for and what it will be charged have one owner each: nobody else assigns to them.

Four modules that set `consumed` back each by a rule of its own is how a caller was charged for an attempt that had failed. The
rule is read from the source, so that it holds for code that no test runs.
"""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OWNERS = {"edge/relay/context.py": ("RequestContext", "context"), "edge/relay/generation.py": ("Generation", "generation")}
"""File → (the class that owns its fields, what its instances are called everywhere)."""


def fields_of(source: str, name: str) -> frozenset[str]:
    found = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == name)
    return frozenset(
        node.target.id for node in found.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    )


def targets(node: ast.AST) -> list[ast.AST]:
    match node:
        case ast.Assign():
            found = node.targets
        case ast.AugAssign() | ast.AnnAssign() | ast.For() | ast.AsyncFor() | ast.NamedExpr():
            found = [node.target]
        case ast.Delete():
            found = node.targets
        case ast.withitem() if node.optional_vars is not None:
            found = [node.optional_vars]
        case _:
            return []
    return [part for target in found for part in ast.walk(target) if isinstance(getattr(part, "ctx", None), ast.Store | ast.Del)]


def last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def writes(source: str, instance: str, fields: frozenset[str]) -> list[str]:
    """The lines of `source` that assign to a field of something called `instance` or `_instance`, or set one by its name."""
    found = []
    for node in ast.walk(ast.parse(source)):
        for target in targets(node):
            is_field = isinstance(target, ast.Attribute) and target.attr in fields
            if is_field and isinstance(target, ast.Attribute) and last_name(target.value).lstrip("_") == instance:
                found.append(f"{target.lineno}: {ast.unparse(target)}")
        if isinstance(node, ast.Call) and last_name(node.func) in ("setattr", "delattr", "__setattr__"):
            found += [f"{node.lineno}: {ast.unparse(node)}" for arg in node.args[:1] if last_name(arg).lstrip("_") == instance]
    return found


def sources() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "edge/*.py", "proxy.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.split()


@pytest.mark.parametrize("owner", OWNERS)
def test_state_is_assigned_only_by_its_owner(owner: str) -> None:
    """Whoever wants it changed calls a transition, which has a name and a reason."""
    name, instance = OWNERS[owner]
    fields = fields_of((ROOT / owner).read_text(), name)
    assert len(fields) > 15
    found = [
        f"{path}:{line}" for path in sources() if path != owner for line in writes((ROOT / path).read_text(), instance, fields)
    ]
    assert found == []


@pytest.mark.parametrize(
    "wrong",
    [
        "generation.consumed = 'nothing'",
        "self._generation.upstream_s += 1.0",
        "forward.generation.first_byte_s, x = 1.0, 2",
        "setattr(generation, 'consumed', None)",
        "for generation.attempts in range(3): pass",
        "with lock as generation.cap: pass",
        "del generation.report",
    ],
)
def test_assignment_from_outside_is_seen(wrong: str) -> None:
    """However it is written."""
    fields = fields_of((ROOT / "edge/relay/generation.py").read_text(), "Generation")
    assert writes(wrong, "generation", fields)
    assert not writes("now_s = generation.first_byte_s\nself.consumed = 1\nother.attempts = 2", "generation", fields)


MADE_BY = {"UsageRecord": "edge/journal/entries.py"}
"""Value → the one file that makes it; everybody else is given one."""


def makers(source: str, name: str) -> list[int]:
    """The lines of `source` that call `name`."""
    return [node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and last_name(node.func) == name]


@pytest.mark.parametrize("name", MADE_BY)
def test_value_is_made_in_one_place(name: str) -> None:
    """What a settlement says is decided once, whoever settles: the relay, recovery, or what stands for a lost line."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    product = [path for path in listed if path.split("/")[0] in ("proxy.py", "edge", "routing", "usage", "collector")]
    found = {path: makers((ROOT / path).read_text(), name) for path in product}
    assert {path for path, calls in found.items() if calls} == {MADE_BY[name]}
    assert makers("x = record.UsageRecord(gen_id='a')\nUsageRecord", "UsageRecord") == [1]
