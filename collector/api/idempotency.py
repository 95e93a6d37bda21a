"""A POST with an `Idempotency-Key` is carried out once: the same key brings the same answer, with another body it is refused.

Rule: a secret in an answer is not stored for that; it is made again from the caller's own credential and a stored salt.
"""

import hashlib
import hmac
from typing import Any

import msgspec

from collector.api.operation import Call, Operation
from collector.api.problem import ApiError
from collector.api.shapes import encode
from collector.store.contract import Tx

IDEMPOTENCY_MS = 86_400_000
"""How long a repeated POST brings the first one's answer."""
_SECRET = "\ue000secret\ue000"


def once(tx: Tx, call: Call, key: str, what: str, raw: bytes, operation: Operation) -> tuple[int, Any]:
    """Carry out what this `Idempotency-Key` was not yet used for; else the first answer again."""
    if len(key) > 255 or not key.isprintable():
        raise ApiError(400, "an Idempotency-Key has up to 255 printable characters", "invalid_parameter", "Idempotency-Key")
    holder = call.caller.key.digest if call.caller.key else call.caller.credential.digest if call.caller.credential else ""
    scope = f"{holder} {what}"
    fingerprint = hashlib.sha256(encode([call.caller.account, sorted(call.path.items())]) + raw).hexdigest()
    tx.run("DELETE FROM idempotency WHERE at_ms < ?", call.now_ms - IDEMPOTENCY_MS)
    salt = hashlib.sha256(f"{scope}\n{key}\n{call.now_ms}".encode()).hexdigest()
    is_first = tx.run(
        "INSERT INTO idempotency (scope, idempotency_key, fingerprint, salt, status, answer, at_ms) VALUES (?, ?, ?, ?, 0, '', ?)"
        " ON CONFLICT (scope, idempotency_key) DO NOTHING",
        *(scope, key, fingerprint, salt, call.now_ms),
    )
    if not is_first:
        row = tx.row(
            "SELECT fingerprint, salt, status, answer FROM idempotency WHERE scope = ? AND idempotency_key = ?", scope, key
        )
        assert row is not None
        if row[0] != fingerprint:
            raise ApiError(422, "this Idempotency-Key was used for another request", "idempotency_conflict", "Idempotency-Key")
        kept: str = row[3]
        if operation.secret is not None:
            kept = kept.replace(_SECRET, operation.secret(tx, _entropy(call, row[1]), msgspec.json.decode(kept)))
        return row[2], kept.encode()
    entropy = _entropy(call, salt)
    answer = operation.handle(tx, msgspec.structs.replace(call, entropy=entropy))
    stored = encode(answer).decode()
    secret = getattr(answer, "key", None) or getattr(answer, "secret", None)
    if isinstance(secret, str):
        stored = stored.replace(secret, _SECRET)
    tx.run(
        "UPDATE idempotency SET status = ?, answer = ? WHERE scope = ? AND idempotency_key = ?",
        *(operation.status, stored, scope, key),
    )
    return operation.status, answer


def _entropy(call: Call, salt: str) -> bytes:
    """32 bytes that only who holds the credential can make again; the store has its digest, which is no help."""
    return hmac.digest(call.caller.secret.encode(), f"tollway idempotency {salt}".encode(), "sha256")
