"""`tollway journal status`: what lies in the journals of this machine, its workers' included, and what is not shipped yet."""

import sys
from pathlib import Path

import msgspec

from edge.commands.printing import print_json
from edge.data_folder import folders
from edge.journal.status import status


def show(data: Path, *, as_json: bool) -> int:
    """Print it; the exit status."""
    rows = [msgspec.to_builtins(row) for _, folder in folders(data) for row in status(str(folder / "journal"))]
    if as_json:
        print_json(rows)
        return 0
    if not rows:
        sys.stdout.write("the journal is empty\n")
    for row in rows:
        sys.stdout.write("  ".join(f"{name}={value}" for name, value in row.items()) + "\n")
    return 0
