"""What the environment says of a collector, the same wherever it runs: on its own, under granian, or embedded in an edge."""

from collections.abc import Mapping

from collector.accounts.roles import shows_credit
from collector.leasing.grant import read_share
from collector.service import Collector
from collector.sinks.settings import read_sinks
from collector.store.contract import Store
from collector.store.opening import open_store

READERS = (read_share, shows_credit, read_sinks)
"""Each raises ValueError, which names its variable, for what cannot be meant."""


def open_books(environ: Mapping[str, str]) -> Store:
    """The store, once every variable can be meant: none waits for the first request that needs it. StoreUnavailable,
    SchemaTooNew, ValueError."""
    for read in READERS:
        read(environ)
    return open_store(environ)


def open_collector(environ: Mapping[str, str]) -> Collector:
    """Raises what `open_books` raises."""
    return Collector(open_books(environ), share_percent=read_share(environ), sinks=read_sinks(environ))
