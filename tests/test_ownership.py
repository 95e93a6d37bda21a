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


SETTERS = frozenset(("setattr", "delattr", "__setattr__", "__delattr__", "force_setattr"))
SETTER_NAMES = frozenset(name.lstrip("_") for name in SETTERS) | {"vars"}
"""As `last_name` has them; what `vars` gives can only be wanted to be changed."""
MUTATORS = {"append", "extend", "insert", "remove", "pop", "popitem", "clear", "update", "add", "discard", "setdefault", "sort"}
"""What changes a list, a dict or a set in place."""


def last_name(node: ast.AST | None) -> str:
    """What something is called, wherever it is kept: `generation` for `forward._generation`."""
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name.lstrip("_")


def mentions(annotation: ast.AST | None, owner: str) -> bool:
    """Whether an annotation, written out or as a text, speaks of the class."""
    words = (
        node.value if isinstance(node, ast.Constant) else last_name(node)
        for node in (ast.walk(annotation) if annotation is not None else ())
    )
    return any(isinstance(word, str) and owner in word for word in words)


def choices(node: ast.expr | None) -> list[ast.AST]:
    """What an expression may give: both sides of `x if y else z`, each of `x or y`, and what is awaited or assigned within."""
    match node:
        case ast.IfExp():
            return [*choices(node.body), *choices(node.orelse)]
        case ast.BoolOp():
            return [each for value in node.values for each in choices(value)]
        case ast.NamedExpr() | ast.Await():
            return choices(node.value)
        case None:
            return []
    return [node]


def bindings(node: ast.AST) -> list[tuple[ast.AST, ast.AST]]:
    """(what gets a name, what it then names): assignments, pair by pair, loops and `with`."""
    match node:
        case ast.Assign():
            pairs: list[tuple[ast.expr, ast.expr | None]] = [(target, node.value) for target in node.targets]
        case ast.AnnAssign() | ast.NamedExpr():
            pairs = [(node.target, node.value)]
        case ast.For() | ast.AsyncFor() | ast.comprehension():
            pairs = [(node.target, node.iter)]
        case ast.withitem() if node.optional_vars is not None:
            pairs = [(node.optional_vars, node.context_expr)]
        case _:
            return []
    found: list[tuple[ast.AST, ast.AST]] = []
    for target, value in pairs:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            found += [(left, each) for left, right in zip(target.elts, value.elts, strict=True) for each in choices(right)]
        else:
            found += [(target, each) for each in choices(value)]
    return found


def aliases(tree: ast.AST, owner: str, instance: str) -> set[str]:
    """The names under which a module has an instance of the class, or several: the usual one, its plural, what is annotated so,
    and whatever any of these was assigned to."""
    names = {instance, f"{instance}s"}
    nodes = list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.arg) and mentions(node.annotation, owner):
            names.add(node.arg.lstrip("_"))
        elif isinstance(node, ast.AnnAssign) and mentions(node.annotation, owner):
            names.add(last_name(node.target))
    pairs = [pair for node in nodes for pair in bindings(node)]
    while True:
        more = {
            last_name(target)
            for target, value in pairs
            if last_name(value) in names or (isinstance(value, ast.Call) and last_name(value.func) == owner)
        } - {"", "self"}
        if more <= names:
            return names
        names |= more


def writes(source: str, owner: str, instance: str, fields: frozenset[str]) -> list[str]:
    """The lines of a module that change a field of an instance of `owner`, or what is contained in one; see `WRONG`."""
    tree = ast.parse(source)
    names = aliases(tree, owner, instance)

    def is_one(node: ast.AST) -> bool:
        return last_name(node) in names

    def is_field(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and node.attr in fields and is_one(node.value)

    bound = [pair for node in ast.walk(tree) for pair in bindings(node)]
    contained = {last_name(target) for target, value in bound if is_field(value)} - {"", "self", *names}

    def is_content(node: ast.AST) -> bool:
        return is_field(node) or (isinstance(node, ast.Name) and last_name(node) in contained)

    def is_change(node: ast.AST) -> bool:
        match node:
            case ast.Attribute(attr="__dict__"):
                return is_one(node.value)
            case ast.Attribute(ctx=ast.Store() | ast.Del()):
                return is_field(node)
            case ast.Subscript(ctx=ast.Store() | ast.Del()):
                return is_content(node.value)
            case ast.Call(func=ast.Attribute(attr=name, value=of)) if name in MUTATORS:
                return is_content(of)
            case ast.Call(func=ast.Attribute(attr=name, value=of)) if name in SETTERS and is_one(of):
                return True
            case ast.Call(func=called, args=[first, *_]) if last_name(called) in SETTER_NAMES:
                return is_one(first)
            case ast.ClassDef():
                return any(last_name(base) == owner for base in node.bases)
        return False

    return [f"{getattr(node, 'lineno', 0)}: {ast.unparse(node).splitlines()[0]}" for node in ast.walk(tree) if is_change(node)]


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
        f"{path}:{line}"
        for path in sources()
        if path != owner
        for line in writes((ROOT / path).read_text(), name, instance, fields)
    ]
    assert found == []


