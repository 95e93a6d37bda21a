"""Machines that make themselves nodes: a group's token, what it admits, and which machine a node is at the moment.

Rule: a group's token makes nodes whose names begin with the group's, and does nothing else; each node has a token of its own from
then on, which can be revoked alone, and a revoked node is not admitted again by its group. Rule: a node is one machine at a time:
another one of the same name is refused while the first is alive, so that it is not fenced by a setting that was copied.
"""

import secrets

import msgspec

from collector.accounts.accounts import NAME, Mistake
from collector.accounts.audit_log import Actor, record
from collector.leasing.instance import refuse_double
from collector.leasing.leasing import lock_node
from collector.leasing.nodes import digest_of, issue_token
from collector.store.contract import Tx
from usage.protocol import GROUP_PREFIX, Enrol, Refused

GROUP_CHARS_MAX = 40
INSTANCE_CHARS_MAX = 64


class Group(msgspec.Struct, frozen=True):
    """A group as `nodes groups` shows it."""

    group: str
    tokens: int
    nodes: int
    revoked_nodes: int


def create_group_token(tx: Tx, group: str, now_ms: int) -> str:
    """A new token for a group; older ones stay valid until they are revoked."""
    if NAME.match(group) is None or len(group) > GROUP_CHARS_MAX or "." in group:
        raise Mistake(f"{group!r} is no group name: up to {GROUP_CHARS_MAX} letters, digits, '_', '@' and '-'")
    token = f"{GROUP_PREFIX}{group}.{secrets.token_urlsafe(32)}"
    tx.run(
        "INSERT INTO group_tokens (digest, node_group, label, created_ms) VALUES (?, ?, ?, ?)",
        *(digest_of(token), group, f"{GROUP_PREFIX}{group}....", now_ms),
    )
    return token


def revoke_group(tx: Tx, group: str, now_ms: int, *, keeps_newest: bool = False) -> int:
    """Revoke all tokens of a group, or all that the newest has replaced: its nodes stay, and none is added by these. How many
    were valid. Mistake: there is no such group."""
    if tx.row("SELECT digest FROM group_tokens WHERE node_group = ?", group) is None:
        known = ", ".join(one.group for one in list_groups(tx)) or "none"
        raise Mistake(f"there is no group {group!r}; there is {known}")
    valid = tx.rows("SELECT digest FROM group_tokens WHERE node_group = ? AND revoked_ms IS NULL ORDER BY created_ms DESC", group)
    ending = valid[1:] if keeps_newest else valid
    for (digest,) in ending:
        tx.run("UPDATE group_tokens SET revoked_ms = ? WHERE digest = ?", now_ms, digest)
    return len(ending)


def list_groups(tx: Tx) -> list[Group]:
    """Every group that was ever given a token."""
    valid = "SELECT node_group, SUM(CASE WHEN revoked_ms IS NULL THEN 1 ELSE 0 END) FROM group_tokens GROUP BY node_group"
    tokens: dict[str, int] = dict(tx.rows(valid))
    nodes = tx.rows("SELECT node_group, revoked_ms FROM nodes WHERE node_group <> ''")
    return [
        Group(
            group,
            int(tokens[group]),
            sum(row[0] == group and row[1] is None for row in nodes),
            sum(row[0] == group and row[1] is not None for row in nodes),
        )
        for group in sorted(tokens)
    ]


def find_group(tx: Tx, token: str) -> str:
    """The group that a token is of. Refused `bad_node_token`."""
    row = tx.row("SELECT node_group FROM group_tokens WHERE digest = ? AND revoked_ms IS NULL", digest_of(token))
    if row is None:
        raise Refused("bad_node_token", "this group's token is unknown or revoked; `tollway nodes create --group G` makes one")
    group: str = row[0]
    return group


def enrol(tx: Tx, token: str, message: Enrol, origin: str, now_ms: int) -> str:
    """The node's own token. Refused `bad_node_token`, `revoked` or `node_in_use`, with what would help."""
    group, node = find_group(tx, token), message.node
    if NAME.match(node) is None or not node.removeprefix(f"{group}-") or not node.startswith(f"{group}-"):
        raise Refused("bad_node_token", f"a token of group {group} makes nodes named {group}-…, not {node!r}")
    if not 0 < len(message.instance) <= INSTANCE_CHARS_MAX or not message.instance.isalnum():
        raise Refused("invalid", "instance is up to 64 letters and digits")
    was_there = tx.row("SELECT node FROM nodes WHERE node = ?", node) is not None
    lock_node(tx, node, now_ms)
    machine = node.partition("@")[0]
    is_revoked = tx.row("SELECT node FROM nodes WHERE node IN (?, ?) AND revoked_ms IS NOT NULL", node, machine)
    if is_revoked is not None:
        raise Refused("revoked", f"node {machine} was revoked; `tollway nodes create {machine}` admits it again")
    known = tx.row("SELECT node_group FROM nodes WHERE node = ?", node)
    if known is None or known[0] not in ((group,) if was_there else (group, "")):
        raise Refused("bad_node_token", f"node {node} is there already and not of group {group}: name this machine otherwise")
    refuse_double(tx, node, message.instance, now_ms)
    tx.run("UPDATE node_tokens SET revoked_ms = ? WHERE node = ? AND revoked_ms IS NULL", now_ms, node)
    own = issue_token(tx, node, now_ms)
    tx.run("UPDATE nodes SET node_group = ?, instance = ? WHERE node = ?", group, message.instance, node)
    record(tx, Actor(f"group {group}", origin), "node.enrol", node, {"group": group}, now_ms)
    return own
