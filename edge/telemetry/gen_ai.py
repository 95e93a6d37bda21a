"""Requests as the dashboards of other gateways read them: `gen_ai_server_request_duration_seconds` and its like.

Rule: names and labels are those that Envoy AI Gateway and agentgateway expose. Rule: labels are bounded: at most SETS_MAX sets of
provider, model and error have buckets of their own, the rest is `other`.
Source: OpenTelemetry's conventions for generative AI (nothing of them is stable), as those two spell them for Prometheus.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from edge.telemetry.exposition import Family
from edge.telemetry.histogram import LONG_SECONDS, SECONDS, TOKEN_SECONDS, TOKENS, Histogram
from usage.record import UsageRecord

SETS_MAX: Final = 100
OTHER: Final = "other"
OPERATION: Final = "chat"
Set = tuple[str, str, str]


class Shown:
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
        self._shown: dict[tuple[str, str, str], Shown] = {}
        self._durations: dict[Set, Histogram] = {}
        self._providers: defaultdict[str, tuple[Histogram, ...]] = defaultdict(_by_provider)

    def count(self, record: UsageRecord, trace_id: str = "") -> None:
        """A generation was settled."""
        error = record.fault
        shown = self._shown.get((record.provider, record.model, error))
        if shown is None:
            shown = self._show(record.provider, record.model, error)
        seconds, tokens = record.latency_ms / 1000, record.tokens
        shown.duration.observe(seconds, trace_id)
        if record.ttft_ms or tokens.completion:
            shown.first_token.observe(record.ttft_ms / 1000, trace_id)
            if record.stream and tokens.completion > 1:
                shown.per_token.observe((record.latency_ms - record.ttft_ms) / 1000 / tokens.completion)
        shown.input.observe(tokens.prompt)
        shown.output.observe(tokens.completion)
        if tokens.cached:
            shown.cached.observe(tokens.cached)
        if tokens.reasoning:
            shown.reasoning.observe(tokens.reasoning)

    def _show(self, provider: str, model: str, error: str) -> Shown:
        at = (provider, model, error)
        if len(self._durations) >= SETS_MAX and at not in self._durations:
            at = (OTHER, OTHER, OTHER if error else "")
        duration = self._durations.get(at)
        if duration is None:
            duration = self._durations[at] = Histogram(LONG_SECONDS)
        shown = Shown(duration, self._providers[provider])
        if len(self._shown) < 8 * SETS_MAX:
            self._shown[provider, model, error] = shown
        return shown

    def families(self) -> Iterator[Family]:
        """For the exposition."""
        text = "Seconds from a request's arrival to the end of its answer."
        yield Family(
            "gen_ai_server_request_duration_seconds",
            "histogram",
            text,
            [
                sample
                for (provider, model, error), histogram in sorted(self._durations.items())
                for sample in histogram.samples(_labels(provider, model, error))
            ],
        )
        for at, (name, text) in enumerate(
            (
                ("gen_ai_server_time_to_first_token_seconds", "Seconds to the first part of an answer."),
                ("gen_ai_server_time_per_output_token_seconds", "Seconds per token of a streamed answer, after its first part."),
            )
        ):
            samples = [
                sample
                for provider, histograms in sorted(self._providers.items())
                for sample in histograms[at].samples({"gen_ai_operation_name": OPERATION, "gen_ai_provider_name": provider})
            ]
            yield Family(name, "histogram", text, samples)
        yield Family(
            "gen_ai_client_token_usage",
            "histogram",
            "Tokens per request, by type.",
            [
                sample
                for provider, histograms in sorted(self._providers.items())
                for kind, histogram in zip(("input", "output", "cached_input", "reasoning"), histograms[2:], strict=True)
                for sample in histogram.samples(
                    {"gen_ai_operation_name": OPERATION, "gen_ai_provider_name": provider, "gen_ai_token_type": kind}
                )
            ],
        )


def _labels(provider: str, model: str, error: str) -> dict[str, str]:
    labels = {
        "gen_ai_operation_name": OPERATION,
        "gen_ai_provider_name": provider,
        "gen_ai_original_model": model,
        "gen_ai_request_model": model,
        "gen_ai_response_model": model,
    }
    return labels | {"error_type": error} if error else labels
