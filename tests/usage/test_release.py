"""The version that the product says of itself."""

import tomllib
from pathlib import Path

from usage.release import VERSION


def test_version_is_the_packages() -> None:
    """`tollway --version` and pip say the same."""
    package = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert package["project"]["version"] == VERSION
