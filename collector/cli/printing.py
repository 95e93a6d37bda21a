"""How the account commands print, and who runs them."""

import getpass
import json
import os
import socket
import sys
from typing import Any

from collector.accounts.audit_log import Actor
from usage.pricing import dollars


def say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def show(rows: list[dict[str, Any]], as_json: bool) -> int:
    """A listing: JSON, or columns as wide as their widest cell."""
    if as_json:
        say(json.dumps(rows, indent=2))
        return 0
    if not rows:
        say("none")
        return 0
    table = [list(rows[0]), *(["" if cell is None else str(cell) for cell in row.values()] for row in rows)]
    widths = [max(len(row[at]) for row in table) for at in range(len(table[0]))]
    say(*("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table))
    return 0


def operator() -> Actor:
    """Who runs this command, and from where: the address an SSH session came from, else this machine."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in many containers
        name = f"uid {os.getuid()}"
    came_from = os.environ.get("SSH_CONNECTION", "").split()
    return Actor(name, came_from[0] if came_from else socket.gethostname())


def credit_in(amount_nano: int) -> str:
    return dollars(amount_nano) if amount_nano else ""
