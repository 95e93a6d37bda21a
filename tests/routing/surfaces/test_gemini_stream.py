"""Recorded streams of Gemini that pass: our names and the cost, whatever way they were cut."""

import json

import pytest

from routing.metering.meter import Meter
from routing.rewrite.gemini import GeminiStream
from routing.table.tariff import Tariff
from tests.routing.translate.streams import IDENTITY, RATES, names, run, wire


def machine() -> GeminiStream:
    return GeminiStream(IDENTITY, Meter(Tariff(RATES), 9), created=1, line_bytes_max=1 << 24)


@pytest.mark.parametrize("name", names("chunks.txt", "gemini"))
def test_gemini_stream_has_our_names_and_its_cost(name: str) -> None:
    """Cut in pieces of any size it is the same; the last event tells the cost."""
    plain = machine()
    got = run(plain, wire(name))
    for size in (1, 13, 500):
        assert run(machine(), wire(name), size) == got
    events = [json.loads(line[6:]) for line in got.splitlines() if line.startswith(b"data: ")]
    assert all(event.get("responseId", "gen-1") == "gen-1" for event in events)
    assert events[-1]["usageMetadata"]["cost"] > 0
    assert sum("cost" in event.get("usageMetadata", {}) for event in events) == 1
    assert plain.is_complete
    assert plain.meter.source == "provider"
