"""Which key, of whatever role, an operator names: by its id, or by the whole of it.

Rule: who mistypes reads what is near; a key that was written out is never repeated.
"""

from collections.abc import Sequence

from collector.accounts import roles
from collector.accounts.accounts import Mistake, nearest
from collector.accounts.keys import Key, find_key, find_key_by_id
from collector.accounts.roles import Credential
from collector.store.contract import Tx
from usage.key import digest, is_well_formed


def find(tx: Tx, named: str, others: Sequence[str] = ()) -> Key | Credential:
    """A key by its id, or by its whole text; `others` are names that could be meant too. Mistake."""
    by_digest = digest(named.encode())
    key = find_key_by_id(tx, named) or find_key(tx, by_digest)
    if key is not None:
        return key
    credentials = [one for one in roles.list_credentials(tx) if one.role != "operator"]
    for one in credentials:
        if named == one.credential_id or by_digest == one.digest:
            return one
    if is_well_formed(named.encode()) or roles.role_of(named):
        raise Mistake("there is no such key here; `tollway keys list` shows what there is")
    ids = [row[0] for row in tx.rows("SELECT key_id FROM keys")] + [one.credential_id for one in credentials]
    what = "key and no account" if others else "key with the id"
    raise Mistake(f"there is no {what} {named!r}{nearest(named, [*ids, *others])}; `tollway keys list` shows them")
