"""Where the clients' packages are: some are tests' own (requirements/dev.txt, tests/e2e/package.json), the rest get virtual
environments of their own, because they exclude each other's versions.

Limits: requirements/clients/*.txt pin what is called and what calls; what these need in turn is the newest that fits.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
PINS = ROOT / "requirements" / "clients"
MADE = ROOT / ".venv-clients"
DRIVERS = Path(__file__).parent / "drivers"
NODE_FOLDERS = {"node": ROOT / "tests" / "e2e", "node-ai-6": ROOT / "tests" / "clients" / "ai6"}
OWN = ("openai", "openrouter")


class Environment(msgspec.Struct, frozen=True):
    """How a driver is started, and the folder it is started in."""

    command: list[str]
    drivers: Path


class Missing(Exception):
    """What the client needs is not on this machine; the text says what."""


@contextmanager
def environment(name: str) -> Iterator[Environment]:
    """The environment `name`, made if it is not there. Missing."""
    if name in NODE_FOLDERS:
        with tempfile.TemporaryDirectory() as folder:
            yield _node(NODE_FOLDERS[name], Path(folder))
    elif name == "java":
        if shutil.which("java") is None:
            raise Missing("java is not installed")
        yield Environment(["java"], DRIVERS)
    else:
        yield Environment([sys.executable if name in OWN else _python(name)], DRIVERS)


def _node(packages: Path, folder: Path) -> Environment:
    """Node looks for packages beside a module, so the drivers go where those packages are."""
    if shutil.which("node") is None:
        raise Missing("node is not installed")
    _run([str(ROOT / "tests" / "e2e" / "install")])
    for driver in DRIVERS.glob("*.mjs"):
        shutil.copy(driver, folder)
    (folder / "node_modules").symlink_to(packages / "node_modules")
    return Environment(["node"], folder)


def _python(name: str) -> str:
    """The interpreter of a virtual environment with what is pinned for `name`."""
    pins, folder = PINS / f"{name}.txt", MADE / name
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    if stamp.exists() and stamp.read_text() == pins.read_text():
        return str(python)
    problem: Missing | None = None
    for interpreter in _interpreters():
        try:
            _run([interpreter, "-m", "venv", "--clear", str(folder)])
            pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-qq", "install"]
            _run([*pip, "--upgrade", "pip"])
            _run([*pip, "--requirement", str(pins)])
        except Missing as missing:
            problem = missing
            continue
        stamp.write_text(pins.read_text())
        return str(python)
    raise problem or Missing("no Python was found")


def _interpreters() -> Iterator[str]:
    """Ours, then older ones: some clients (aider) do not take the newest."""
    yield sys.executable
    for minor in (12, 11):
        found = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(f"versions/3.{minor}.*/bin/python"))
        yield from map(str, found[-1:])
        if not found and (named := shutil.which(f"python3.{minor}")) is not None:
            yield named


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode != 0:
        raise Missing(f"{command[0]} ended with {done.returncode}: {done.stderr[-1000:]}")
