"""Epochs and leases in the store: boot, acquire, give back, close; `forfeit` is the operator's way to end one.

Rule: grants go to a node's newest epoch only, while that is open. Rule: a lease gives back only by a return, a close or an
operator's forfeit, never by a clock. Rule: an epoch is greater than every one before, also after an old database was restored:
it is at least the Unix time in seconds, so a number issued after the snapshot is not issued again. Repeated messages change
nothing.
"""

from collector.accounts.keys import Key, deployment_secret, find_key, has_unmarked_keys, key_version, within_one_limit
from collector.accounts.window import first_day
from collector.leasing.grant import ACTIVE_MS, SHARE_PERCENT, TTL_S, PurseState, size_grant
from collector.leasing.instance import refuse_double
from collector.leasing.recall import is_recalled, reachable_nano, recall
from collector.ledger.bookkeeping import lock_accounts, open_lease, post
from collector.ledger.ledger import LeaseKey, give_back, grant
from collector.store.contract import Row, Tx, placeholders
from usage.protocol import Acquire, Acquired, Boot, Booted, Close, Closed, Granted, Refused, Return, Returned


def lock_node(tx: Tx, node: str, now_ms: int) -> int:
    """The node's newest epoch, 0 for a new node; its row stays ours until the transaction ends."""
    tx.run("INSERT INTO nodes (node, newest_epoch, created_ms) VALUES (?, 0, ?) ON CONFLICT (node) DO NOTHING", node, now_ms)
    row = tx.row("SELECT newest_epoch FROM nodes WHERE node = ?" + tx.lock, node)
    assert row is not None
    newest: int = row[0]
    return newest


def epoch_state(tx: Tx, node: str, epoch: int) -> str:
    """open, closed, forfeited; empty for an epoch this store never issued."""
    row = tx.row("SELECT state FROM epochs WHERE node = ? AND epoch = ?", node, epoch)
    return row[0] if row else ""


