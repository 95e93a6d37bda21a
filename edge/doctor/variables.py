"""The environment: what it says that nobody reads, and what was quoted for a shell that never saw it.

Rule: no value is repeated; it may be a secret.
"""

import stat
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from edge.doctor.finding import Finding, warn

PREFIX = "TOLLWAY_"
IN_FILES = ("TOLLWAY_NODE_TOKEN", "TOLLWAY_OPERATOR_TOKEN")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
KNOWN = frozenset(
    PREFIX + name
    for name in (
        *("ADMIN", "ADMIN_FD", "CLIENT_ADDRESS_HEADER", "COLLECTOR_URL", "CONNECTIONS_PER_ADDRESS", "DATA"),
        *("DATABASE", "DRAIN_GRACE_S", "DRAIN_NOTICE_S", "DURABILITY", "EDGE_URL", "INFERENCE_CREDITS", "JOIN_WAIT_S"),
        *("JOURNAL_BYTES_MAX", "LEASE_SHARE", "LISTEN_FD", "LOG_LEVEL", "LOG_REQUESTS", "MODULE", "NODE"),
        *("NODE_TOKEN", "OPERATOR_TOKEN", "OTLP_URL", "PROVIDERS", "PUBLIC_URL", "REGION", "SERVER", "SINK_NATS_SUBJECT"),
        *("SINK_NATS_URL", "SINK_OPENMETER_TOKEN", "SINK_OPENMETER_URL", "SMTP_FROM", "SMTP_URL", "STRIPE_API"),
        *("STRIPE_KEY", "STRIPE_WEBHOOK_SECRET", "SUPERVISOR_FD", "TRACEBACK", "TRUSTED_PROXIES", "WEBHOOK_PRIVATE"),
        *("WORKERS", "WORKER_SILENT_S"),
    )
)
"""Every variable of ours that the product reads; a test holds it to the source."""


def look_at_variables(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Those that are ours by their name."""
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in KNOWN:
            meant = get_close_matches(name.removeprefix(PREFIX), [known.removeprefix(PREFIX) for known in KNOWN], 1, 0.7)
            remedy = f"did you mean {PREFIX}{meant[0]}?" if meant else "take it away; README.md has those that are"
            yield warn(f"variable {name}", "is none that anything reads", remedy)
    yield from look_at_quotes(environ, KNOWN)
    yield from _proxies(environ)
    yield from _files(environ)


def _files(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Secrets that are in files of their own."""
    for name in IN_FILES:
        path = Path(environ.get(name, "").removeprefix("file:"))
        if environ.get(name, "").startswith("file:") and path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o007:
            yield warn(f"file {path}", f"everybody on this machine may read it ({name})", f"chmod o= {path}")


def _proxies(environ: Mapping[str, str]) -> Iterator[Finding]:
    found = sorted(name for name in environ if name.lower() in PROXIES and environ[name])
    if found:
        remedy = 'transport = "httpx" and proxy = "http://…" in providers.toml, for a provider that is reached through one'
        yield warn(f"variable {found[0]}", "is not used: neither providers nor the collector are called through it", remedy)


def look_at_quotes(environ: Mapping[str, str], names: frozenset[str]) -> Iterator[Finding]:
    """Of those that are read under these names."""
    for name in sorted(names & environ.keys()):
        value = environ[name]
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            remedy = "take the quotes away: a shell does that, but no `docker --env-file` and no Kubernetes"
            yield warn(f"variable {name}", "has quotes around its value, which are part of it", remedy)
