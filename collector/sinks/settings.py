"""Which sinks the environment names."""

from collections.abc import Mapping

from collector.sinks.contract import Sink

OPENMETER_URL, OPENMETER_TOKEN = "TOLLWAY_SINK_OPENMETER_URL", "TOLLWAY_SINK_OPENMETER_TOKEN"
NATS_URL, NATS_SUBJECT = "TOLLWAY_SINK_NATS_URL", "TOLLWAY_SINK_NATS_SUBJECT"


def read_sinks(environ: Mapping[str, str]) -> tuple[Sink, ...]:
    """None of them by default. ValueError: an address that cannot be meant, or a library that is not there."""
    sinks: list[Sink] = []
    if url := environ.get(OPENMETER_URL):
        from collector.sinks.openmeter import OpenMeterSink

        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{OPENMETER_URL} must begin with http:// or https://, not {url[:40]!r}")
        sinks.append(OpenMeterSink(url, environ.get(OPENMETER_TOKEN, "")))
    if url := environ.get(NATS_URL):
        from collector.sinks.nats import SUBJECT, NatsSink

        if not url.startswith(("nats://", "tls://")):
            raise ValueError(f"{NATS_URL} must begin with nats:// or tls://, not {url[:40]!r}")
        try:
            import nats  # noqa: F401
        except ModuleNotFoundError:
            raise ValueError(f"{NATS_URL} needs nats-py: pip install 'tollway[nats]'") from None
        sinks.append(NatsSink(url, environ.get(NATS_SUBJECT) or SUBJECT))
    return tuple(sinks)
