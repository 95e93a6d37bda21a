"""What was promised before dispatch and what was used after it, on this machine's disk until the centre has acknowledged it."""

from edge.journal.facts import Intent, Mark
from edge.journal.folder import EpochInUse
from edge.journal.journal import Durability, Journal, JournalUnavailable
from edge.journal.recovery import Recovery

__all__ = ["Durability", "EpochInUse", "Intent", "Journal", "JournalUnavailable", "Mark", "Recovery"]
