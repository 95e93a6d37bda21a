"""Epochs of a node that are open at the collector and have no journal here: what they leased stays with them."""

import logging
from collections.abc import Sequence

from edge.journal.recovery.recovery import Recovery

log = logging.getLogger("tollway.node")


def find_lost(recovery: Recovery, node: str, open_epochs: Sequence[int]) -> int:
    """How many; each is named in the log, with what helps. 0 while the folder cannot be read: that is no reason not to serve."""
    try:
        lost = sorted(set(open_epochs) - set(recovery.epochs()))
    except OSError as problem:
        log.warning("whether journals of earlier epochs are lost cannot be told now: %s", problem)
        return 0
    if lost:
        log.warning(
            "epochs %s of node %s are open at the collector and their journals are not on this disk: what they leased stays"
            " leased. If that disk is gone for good, `tollway nodes forfeit %s` returns it",
            ", ".join(map(str, lost)),
            node,
            node,
        )
    return len(lost)
