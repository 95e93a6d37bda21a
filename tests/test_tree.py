"""What may not stand in a tracked file: addresses of package registries, paths of one machine, things that look like secrets.

Limits: the patterns are put together from pieces so that this file passes its own test.
"""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINES_MAX = 400  # 300 is a sign to look for a second noun; this is the end
HOUSE = ("routing", "usage", "edge", "collector")

REGISTRY = re.compile(
    r"\b(pypi\.|files\.pythonhosted\.|registry\.npmjs\.|registry\.yarnpkg\.|deb\.debian\.|proxy\.golang\.)" + r"[a-z]{3}\b"
)
MACHINE = re.compile(r"(?<![\w.~-])/(?:root|home|Users|work|opt/(?:pypi|wheels))" + r"/[\w.]")
SECRETS = (
    re.compile(r"sk_" + r"live_[0-9a-zA-Z]{10}"),
    re.compile(r"sk-(?:proj-|ant-)?" + r"[0-9a-zA-Z]{32}"),
    re.compile(r"\b(?:AKIA|ASIA)" + r"[0-9A-Z]{16}\b"),
    re.compile(r"\bgh[pousr]_" + r"[0-9a-zA-Z]{36}"),
    re.compile(r"-----BEGIN (?:RSA |EC |OPENSSH )?" + r"PRIVATE KEY-----"),
)
QUOTED_BY_OTHERS = ("tests/recorded/", "tests/corpora/")


def tracked_texts() -> list[Path]:
    """Every tracked text file that we wrote; recordings and corpora are others' words."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:  # an unpacked archive is no checkout
        return []
    paths = [Path(name) for name in listed.stdout.decode().split("\0") if name and not name.startswith(QUOTED_BY_OTHERS)]
    return [path for path in paths if (ROOT / path).is_file() and b"\0" not in (ROOT / path).read_bytes()[:8192]]


def offences(text: str) -> list[str]:
    """The forbidden pieces of `text`."""
    return [match.group() for pattern in (REGISTRY, MACHINE, *SECRETS) for match in pattern.finditer(text)]


def test_tracked_files_name_no_registry_machine_or_secret() -> None:
    """A clone works anywhere, and no scanner has reason to shout."""
    found = {str(path): bad for path in tracked_texts() if (bad := offences((ROOT / path).read_text(errors="replace")))}
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "index-url = https://" + "pypi." + "org/simple",
        '"resol' + 'ved": "https://' + "registry.npmjs." + 'org/x.tgz"',
        "open('/" + "root/x')",
        "cd /" + "work/main",
        "key = sk_" + "live_" + "a" * 10,
        "-----BEGIN " + "PRIVATE KEY-----",
    ],
)
def test_forbidden_text_is_caught(text: str) -> None:
    """Each kind is seen to be found."""
    assert offences(text)


@pytest.mark.parametrize(
    "text", ["docs/ro" + "ot/x", "https://api.openai.com/v1", "sk_live_…", "~/wo" + "rk/x", "key sk_live_<id>"]
)
def test_harmless_text_is_left_alone(text: str) -> None:
    """Near misses pass."""
    assert offences(text) == []


def test_source_files_are_small_and_say_what_they_are() -> None:
    """Each module of the house opens with a paragraph and stays under the length at which it should be split by noun."""
    modules = [path for package in HOUSE for path in (ROOT / package).rglob("*.py")]
    long = [f"{path.relative_to(ROOT)}: {n} lines" for path in modules if (n := path.read_text().count("\n")) > LINES_MAX]
    silent = [str(path.relative_to(ROOT)) for path in modules if path.stat().st_size and not path.read_text().startswith('"""')]
    assert (long, silent) == ([], [])
