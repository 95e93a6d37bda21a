"""What was promised before dispatch and what was used after it, on this machine's disk until the collector has acknowledged
it."""

from edge.journal.entries import Intent, Mark, record_of
from edge.journal.files.folder import EpochInUse
from edge.journal.journal import Journal, JournalUnavailable
from edge.journal.recovery.recovery import Recovery

__all__ = ["EpochInUse", "Intent", "Journal", "JournalUnavailable", "Mark", "Recovery", "record_of"]
