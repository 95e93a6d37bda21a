"""Recorded streams of Gemini that pass: our names and the cost, whatever way they were cut."""

import json
from typing import Any

import pytest

from routing.metering.meter import Meter
from routing.rewrite.gemini import GeminiStream
from routing.rewrite.gemini import whole as whole_answer
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


FOUND = {
    "groundingChunks": [{"retrievedContext": {"title": "a.pdf", "text": "x" * 40_000}}],
    "groundingSupports": [{"segment": {"text": "y" * 400}, "groundingChunkIndices": [0]}],
}


@pytest.mark.parametrize("usage", [{}, {"promptTokenCount": 9, "candidatesTokenCount": 100, "totalTokenCount": 109}])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_was_found_for_an_answer_is_no_text_of_a_models(place: int, usage: dict[str, int]) -> None:
    """Whole and in a stream, with usage and without: neither the pages nor the sentences that they stand for are charged."""
    events: list[dict[str, Any]] = [
        {"candidates": [{"content": {"parts": [{"text": "y" * 200}]}, "index": 0}], "responseId": "r", "modelVersion": "m"}
        for _ in range(2)
    ]
    events.append({"candidates": [{"content": {"parts": []}, "finishReason": "STOP", "index": 0}], "responseId": "r"})
    events[place]["candidates"][0]["groundingMetadata"] = FOUND
    if usage:
        events[-1]["usageMetadata"] = usage
    stream = b"".join([b"data: %b\r\n\r\n" % json.dumps(event, separators=(",", ":")).encode() for event in events])
    for size in (7, 100_000):
        rewrite = machine()
        assert json.dumps(FOUND, separators=(",", ":")).encode() in run(rewrite, stream, size)
        assert rewrite.meter.text_bytes == 400
        assert (rewrite.meter.source, rewrite.meter.tokens.completion) == ("provider" if usage else "counted", 100)
    candidate = {"content": {"parts": [{"text": "y" * 400}]}, "finishReason": "STOP", "groundingMetadata": FOUND}
    meter = Meter(Tariff(RATES), 9)
    whole_answer(json.dumps({"candidates": [candidate], "usageMetadata": usage}).encode(), IDENTITY, meter, "candidates")
    assert (meter.source, meter.tokens.completion) == ("provider" if usage else "counted", 100)
