"""`tollway nodes`: tokens of nodes and of groups of nodes, what each node is at, and what is done when one is gone.

Rule: a node that is not there is a typing error. What ends a process that lives, or gives facts up, asks before it does it.
"""

import argparse

from collector.accounts.accounts import Mistake
from collector.accounts.audit_log import record
from collector.api.shapes import timestamp
from collector.cli.arguments import add, family, irrevocable
from collector.cli.printing import confirm, operator, say, show, show_one, tell
from collector.leasing import enrolment, nodes
from collector.leasing.forfeit import Forfeited, forfeit_machine, living_epochs, nodes_of_machine
from collector.store.contract import Store, Tx
from usage.pricing import dollars


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    actions = family(subparsers, "nodes", "edge nodes, their groups, and their tokens")
    add(actions, "list", list_nodes, "all nodes")
    add(actions, "groups", list_groups, "all groups of nodes")
    create = add(actions, "create", create_token, "make a token, for a node or a group; it is shown once", makes_store=True)
    _whose(create, "for the machines that name themselves, in this group")
    end = add(actions, "revoke", revoke, "revoke all tokens of a node, or of a group")
    _whose(end, "of this group")
    end.add_argument("--keep-newest", action="store_true", help="only those that the newest one has replaced; nobody has to stop")
    gap = add(actions, "accept-gap", accept_gap, "give up facts a node will never send again, after a restore")
    gap.add_argument("node", help="as `tollway nodes list` shows it")
    irrevocable(gap)
    gone = add(actions, "forfeit", forfeit_node, "a node's disk is gone for good: what its dead epochs leased returns")
    gone.add_argument("node", help="as `tollway nodes list` shows it")
    gone.add_argument("--living", action="store_true", help="also the epoch of a process that was heard of a minute ago")
    irrevocable(gone)


def _whose(parser: argparse.ArgumentParser, text: str) -> None:
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("node", nargs="?", default="", help="one node")
    whose.add_argument("--group", default="", help=text)


def create_token(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> str:
        if arguments.group:
            token = enrolment.create_group_token(tx, arguments.group, now)
            record(tx, operator(), "group.create_token", arguments.group, {}, now)
            return token
        token = nodes.create_token(tx, arguments.node, now)
        record(tx, operator(), "node.create_token", arguments.node, {"label": f"{token[:7]}..."}, now)
        return token

    token = store.write(work)
    kind, name = ("group", arguments.group) if arguments.group else ("node", arguments.node)
    if arguments.json:
        return show_one({kind: name, "token": token}, as_json=True)
    say(f"{kind}: {name}", f"token: {token}", "Keep the token: it is shown only now. The edge reads TOLLWAY_NODE_TOKEN.")
    if arguments.group:
        say(f"Every machine of the group may have the same: each makes itself a node {name}-… with a token of its own.")
    return 0


def list_groups(arguments: argparse.Namespace, store: Store, now: int) -> int:
    rows = store.read(enrolment.list_groups)
    return show(
        [{"group": row.group, "tokens": row.tokens, "nodes": row.nodes, "revoked_nodes": row.revoked_nodes} for row in rows],
        arguments.json,
    )


def list_nodes(arguments: argparse.Namespace, store: Store, now: int) -> int:
    rows = store.read(lambda tx: nodes.list_nodes(tx, now))
    return show(
        [
            {
                "node": row.node,
                "group": row.group or None,
                "epoch": row.newest_epoch,
                "open_epochs": row.open_epochs,
                "acked_through": row.acked_through,
                "behind_gap": row.behind,
                "lost": row.lost,
                "rejected": row.rejected,
                "leased": dollars(row.leased_nano),
                "stranded": dollars(row.stranded_nano),
                "seen_at": timestamp(row.seen_ms) if row.seen_ms else None,
                "tokens": row.tokens,
                "revoked": row.is_revoked,
                "rejected_why": row.rejected_why or None,
            }
            for row in rows
        ],
        arguments.json,
    )


def revoke(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> int:
        if arguments.group:
            count = enrolment.revoke_group(tx, arguments.group, now, keeps_newest=arguments.keep_newest)
            record(tx, operator(), "group.revoke_tokens", arguments.group, {"tokens": count}, now)
            return count
        end = nodes.revoke_older_tokens if arguments.keep_newest else nodes.revoke_tokens
        count = end(tx, arguments.node, now)
        record(tx, operator(), "node.revoke_tokens", arguments.node, {"tokens": count}, now)
        return count

    count = store.write(work)
    if arguments.group:
        rest = "; the newest one stays" if arguments.keep_newest else ""
        said = f"revoked {count} tokens of group {arguments.group}: its nodes go on, and no machine is added with one of these"
        return tell({"group": arguments.group, "tokens": count}, arguments.json, said + rest)
    figures = {"node": arguments.node, "tokens": count}
    if arguments.keep_newest:
        said = f"revoked {count} tokens of node {arguments.node}, which goes on with its newest one"
        return tell(figures, arguments.json, said)
    said = f"revoked {count} tokens of node {arguments.node}: with its next poll, within two seconds, it takes no more paid work"
    rows = store.read(lambda tx: nodes.list_nodes(tx, now))
    group = next((row.group for row in rows if row.group and row.node.partition("@")[0] == arguments.node), "")
    more = (
        f"Group {group} does not admit it again under this name. Whoever has its machine may have the group's token too:"
        f" `tollway nodes revoke --group {group}`, then give the others a new one."
    )
    return tell(figures | {"group": group or None}, arguments.json, said, *([more] if group else []))


def forfeit_node(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> Forfeited:
        nodes.check_machine(tx, arguments.node)
        if arguments.living:
            names = nodes_of_machine(tx, arguments.node)
            living = [epoch for name in names for epoch in living_epochs(tx, name, now)]
            if living:
                what = (
                    f"node {arguments.node} lives (epoch {living[-1]}): what it holds goes back, and it takes no more paid work"
                )
                confirm(arguments.yes, what)
        done = forfeit_machine(tx, arguments.node, now, with_living=arguments.living)
        detail = {"epochs": done.epochs, "returned": dollars(done.returned_nano)}
        record(tx, operator(), "node.forfeit", arguments.node, detail, now)
        return done

    done = store.write(work)
    returned = dollars(done.returned_nano)
    figures = {"node": arguments.node, "epochs": done.epochs, "returned": returned, "living_epochs": list(done.living)}
    said = f"forfeited {done.epochs} epochs of node {arguments.node}: {returned} dollars went back to their accounts"
    left = [f"left alone, because it lives: epoch {', '.join(map(str, done.living))}"] if done.living else []
    return tell(figures, arguments.json, said, *left)


def accept_gap(arguments: argparse.Namespace, store: Store, now: int) -> int:
    missing = store.read(lambda tx: nodes.missing(tx, arguments.node))
    if not missing:
        raise Mistake(f"node {arguments.node} has no gap: nothing was given up")
    confirm(arguments.yes, f"{missing} facts of node {arguments.node} are given up, and charged to nobody if they ever come")

    def work(tx: Tx) -> int:
        lost = nodes.accept_gaps(tx, arguments.node, now)
        record(tx, operator(), "node.accept_gap", arguments.node, {"lost": lost}, now)
        return lost

    lost = store.write(work)
    return tell({"node": arguments.node, "lost": lost}, arguments.json, f"gave up {lost} facts of node {arguments.node}")
