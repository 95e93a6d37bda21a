"""`python -m collector`: a collector on its own, on PORT (8100); `python -m collector keys …` and so on: the account commands."""

import argparse
import os
import sys

from collector import ops
from collector.schema import SchemaTooNew
from collector.store import StoreUnavailable, open_store

PORT_DEFAULT = 8100


def serve() -> int:
    """Serve until told to stop; 1 when the store cannot be opened or PORT is no port."""
    port = os.environ.get("PORT") or str(PORT_DEFAULT)
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        sys.stderr.write(f"tollway collector: PORT is {port!r}, which is no port number\n")
        return 1
    try:
        open_store(os.environ).close()
    except (StoreUnavailable, SchemaTooNew, ValueError) as error:
        sys.stderr.write(f"tollway collector: {error}\n")
        return 1
    from granian.constants import Interfaces
    from granian.server import Server

    Server(
        "collector.app:from_environment",
        factory=True,
        address=os.environ.get("HOST") or "0.0.0.0",
        port=int(port),
        interface=Interfaces.ASGI,
        workers=1,
        respawn_failed_workers=True,
        log_access=False,
    ).serve()
    return 0


def main() -> int:
    """Without words: serve."""
    parser = argparse.ArgumentParser("python -m collector", description=__doc__)
    parser.set_defaults(run=lambda arguments: serve())
    ops.commands(parser.add_subparsers(metavar="COMMAND"))
    arguments = parser.parse_args()
    status: int = arguments.run(arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())
