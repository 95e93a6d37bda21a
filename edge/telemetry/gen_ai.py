"""Requests as the dashboards of other gateways read them: `gen_ai_server_request_duration_seconds` and its like.

Rule: names and labels are those that Envoy AI Gateway and agentgateway expose. Rule: labels are bounded: at most SETS_MAX sets of
provider, model, error and operation have buckets of their own, and PAIRS_MAX of provider and operation; the rest is `other`.
Source: OpenTelemetry's conventions for generative AI (nothing of them is stable), as those two spell them for Prometheus.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Final

from edge.telemetry.exposition import Family
from edge.telemetry.histogram import LONG_SECONDS, SECONDS, TOKEN_SECONDS, TOKENS, Histogram
from routing.surfaces import operation_of
from usage.record import UsageRecord

SETS_MAX: Final = 100
PAIRS_MAX: Final = 48
OTHER: Final = "other"
Labels = tuple[str, str, str, str]
"""Provider, model, error, operation."""
TRACE_ID_CHARS: Final = 32
_labels_of = attrgetter("provider", "model", "fault", "surface")
_measures_of = attrgetter("latency_ms", "ttft_ms", "tokens.prompt", "tokens.completion", "tokens.cached", "tokens.reasoning")


class GenAiHistograms:
    """The histograms of one set of labels."""

    __slots__ = ("cached", "duration", "first_token", "input", "output", "per_token", "reasoning")

    def __init__(self, duration: Histogram, by_provider: tuple[Histogram, ...]) -> None:
        self.duration = duration
        self.first_token, self.per_token, self.input, self.output, self.cached, self.reasoning = by_provider


def _by_provider() -> tuple[Histogram, ...]:
    return (Histogram(SECONDS), Histogram(TOKEN_SECONDS), *(Histogram(TOKENS) for _ in range(4)))


class GenAi:
    """Counts records as they are settled."""

    def __init__(self) -> None:
        self._shown: dict[Labels, GenAiHistograms] = {}
        """By a surface's name in place of its operation's."""
        self._durations: dict[Labels, Histogram] = {}
        self._pairs: defaultdict[tuple[str, str], tuple[Histogram, ...]] = defaultdict(_by_provider)
        """By provider and operation."""

    def count(self, records: Sequence[UsageRecord]) -> None:
        """Generations were settled that are alike: of one provider, model and surface, and ended for one reason."""
        one = records[0]
        at: Labels = _labels_of(one)
        shown = self._shown.get(at) or self._show(at)
        latencies, firsts, prompts, completions, cached, reasoning = zip(*map(_measures_of, records), strict=True)
        shown.duration.observe([latency_ms / 1000 for latency_ms in latencies])
        began = zip(firsts, completions, strict=True)
        shown.first_token.observe([first_ms / 1000 for first_ms, completion in began if first_ms or completion])
        if one.stream:
            pace = zip(latencies, firsts, completions, strict=True)
            shown.per_token.observe([(last - first) / 1000 / count for last, first, count in pace if count > 1])
        shown.input.observe(prompts)
        shown.output.observe(completions)
        shown.cached.observe(filter(None, cached))
        shown.reasoning.observe(filter(None, reasoning))

    def show(self, record: UsageRecord) -> None:
        """An exemplar: a generation with a trace, that was counted."""
        shown = self._shown.get(_labels_of(record))
        if shown is not None:
            seen_s, trace_id = (record.started_ms + record.latency_ms) / 1000, record.trace[:TRACE_ID_CHARS]
            shown.duration.show(record.latency_ms / 1000, trace_id, seen_s)
            if record.ttft_ms or record.tokens.completion:
                shown.first_token.show(record.ttft_ms / 1000, trace_id, seen_s)

    def _show(self, named: Labels) -> GenAiHistograms:
        provider, model, error, surface = named
        operation = operation_of(surface)
        at = (provider, model, error, operation)
        if len(self._durations) >= SETS_MAX and at not in self._durations:
            at = (OTHER, OTHER, OTHER if error else "", operation)
        duration = self._durations.get(at)
        if duration is None:
            duration = self._durations[at] = Histogram(LONG_SECONDS)
        pair = (provider, operation)
        if len(self._pairs) >= PAIRS_MAX and pair not in self._pairs:
            pair = (OTHER, operation)
        shown = GenAiHistograms(duration, self._pairs[pair])
        if len(self._shown) < 8 * SETS_MAX:
            self._shown[named] = shown
        return shown

    def families(self) -> Iterator[Family]:
        """For the exposition."""
        text = "Seconds from a request's arrival to the end of its answer."
        yield Family(
            "gen_ai_server_request_duration_seconds",
            "histogram",
            text,
            [sample for at, histogram in sorted(self._durations.items()) for sample in histogram.samples(_labels(*at))],
        )
        for at, (name, text) in enumerate(
            (
                ("gen_ai_server_time_to_first_token_seconds", "Seconds to the first part of an answer."),
                ("gen_ai_server_time_per_output_token_seconds", "Seconds per token of a streamed answer, after its first part."),
            )
        ):
            samples = [
                sample
                for (provider, operation), histograms in sorted(self._pairs.items())
                for sample in histograms[at].samples({"gen_ai_operation_name": operation, "gen_ai_provider_name": provider})
            ]
            yield Family(name, "histogram", text, samples)
        yield Family(
            "gen_ai_client_token_usage",
            "histogram",
            "Tokens per request, by type.",
            [
                sample
                for (provider, operation), histograms in sorted(self._pairs.items())
                for kind, histogram in zip(("input", "output", "cached_input", "reasoning"), histograms[2:], strict=True)
                for sample in histogram.samples(
                    {"gen_ai_operation_name": operation, "gen_ai_provider_name": provider, "gen_ai_token_type": kind}
                )
            ],
        )


def _labels(provider: str, model: str, error: str, operation: str) -> dict[str, str]:
    labels = {
        "gen_ai_operation_name": operation,
        "gen_ai_provider_name": provider,
        "gen_ai_original_model": model,
        "gen_ai_request_model": model,
        "gen_ai_response_model": model,
    }
    return labels | {"error_type": error} if error else labels