WRONG = {
    "plainly": "generation.consumed = 'nothing'",
    "by what holds it": "self._generation.upstream_s += 1.0",
    "among others": "forward.generation.first_byte_s, x = 1.0, 2",
    "by its name": "setattr(generation, 'consumed', None)",
    "by object's own setter": "object.__setattr__(forward.generation, 'consumed', None)",
    "by its own setter": "generation.__setattr__('consumed', None)",
    "by msgspec's": "msgspec.structs.force_setattr(generation, 'consumed', None)",
    "by a loop": "for generation.attempts in range(3): pass",
    "by a with": "with lock as generation.cap: pass",
    "deleted": "del generation.report",
    "deleted by its name": "delattr(generation, 'report')",
    "by an alias": "paid = self.generation\npaid.consumed = 'nothing'",
    "by an alias of an alias": "paid = self.generation\nmine = paid\nmine.attempts += 1",
    "by one of two aliases": "context, paid = self.context, self.generation\npaid.cap = 1",
    "by an alias that may be none": "paid = self.generation if x else None\npaid.cap = 1",
    "by an alias in an expression": "if (paid := forward.generation) is not None:\n    paid.cap = 1",
    "by an alias that is kept": "def f(self, generation): self._paid = generation\ndef g(self): self._paid.cap = 1",
    "by an argument": "def f(paid: Generation): paid.cap = 1",
    "by an argument whose type is a text": "def f(paid: 'Generation | None'): paid.cap = 1",
    "by whoever made it": "paid = Generation()\npaid.cap = 1",
    "one of several": "for each in self.generations: each.cap = 1",
    "one of several that are kept": "running: set[Generation]\nfor each in running: each.cap = 1",
    "in a comprehension": "[setattr(each, 'cap', 1) for each in generations]",
    "within a list": "generation.tried.append(1)",
    "within a list by its place": "generation.tried[0] = 1",
    "within a dict": "self._generation.fits['a'] = 1",
    "within a dict, deleted": "del generation.fits['a']",
    "within a dict, all at once": "generation.fits.update(a=1)",
    "within an alias of a list": "tried = generation.tried\ntried.append(1)",
    "within an alias of a dict": "fits = generation.fits\nfits['a'] = 1",
    "by its dictionary": "vars(generation)['cap'] = 1",
    "by its dictionary as well": "generation.__dict__.update(cap=1)",
    "as its heir": "class Mine(Generation):\n    def f(self):\n        self.cap = 1",
}
RIGHT = (
    "now_s = generation.first_byte_s",
    "self.consumed = 1",
    "other.attempts = 2",
    "generation.failed(1.0)",
    "paid = generation.attempts\npaid += 1",
    "names = [generation.gen_id]\nnames.append(generation.request_id)",
    "exchange = context.exchange\nexchange.sink = None",
    "generation.accounting.metrics.abandoned['x'] += 1",
)


@pytest.mark.parametrize("wrong", WRONG)
def test_change_from_outside_is_seen(wrong: str) -> None:
    """However it is written: plainly, by its name, through an alias, or within what is contained."""
    fields = fields_of((ROOT / "edge/relay/generation.py").read_text(), "Generation")
    assert writes(WRONG[wrong], "Generation", "generation", fields)


@pytest.mark.parametrize("right", RIGHT)
def test_what_changes_no_state_passes(right: str) -> None:
    fields = fields_of((ROOT / "edge/relay/generation.py").read_text(), "Generation")
    assert not writes(right, "Generation", "generation", fields)


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
