"""Who is told of each record when it is settled: the request log and the spans, as far as they are wanted."""

from collections.abc import Callable

from edge.settings import Settings
from edge.tasks import Tasks
from edge.telemetry.otlp import TraceExporter
from edge.telemetry.request_log import RequestLog, form_of
from usage.record import UsageRecord
from usage.trace import is_sampled


class Observers:
    """`start` with the process, `close` at its end. `told` is None when nobody listens, so that nothing is paid for it."""

    def __init__(self, settings: Settings, node: str) -> None:
        self.log = RequestLog(form_of(settings.log_requests), settings.log_level)
        self.traces = TraceExporter(settings.otlp_url, node) if settings.otlp_url is not None else None

    @property
    def on_record(self) -> Callable[[UsageRecord], None] | None:
        if self.traces is None:
            return self.log.put if self.log.is_on else None
        return self._observe

    def _observe(self, record: UsageRecord) -> None:
        if self.log.is_on:
            self.log.put(record)
        if self.traces is not None and is_sampled(record.trace):
            self.traces.put(record)

    def start(self, tasks: Tasks) -> None:
        if self.log.is_on:
            self.log.start()
        if self.traces is not None:
            tasks.supervise("traces", self.traces.run)

    async def close(self) -> None:
        """What waits is written and sent."""
        self.log.close()
        if self.traces is not None:
            await self.traces.flush()
