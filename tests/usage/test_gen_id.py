"""The id of a generation: what the edge draws is what the collector reads, and ids sort as their times do."""

import time

from hypothesis import given
from hypothesis import strategies as st

from edge.relay.ids import IdGenerator
from usage.gen_id import TIME_MS_END, first_of, time_ms_of


def test_gen_id_of_an_edge_tells_its_time() -> None:
    """Both ends of the contract: drawn by the edge, read by the collector."""
    mint = IdGenerator()
    for _ in range(1_000):
        before_ms = time.time_ns() // 1_000_000
        gen_id = "gen-" + mint.draw()
        drawn_ms = time_ms_of(gen_id)
        assert drawn_ms is not None
        assert before_ms <= drawn_ms <= time.time_ns() // 1_000_000
        assert first_of(drawn_ms) <= gen_id < first_of(drawn_ms + 1)


@given(st.integers(0, TIME_MS_END - 1), st.integers(0, TIME_MS_END - 1))
def test_gen_id_sorts_by_time(one: int, other: int) -> None:
    """A bound is below everything of its time and later; as bytes, which is how a store compares."""
    rest = "z" * 16
    assert time_ms_of(first_of(one) + rest) == one
    assert (first_of(one).encode() <= (first_of(other) + rest).encode()) == (one <= other)


@given(st.text(max_size=40))
def test_gen_id_that_is_none(text: str) -> None:
    """Never an exception, never a time."""
    assert time_ms_of(text) is None
    assert time_ms_of("gen-" + text) is None or len(text) == 26