def boot(tx: Tx, message: Boot, now_ms: int) -> Booted:
    """Issue the next epoch, or the one this boot was given already."""
    newest = lock_node(tx, message.node, now_ms)
    row = tx.row("SELECT epoch FROM epochs WHERE node = ? AND boot_id = ?", message.node, message.boot_id)
    if row:
        epoch: int = row[0]
    else:
        refuse_double(tx, message.node, message.instance, now_ms)
        highest = tx.row("SELECT MAX(epoch) FROM epochs WHERE node = ?", message.node)
        epoch = max(newest + 1, ((highest and highest[0]) or 0) + 1, now_ms // 1000)
        tx.run("UPDATE nodes SET newest_epoch = ?, instance = ? WHERE node = ?", epoch, message.instance, message.node)
        tx.run(
            "INSERT INTO epochs (node, epoch, boot_id, seen_ms, complete_ms, key_cursor, fingerprint)"
            " VALUES (?, ?, ?, ?, ?, ?, 0)",
            message.node,
            epoch,
            message.boot_id,
            now_ms,
            now_ms,
            key_version(tx),
        )
    older = tx.rows(
        "SELECT epoch FROM epochs WHERE node = ? AND epoch < ? AND state = 'open' ORDER BY epoch", message.node, epoch
    )
    return Booted(
        epoch,
        open_epochs=tuple(row[0] for row in older),
        deployment=deployment_secret(tx),
        takes_unmarked=has_unmarked_keys(tx),
        key_version=key_version(tx),
        now_ms=now_ms,
    )


def is_fenced(tx: Tx, node: str, epoch: int, newest: int) -> bool:
    """Whether this epoch may get no credit any more."""
    return epoch != newest or epoch_state(tx, node, epoch) != "open"


def acquire(tx: Tx, message: Acquire, now_ms: int, share_percent: int = SHARE_PERCENT) -> Acquired:
    """Credit for a key's purse and the key's policy; Refused `fenced` for an epoch that is not the newest."""
    newest = lock_node(tx, message.node, now_ms)
    if is_fenced(tx, message.node, message.epoch, newest):
        raise Refused("fenced", f"epoch {message.epoch} of node {message.node} gets no more credit; the newest is {newest}")
    return grant_credit(tx, message, now_ms, share_percent)


def look_up(tx: Tx, message: Acquire, now_ms: int) -> Acquired:
    """The policy alone, for `want_nano` 0: reads only, so no epoch is too old for it."""
    key = find_key(tx, message.digest)
    if key is None:
        return Acquired()
    row = tx.row("SELECT available_nano FROM accounts WHERE account = ?", key.account)
    assert row is not None
    available_nano, by = purse_available(tx, key, row[0], now_ms)
    return Acquired(key.policy(), None, available_nano, "" if available_nano else by)


def grant_credit(tx: Tx, message: Acquire, now_ms: int, share_percent: int = SHARE_PERCENT) -> Acquired:
    """Size and make a grant; the caller has locked the node and checked the fence."""
    key = find_key(tx, message.digest)
    if key is None:
        return Acquired()
    policy = key.policy()
    account_nano = lock_accounts(tx, [key.account])[key.account]
    repeated = _granted_before(tx, message)
    available_nano, by = purse_available(tx, key, account_nano, now_ms)
    if repeated is not None or message.want_nano == 0 or not key.is_usable(now_ms):
        return Acquired(policy, repeated, available_nano)
    nodes = _nodes_active(tx, key.account, message.node, now_ms)
    is_wanted = is_recalled(tx, key.account, key.purse, now_ms)
    lease = LeaseKey(message.node, message.epoch, key.purse)
    purse = PurseState(available_nano, nodes, is_wanted, leased_nano=open_lease(tx, lease)[0])
    size = size_grant(message.want_nano, message.min_nano, purse, share_percent)
    if size.amount_nano == 0:
        return Acquired(policy, None, available_nano, by, _call_back(tx, message, key, by, lease, now_ms))
    post(tx, grant(key.account, lease, account_nano, size.amount_nano, message.grant_id), now_ms)
    tx.run(
        "INSERT INTO grants (grant_id, node, epoch, purse, granted_nano, low_water_nano, final) VALUES (?, ?, ?, ?, ?, ?, ?)",
        message.grant_id,
        lease.node,
        lease.epoch,
        lease.purse,
        size.amount_nano,
        size.low_water_nano,
        int(size.final),
    )
    granted = Granted(key.purse, message.grant_id, size.amount_nano, TTL_S, size.low_water_nano, size.final)
    return Acquired(policy, granted, available_nano - size.amount_nano)


def _call_back(tx: Tx, message: Acquire, key: Key, by: str, lease: LeaseKey, now_ms: int) -> int:
    """Nano-dollars that living nodes hold of what was refused, which are recalled for the request that waits; 0 for a renewal,
    for which none waits."""
    if message.min_nano <= 1:
        return 0
    scopes = [key.account] if by == "credits" else purses_within(tx, key)
    found_nano = sum(reachable_nano(tx, scope, lease, now_ms) for scope in scopes)
    for scope in scopes if found_nano else ():
        recall(tx, scope, now_ms)
    return found_nano


def _granted_before(tx: Tx, message: Acquire) -> Granted | None:
    row = tx.row(
        "SELECT node, epoch, purse, granted_nano, low_water_nano, final FROM grants WHERE grant_id = ?", message.grant_id
    )
    if row is None:
        return None
    node, epoch, purse, granted_nano, low_water_nano, final = row
    if (node, epoch) != (message.node, message.epoch):
        raise Refused("invalid", "that grant_id was used by another node or epoch")
    return Granted(purse, message.grant_id, granted_nano, TTL_S, low_water_nano, bool(final))


def purse_available(tx: Tx, key: Key, account_nano: int, now_ms: int) -> tuple[int, str]:
    """(what the key's purse could still give, what bounds it): the account, or the key's limit less spent and open grants."""
    if key.limit_nano is None:
        return account_nano, "credits"
    left_nano = max(key.limit_nano - spent_in_window(tx, key, now_ms) - leased_nano(tx, key), 0)
    return (left_nano, "key_limit") if left_nano < account_nano else (account_nano, "credits")


def spent_in_window(tx: Tx, key: Key, now_ms: int) -> int:
    """Nano-dollars used of the key's limit since it was last reset, also by the keys that share it."""
    return spent_since(tx, key.account, within_one_limit(tx, key.key_id), first_day(key.limit_reset, now_ms))


def spent_since(tx: Tx, account: str, key_ids: list[str], day: int) -> int:
    """Nano-dollars that these keys of an account have used from a UTC day on."""
    return sum_of(
        tx,
        "SELECT CAST(COALESCE(SUM(cost_nano), 0) AS BIGINT) FROM usage_days"
        f" WHERE account = ? AND key_id IN ({placeholders(len(key_ids))}) AND day >= ?",
        account,
        *key_ids,
        day,
    )


def purses_within(tx: Tx, key: Key) -> list[str]:
    """The purses whose leases lie within the key's limit; for a key without a limit its account."""
    if key.limit_nano is None:
        return [key.purse]
    return [f"{key.account}/{key_id}" for key_id in within_one_limit(tx, key.key_id)]


def leased_nano(tx: Tx, key: Key) -> int:
    """Nano-dollars in open leases within the key's limit."""
    return sum(open_nano(tx, key.account, purse) for purse in purses_within(tx, key))


def open_nano(tx: Tx, account: str, purse: str = "") -> int:
    """Nano-dollars that lie in open leases of an account, or of one of its purses."""
    sql = (
        "SELECT CAST(COALESCE(SUM(granted_nano - settled_nano - returned_nano), 0) AS BIGINT) FROM leases"
        " WHERE account = ? AND state = 'open'"
    )
    return sum_of(tx, sql + " AND purse = ?", account, purse) if purse else sum_of(tx, sql, account)


def sum_of(tx: Tx, sql: str, *params: object) -> int:
    """The one integer that a query gives."""
    row = tx.row(sql, *params)
    assert row is not None
    total: int = row[0]
    return total


def _nodes_active(tx: Tx, account: str, node: str, now_ms: int) -> int:
    others = sum_of(
        tx,
        "SELECT COUNT(DISTINCT node) FROM leases WHERE account = ? AND state = 'open' AND touched_ms > ? AND node <> ?",
        account,
        now_ms - ACTIVE_MS,
        node,
    )
    return others + 1


def take_back(tx: Tx, message: Return, now_ms: int) -> Returned:
    """Unspent credit from a lease to its purse, once per `return_id`; of a closed lease nothing is left to return."""
    assert message.amount_nano >= 0
    lock_node(tx, message.node, now_ms)
    known = tx.row("SELECT node, epoch, returned_nano FROM returns WHERE return_id = ?", message.return_id)
    if known is not None:
        if (known[0], known[1]) != (message.node, message.epoch):
            raise Refused("invalid", "that return_id was used by another node or epoch")
        return Returned(known[2])
    lease = LeaseKey(message.node, message.epoch, message.purse)
    account = message.purse.partition("/")[0]
    lock_accounts(tx, [account])
    left_nano, state = open_lease(tx, lease)
    if state != "open":
        return Returned(0)
    returned_nano = min(message.amount_nano, left_nano)
    post(tx, give_back(account, lease, left_nano, returned_nano, ref=message.return_id), now_ms)
    tx.run(
        "INSERT INTO returns (return_id, node, epoch, returned_nano) VALUES (?, ?, ?, ?)",
        message.return_id,
        lease.node,
        lease.epoch,
        returned_nano,
    )
    return Returned(returned_nano)


def close(tx: Tx, message: Close, now_ms: int) -> Closed:
    """End an epoch whose records are all here; what its leases still hold returns to the purses."""
    lock_node(tx, message.node, now_ms)
    row = tx.row("SELECT state, acked_through FROM epochs WHERE node = ? AND epoch = ?", message.node, message.epoch)
    if row is None:
        return Closed(message.final_seq <= 0, 0)
    state, acked_through = row
    if acked_through < message.final_seq:
        return Closed(False, acked_through)
    if state == "open":
        end_epoch(tx, message.node, message.epoch, "closed", now_ms)
        tx.run("UPDATE epochs SET final_seq = ? WHERE node = ? AND epoch = ?", message.final_seq, message.node, message.epoch)
    return Closed(True, acked_through)


def end_epoch(tx: Tx, node: str, epoch: int, state: str, now_ms: int) -> int:
    """Close or forfeit: leases give back what they hold and take no more. Nano-dollars that went back."""
    rows: list[Row] = tx.rows(
        "SELECT purse, account, granted_nano - settled_nano - returned_nano FROM leases WHERE node = ? AND epoch = ?"
        " AND state = 'open' ORDER BY account, purse",
        node,
        epoch,
    )
    lock_accounts(tx, [account for _, account, _ in rows])
    kind = "close" if state == "closed" else "forfeit"
    entries = [
        entry for purse, account, left in rows for entry in give_back(account, LeaseKey(node, epoch, purse), left, left, kind)
    ]
    post(tx, entries, now_ms)
    for table in ("leases", "epochs"):
        tx.run(f"UPDATE {table} SET state = ? WHERE node = ? AND epoch = ?", state, node, epoch)
    for table in ("grants", "returns"):
        tx.run(f"DELETE FROM {table} WHERE node = ? AND epoch = ?", node, epoch)
    return sum(entry.amount_nano for entry in entries)
