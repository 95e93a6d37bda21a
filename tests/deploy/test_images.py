"""The two images and their machines, as far as they can be tried without an engine that builds them.

Strategy: read the Dockerfile as the builder would, copy what it copies into an empty folder, and import it there with nothing
else of the house in reach; then hold the machine's configuration against the image's.
"""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = {
    "edge": (Path("Dockerfile"), Path("fly.toml"), {"usage", "routing", "edge", "proxy"}),
    "collector": (Path("collector/Dockerfile"), Path("collector/fly.toml"), {"usage", "collector"}),
}
PRESENT = [name for name, (dockerfile, _, _) in IMAGES.items() if (ROOT / dockerfile).exists()]
DISTRIBUTIONS = {"nats": "nats-py"}
"""Packages that are not called like the distribution that brings them."""
HOUSE = {"proxy", "edge", "routing", "usage", "collector"}

IMPORT_ALL = """
import importlib, json, pkgutil, sys
sys.path.insert(0, {folder!r})
for name in {names!r}:
    module = importlib.import_module(name)
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), name + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
print(json.dumps(sorted((n, getattr(m, "__file__", None) or "") for n, m in sys.modules.items() if n.split(".")[0] in {house!r})))
"""


@dataclass(frozen=True)
class Dockerfile:
    """Its instructions in order, continuation lines joined."""

    steps: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, path: Path) -> "Dockerfile":
        lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
        joined = re.sub(r"\\\n", " ", "\n".join(lines))
        steps = (line.split(None, 1) for line in joined.splitlines() if line.strip())
        return cls(tuple((step[0].upper(), step[1].strip()) for step in steps))

    def arguments(self, instruction: str) -> list[str]:
        return [argument for name, argument in self.steps if name == instruction]

    def copies(self) -> list[tuple[list[str], str]]:
        """(sources, destination) of each COPY from the checkout."""
        found = []
        for argument in self.arguments("COPY"):
            words = argument.split()
            if any(word.startswith("--from=") for word in words):
                continue
            names = [word for word in words if not word.startswith("--")]
            found.append((names[:-1], names[-1]))
        return found

    def env(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for argument in self.arguments("ENV") for pair in argument.split())


def read_machine(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / IMAGES[name][1]).read_text())


@pytest.fixture(params=PRESENT)
def image(request: pytest.FixtureRequest) -> str:
    """The name of an image of the house."""
    return str(request.param)


@pytest.fixture
def dockerfile(image: str) -> Dockerfile:
    return Dockerfile.read(ROOT / IMAGES[image][0])


def copy_into(folder: Path, dockerfile: Dockerfile) -> None:
    """Do what the COPY lines do, for those that go below the working directory."""
    for sources, destination in dockerfile.copies():
        if destination.startswith("/"):
            continue
        for source in sources:
            target = folder / destination
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
            else:
                target = target / Path(source).name if destination.endswith(("/", ".")) else target
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, target)


def test_image_copies_only_files_that_exist_and_reach_the_builder(dockerfile: Dockerfile) -> None:
    """Every COPY source is in the checkout and is let through by .dockerignore."""
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    let_through = [line[1:] for line in ignore if line.startswith("!")]
    for sources, _ in dockerfile.copies():
        for source in sources:
            assert (ROOT / source).exists(), source
            assert any(Path(source) == Path(rule.removesuffix("/**")) or Path(source).match(rule) for rule in let_through), source


def test_image_imports_on_its_own(image: str, dockerfile: Dockerfile, tmp_path: Path) -> None:
    """What is copied is enough, and is all that is used: the edge runs without the collector, the collector without the proxy."""
    names = sorted(IMAGES[image][2])
    copy_into(tmp_path, dockerfile)
    code = IMPORT_ALL.format(folder=str(tmp_path), names=names, house=HOUSE)
    run = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    loaded = {module.split(".")[0]: file for module, file in json.loads(run.stdout)}
    assert set(loaded) == IMAGES[image][2]
    assert all(file.startswith(str(tmp_path)) for file in loaded.values()), loaded


OF_EXTRAS = {"cryptography", "genai_prices", "tomlkit"}
"""Of what pyproject names as an extra: who needs it is told to install it, and the image is built with it then."""


def test_image_requirements_cover_its_imports(image: str, dockerfile: Dockerfile, tmp_path: Path) -> None:
    """Every package that the copied sources import, at whatever moment, is in the lock file of this image."""
    copy_into(tmp_path, dockerfile)
    locked = re.findall(r"^([a-z0-9-]+)==", (ROOT / f"requirements/{image}.txt").read_text(), re.MULTILINE)
    imported = set()
    for path in tmp_path.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                imported.add(node.module.split(".")[0])
    foreign = imported - HOUSE - OF_EXTRAS - set(sys.stdlib_module_names)
    assert {DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in foreign} <= set(locked)


