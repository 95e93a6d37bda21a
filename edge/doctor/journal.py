"""What lies in the journal: usage that waits, lines that were damaged, a node that this machine was once."""

from collections.abc import Iterator

from edge.data_folder import StartProblem, folders, known_name
from edge.doctor.finding import Finding, fail, ok, warn
from edge.journal.status import EpochStatus, status
from edge.settings import SettingError, Settings


def look_at_journal(settings: Settings) -> Iterator[Finding]:
    roots = [folder / "journal" for _, folder in folders(settings.data)]
    if not any(root.exists() for root in roots):
        yield ok("journal", "empty")
        return
    try:
        rows = [row for root in roots for row in status(str(root))]
        name = known_name(settings)
    except (OSError, StartProblem, SettingError) as error:
        yield fail("journal", f"cannot be read: {error}", "let the user of this process read and write the data folder")
        return
    held = sum(row.bytes for row in rows)
    if held >= settings.journal_bytes_max:
        said = f"{held >> 20} MiB wait, as much as TOLLWAY_JOURNAL_BYTES_MAX allows: paid work is refused"
        yield fail("journal", said, "let the collector take what waits; it recovers by itself")
    waiting = sum(row.pending for row in rows if not row.live)
    if waiting:
        said = f"{waiting} records of processes that have ended are not at the collector"
        yield warn("journal", said, "start `tollway serve` with this folder, or `tollway journal ship`")
    damaged = sum(row.quarantined for row in rows)
    if damaged:
        said = f"{damaged} damaged lines were set aside"
        yield warn("journal", said, "look at the disk (dmesg, smartctl): lines are damaged by it or by hand")
    yield from _strangers(rows, name)
    if not (waiting or damaged or held >= settings.journal_bytes_max):
        yield ok("journal", f"{sum(row.records for row in rows)} records in {len(rows)} epochs, none left behind")


def _strangers(rows: list[EpochStatus], name: str) -> Iterator[Finding]:
    if not name:
        return
    others = sorted({row.node for row in rows if row.node.partition("@")[0] != name.partition("@")[0] and row.pending})
    for other in others:
        said = f"usage of node {other} waits here, and this machine is {name} now"
        yield warn("journal", said, f"TOLLWAY_NODE={other} tollway journal ship, with that node's token")
