"""docs/SECURITY.md against the code: each bound that is named there has the value it is said to have."""

import importlib
import re
from pathlib import Path

import pytest

from edge.settings import Settings
from routing.table.config import Limits

TEXT = (Path(__file__).parent.parent / "docs" / "SECURITY.md").read_text()
BOUND = re.compile(r"`([a-z_.]*[A-Za-z_]+)` = ([0-9.]+) \|")
BOUNDS = BOUND.findall(TEXT)


@pytest.mark.parametrize(("name", "value"), BOUNDS)
def test_bound_is_what_the_page_says(name: str, value: str) -> None:
    """A constant of a module, or a limit of providers.toml."""
    module, _, constant = name.rpartition(".")
    found = getattr(importlib.import_module(module), constant) if module else getattr(Limits(), constant)
    assert found == float(value)


def test_bounds_are_many() -> None:
    """The pattern above finds them."""
    assert len(BOUNDS) >= 25


def test_variables_that_are_named_are_read() -> None:
    """Each TOLLWAY_ variable on the page is one that the code reads."""
    sources = "".join(
        path.read_text() for folder in ("edge", "collector") for path in (Path(__file__).parent.parent / folder).rglob("*.py")
    )
    assert {name for name in re.findall(r"TOLLWAY_[A-Z_]+", TEXT) if name not in sources} == set()
    assert Settings.read({}).trusted_proxies