def test_image_holds_no_other_part_of_the_house(image: str, dockerfile: Dockerfile, tmp_path: Path) -> None:
    """The edge image does not contain the collector, nor the collector the proxy."""
    copy_into(tmp_path, dockerfile)
    held = {path.name.removesuffix(".py") for path in tmp_path.iterdir()} & HOUSE
    assert held == IMAGES[image][2]


def test_image_installs_locked_requirements_of_its_own(image: str, dockerfile: Dockerfile) -> None:
    """Dependencies come by hash from the lock file of this image."""
    installs = [step for step in dockerfile.arguments("RUN") if re.search(r"\bpip\b.* install ", step)]
    assert len(installs) == 1
    assert "--require-hashes" in installs[0]
    assert f"requirements/{image}.txt" in installs[0]


def test_image_runs_as_its_own_user_and_keeps_its_data(dockerfile: Dockerfile) -> None:
    """Not root, whether by USER or by the entry that drops it; the data folder is a volume; the health is asked for."""
    entry = (ROOT / "scripts/enter").read_text()
    drops = (
        any("scripts/enter" in source for sources, _ in dockerfile.copies() for source in sources) and "--reuid=10001" in entry
    )
    assert drops or any(user != "root" for user in dockerfile.arguments("USER"))
    assert dockerfile.env()["TOLLWAY_DATA"] in dockerfile.arguments("VOLUME")
    assert dockerfile.arguments("HEALTHCHECK")


def test_machine_agrees_with_its_image(image: str, dockerfile: Dockerfile) -> None:
    """Port, volume and environment are the same on both sides; starts, limits and checks are spelled out."""
    machine = read_machine(image)
    service = machine["http_service"]
    env = dockerfile.env() | machine.get("env", {})
    assert str(service["internal_port"]) == env["PORT"] == dockerfile.arguments("EXPOSE")[0]
    assert machine["mounts"]["destination"] == env["TOLLWAY_DATA"]
    assert (ROOT / IMAGES[image][1].parent / machine["build"]["dockerfile"]).resolve() == (ROOT / IMAGES[image][0]).resolve()
    assert service["auto_start_machines"] is True
    assert service["auto_stop_machines"] in {"off", "stop"}
    assert service["min_machines_running"] >= 1
    assert service["concurrency"]["type"] == "requests"
    assert 0 < service["concurrency"]["soft_limit"] < service["concurrency"]["hard_limit"]
    assert [check["path"] for check in service["checks"]] == ["/readyz"]
    assert machine["kill_signal"] == "SIGTERM"


def test_edge_drains_within_what_the_platform_grants() -> None:
    """The machine's time-out leaves room to ship after the grace, and the notice is longer than two of its checks."""
    machine = read_machine("edge")
    notice_s, grace_s = int(machine["env"]["TOLLWAY_DRAIN_NOTICE_S"]), int(machine["env"]["TOLLWAY_DRAIN_GRACE_S"])
    checked_s = max(int(check["interval"].removesuffix("s")) for check in machine["http_service"]["checks"])
    assert 2 * checked_s <= notice_s < grace_s <= int(machine["kill_timeout"].removesuffix("s")) - 15


def build(folder: Path, *words: str) -> tuple[int, list[str], str]:
    """`scripts/image …` with a docker that only says how it was called: exit status, docker's words, what was said."""
    docker = folder / "docker"
    docker.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    docker.chmod(0o755)
    env = {"PATH": f"{folder}:/usr/bin:/bin"}
    run = subprocess.run([str(ROOT / "scripts/image"), *words], env=env, capture_output=True, text=True, timeout=60, check=False)
    return run.returncode, run.stdout.splitlines(), run.stderr


def test_image_is_built_from_a_pinned_base_alone(image: str, tmp_path: Path) -> None:
    """A tag, half a digest, another algorithm or an unknown image is refused with what would be right; a digest is handed on, is
    in the labels, and is the base of both stages."""
    digest = "sha256:" + "0123456789abcdef" * 4
    for base in ("python:3.13-slim", f"python@{digest[:-1]}", "python@md5:" + "0" * 32, "", f"python@{digest} --privileged"):
        status, called, said = build(tmp_path, image, base)
        assert (status, called, "is not pinned" in said, "imagetools inspect" in said) == (2, [], True, True)
    assert build(tmp_path, "kitchen", f"python@{digest}")[0] == build(tmp_path)[0] == 2
    status, called, _ = build(tmp_path, image, f"python:3.13-slim@{digest}", "--push")
    assert status == 0
    assert called[called.index("--file") + 1] == IMAGES[image][0].as_posix()
    assert f"BASE=python:3.13-slim@{digest}" in called
    assert f"org.opencontainers.image.base.digest={digest}" in called
    assert called[-2:] == ["--push", "."]
    stages = Dockerfile.read(ROOT / IMAGES[image][0]).arguments("FROM")
    assert [stage.split()[0] for stage in stages] == ["${BASE}"] * 2
