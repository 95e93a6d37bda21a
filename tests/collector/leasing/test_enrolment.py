"""Enrolment on both databases: groups and their nodes as `nodes groups` counts them, and many that enrol at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from collector.leasing import enrolment, nodes
from collector.store.contract import Store
from tests.collector.facts import NOON_MS
from usage.protocol import Enrol, Refused, group_of, name_in


def test_groups_are_counted(store: Store) -> None:
    """Tokens that are valid, nodes that are admitted, those that were revoked."""
    first = store.write(lambda tx: enrolment.create_group_token(tx, "edge", NOON_MS))
    store.write(lambda tx: enrolment.create_group_token(tx, "edge", NOON_MS))
    store.write(lambda tx: enrolment.create_group_token(tx, "other_group", NOON_MS))
    for number in range(3):
        store.write(lambda tx, number=number: enrolment.enrol(tx, first, Enrol(f"edge-{number}", "i"), "", NOON_MS))  # type: ignore[misc]
    store.write(lambda tx: nodes.revoke_tokens(tx, "edge-1", NOON_MS))
    assert store.read(enrolment.list_groups) == [
        enrolment.Group("edge", 2, 2, 1),
        enrolment.Group("other_group", 1, 0, 0),
    ]
    assert store.write(lambda tx: enrolment.revoke_group(tx, "edge", NOON_MS)) == 2
    with pytest.raises(Refused):
        store.write(lambda tx: enrolment.enrol(tx, first, Enrol("edge-3", "i"), "", NOON_MS))
    assert {row.node for row in store.read(lambda tx: nodes.list_nodes(tx, NOON_MS))} == {"edge-0", "edge-1", "edge-2"}


def test_machines_enrol_at_once(store: Store) -> None:
    """Eight of them, and one of them eight times: each node has one valid token, the one that was given out last."""
    group = store.write(lambda tx: enrolment.create_group_token(tx, "edge", NOON_MS))

    def enrol(number: int) -> tuple[str, str]:
        node = f"edge-{number if number < 8 else 'same'}"
        return node, store.write(lambda tx: enrolment.enrol(tx, group, Enrol(node, "i"), "", NOON_MS))

    with ThreadPoolExecutor(8) as pool:
        given = list(pool.map(enrol, range(16)))
    rows = {row.node: row.tokens for row in store.read(lambda tx: nodes.list_nodes(tx, NOON_MS))}
    assert rows == dict.fromkeys({node for node, _ in given}, 1)

    def speaks_for(token: str) -> str:
        try:
            return store.read(lambda tx: nodes.node_of_token(tx, token))
        except Refused as refused:
            return f"{refused.code}: {refused}"

    found = [(node, speaks_for(token)) for node, token in given]
    assert sum(spoken == node for node, spoken in found) == 9
    void = "revoked: this token of node edge-same was revoked, and another one is given out"
    assert [spoken for node, spoken in found if spoken != node] == [void] * 7


@pytest.mark.parametrize(
    ("token", "group"),
    [
        ("ng_edge.abc", "edge"),
        ("ng_a-b_c.x_z", "a-b_c"),
        ("nt_edge.abc", ""),
        ("ng_edge", ""),
        ("ng_.x", ""),
        ("ng_edge.", ""),
        ("", ""),
    ],
)
def test_group_is_read_from_its_token(token: str, group: str) -> None:
    assert group_of(token) == group


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        ("e784", "edge-e784"),
        ("edge-0", "edge-0"),
        ("edge", "edge-edge"),
        ("edgy-1", "edge-edgy-1"),
        ("x" * 70, "edge-" + "x" * 58),
    ],
)
def test_machine_is_named_in_its_group(machine: str, name: str) -> None:
    """By its own name, with the group before it unless it begins with that; never longer than a name may be."""
    assert name_in("edge", machine) == name
