"""`tollway diff OLD NEW`: what an edit of the table means for callers. Exit status: 0 nothing, 1 something, 2 one is no table."""

import sys

from edge.commands.printing import print_json
from routing.table.config import parse
from routing.views.difference import difference


def compare(old: str, new: str, *, as_json: bool) -> int:
    """ConfigError: one of the texts is no table."""
    lines = difference(parse(old), parse(new))
    if as_json:
        names = {"+": "added", "-": "removed", "~": "changed"}
        print_json([{"kind": names[line[0]], "what": line[2:]} for line in lines])
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines) or "callers notice nothing\n")
    return 1 if lines else 0
