"""`python -m collector`: a collector on its own, on PORT (8100)."""

import os
import sys

from collector.accounts import Mistake
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
    except (StoreUnavailable, SchemaTooNew, Mistake, ValueError) as error:
        sys.stderr.write(f"tollway collector: {error}\n")
        return 1
    from granian.constants import Interfaces
    from granian.server import Server

    Server(
        "collector.app:from_environment",
        factory=True,
        address=os.environ.get("HOST", "0.0.0.0"),
        port=int(port),
        interface=Interfaces.ASGI,
        workers=1,
        respawn_failed_workers=True,
        log_access=False,
    ).serve()
    return 0


if __name__ == "__main__":
    sys.exit(serve())
