"""Runs one account command: opens the store that the environment names, applies, closes, and says what went wrong.

Rule: commands work on the store itself (TOLLWAY_DATABASE, or `$TOLLWAY_DATA/collector.db`), whether a server runs or not, and say
which that is. Rule: a store that is not there is made only by a command that makes something new in it, which says so. Rule: what
goes wrong is one clear sentence on stderr and exit status 1; 3: it wants a yes.
"""

import argparse
import os
from collections.abc import Callable

from collector.accounts.accounts import Mistake
from collector.cli.printing import Unconfirmed, note
from collector.service import now_ms
from collector.store.contract import NoBooks, Store, StoreUnavailable, Tx
from collector.store.opening import name_of_store, open_store
from collector.store.schema import SchemaTooNew

Command = Callable[[argparse.Namespace, Store, int], int]
UNCONFIRMED = 3
"""The exit status of a command that cannot be undone and that nobody said yes to."""


def run(command: Command, arguments: argparse.Namespace) -> int:
    """Open the store, run, close; every foreseeable trouble is one sentence."""
    try:
        store = _open(makes_store=arguments.makes_store)
    except (StoreUnavailable, SchemaTooNew, Mistake, ValueError, OSError) as error:
        note(f"tollway: {error}")
        return 1
    try:
        return apply(command, arguments, store, name_of_store(os.environ))
    finally:
        store.close()


def read_books(work: Callable[[Tx, int], None]) -> str:
    """Read for another command, which says itself what it found; what went wrong, or nothing."""
    try:
        store = open_store(os.environ, makes=False)
    except NoBooks:
        return _where_books_are()
    except (StoreUnavailable, SchemaTooNew, ValueError, OSError) as error:
        return str(error)
    try:
        store.read(lambda tx: work(tx, now_ms()))
    except (Mistake, StoreUnavailable) as error:
        return f"{error} (books: {name_of_store(os.environ)})"
    finally:
        store.close()
    return ""


def apply(command: Command, arguments: argparse.Namespace, store: Store, name: str) -> int:
    """Run a command on an open store; `name` is what it is called in what is said."""
    try:
        status = command(arguments, store, now_ms())
    except Unconfirmed as question:
        note(f"tollway: {question}; this cannot be undone: say --yes if that is meant (books: {name})")
        return UNCONFIRMED
    except argparse.ArgumentTypeError as error:  # of several arguments together
        note(f"tollway: {error}")
        return 2
    except (Mistake, StoreUnavailable, ValueError, OSError) as error:
        note(f"tollway: {error} (books: {name})")
        return 1
    note(f"books: {name}")
    return status


def _open(*, makes_store: bool) -> Store:
    try:
        return open_store(os.environ, makes=False)
    except NoBooks:
        if not makes_store or os.environ.get("TOLLWAY_COLLECTOR_URL"):
            raise Mistake(_where_books_are()) from None
    store = open_store(os.environ)
    note(f"books were made: {name_of_store(os.environ)}")
    return store


def _where_books_are() -> str:
    """There are none here."""
    url = os.environ.get("TOLLWAY_COLLECTOR_URL")
    if url:
        return (
            f"this machine is an edge of {url}, and has no books of its own: say --collector {url}, with an"
            " operator's token in TOLLWAY_OPERATOR_TOKEN (`tollway operators create` at the collector makes one)"
        )
    return (
        f"there are no books at {name_of_store(os.environ)}: TOLLWAY_DATA or TOLLWAY_DATABASE says where they are. The first"
        " start of `tollway serve` or `tollway collector` makes them, and so does `tollway init`"
    )
