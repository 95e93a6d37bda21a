"""What `--json` prints is read back as what was meant, exactly, by people and programs."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.cli.printing import json_text
from edge.commands.printing import print_json

TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(TREES)
def test_tree_is_printed_as_it_is(tree: object) -> None:
    """Integers to the last digit, text of any script."""
    assert json.loads(json_text(tree)) == tree


def test_listing_is_indented_and_ends_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_json([{"who": "Zoë", "cost": "0.000000001"}])
    assert capsys.readouterr().out == '[\n  {\n    "who": "Zoë",\n    "cost": "0.000000001"\n  }\n]\n'


@pytest.mark.parametrize("value", [2**64, {1: 2}, object()])
def test_what_would_not_be_exact_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        json_text(value)
