"""The short form of `scripts/soak provider-fuzz`."""

import pytest

from tests.edge.provider_fuzz import fuzz

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("seed", [1, 2])
async def test_bytes_of_any_kind_from_a_provider_are_answered_and_charged_within_bounds(seed: int) -> None:
    """Whatever comes: no 500, no traceback, one settlement within what was held, a defined end."""
    outcomes = await fuzz(seed, 300)
    assert sum(outcomes.values()) == 300
    assert len(outcomes) > 4
