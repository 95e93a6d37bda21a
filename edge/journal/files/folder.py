"""The folders of a node's journal: `<root>/<node>/<epoch>/`, each locked by the process that owns it.

Rule: a folder has its epoch's name only while its lock exists, so another process never takes one that is just being made.
Rule: removal begins with a rename that takes the name away; what a crash leaves behind has a name that nobody reads.
"""

import os

from edge.journal.files.disk import Disk

LOCK = "lock"


class EpochInUse(Exception):
    """This epoch has a folder already: the collector gave its number out twice (it may have been restored from a backup)."""


def create_epoch(disk: Disk, root: str, node: str, epoch: int) -> tuple[str, int]:
    """(path, descriptor of the lock) of a new epoch folder, durable under its name."""
    check_node(node)
    parent = f"{root}/{node}"
    make_durable_folder(disk, root)
    make_durable_folder(disk, parent)
    path, making = f"{parent}/{epoch}", f"{parent}/.making-{epoch}"
    if disk.exists(path):
        raise EpochInUse(f"{path} exists")
    disk.make_folder(making)
    lock_fd = disk.lock(f"{making}/{LOCK}")
    if lock_fd is None:
        raise EpochInUse(f"{path} is being made by another process")
    disk.rename(making, path)
    disk.sync_folder(parent)
    return path, lock_fd


def make_durable_folder(disk: Disk, path: str) -> None:
    """The folder, durable in the one that holds it: also one that another process made and did not live to sync."""
    above = os.path.dirname(path)
    if not disk.exists(path):
        if above not in ("", "/"):
            make_durable_folder(disk, above)
        disk.make_folder(path)
    disk.sync_folder(above or ".")


def check_node(node: str) -> None:
    """ValueError unless the name can be the name of a folder."""
    if not node or node.startswith(".") or not all(c.isalnum() or c in "-_.@" for c in node):
        raise ValueError(f"node name {node!r} may hold letters, digits, '-', '_', '@' and '.', and not begin with '.'")


def epochs(disk: Disk, root: str, node: str) -> list[int]:
    """The epochs of this node that have a folder, oldest first."""
    return sorted(int(name) for name in disk.names(f"{root}/{node}") if name.isdecimal())


def lock_epoch(disk: Disk, path: str) -> int | None:
    """Hold an epoch's folder; None when a living process holds it or it is gone."""
    if not disk.exists(path):
        return None
    try:
        return disk.lock(f"{path}/{LOCK}")
    except FileNotFoundError:
        return None


def remove_epoch(disk: Disk, path: str) -> None:
    """Take the folder's name away, then its content. Repeatable."""
    parent, _, name = path.rpartition("/")
    gone = f"{parent}/.closed-{name}"
    disk.rename(path, gone)
    disk.sync_folder(parent)
    clear(disk, gone)


def clear_closed(disk: Disk, root: str, node: str) -> None:
    """Remove what earlier removals left behind when their process died."""
    parent = f"{root}/{node}"
    for name in disk.names(parent):
        if name.startswith(".closed-"):
            clear(disk, f"{parent}/{name}")


def clear(disk: Disk, path: str) -> None:
    """Remove a folder whose name nobody reads; a sibling may be doing the same."""
    try:
        for name in disk.names(path):
            disk.remove(f"{path}/{name}")
        disk.remove_folder(path)
    except FileNotFoundError:
        pass
