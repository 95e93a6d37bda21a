"""Who is calling the account's API, and what that one may do.

Rule: one credential per request, in `Authorization: Bearer`, `x-api-key` or `api-key`; its shape is checked before anything is
looked up. Rule: the role is the credential's, the account too; only the operator names an account.
"""

from typing import Literal

import msgspec
from starlette.requests import Request

from collector.accounts.audit_log import Actor
from collector.accounts.keys import Key, find_key
from collector.accounts.marks import Marks
from collector.accounts.roles import Credential, find_credential, role_of
from collector.api.problem import ApiError
from collector.store.contract import Tx
from usage.key import digest, is_well_formed

UNKNOWN = "this key is unknown, revoked or expired"
KEY_HEADERS = ("x-api-key", "api-key")
ApiRole = Literal["inference", "read", "management", "operator"]
ALL: frozenset[ApiRole] = frozenset(("inference", "read", "management", "operator"))
READERS: frozenset[ApiRole] = frozenset(("read", "management", "operator"))
MANAGERS: frozenset[ApiRole] = frozenset(("management", "operator"))
OPERATOR: frozenset[ApiRole] = frozenset(("operator",))


class ApiCaller(msgspec.Struct, frozen=True):
    """`account` is "" for an operator who named none. `secret` is the credential itself; it is kept nowhere."""

    role: ApiRole
    account: str
    secret: str
    origin: str
    key: Key | None = None
    credential: Credential | None = None

    @property
    def actor(self) -> Actor:
        """As the audit log names it."""
        name = self.key.label if self.key else self.credential.label if self.credential else "nobody"
        return Actor(name, self.origin)

    def __repr__(self) -> str:
        return f"<ApiCaller {self.role} of {self.account or 'no account'}>"


def secret_of(request: Request) -> str:
    """The credential as sent; ApiError 401 when there is none, or it cannot be one of ours."""
    scheme, _, bearer = request.headers.get("authorization", "").strip().partition(" ")
    sent = [bearer] if scheme.lower() == "bearer" else [scheme]
    sent += (request.headers.get(name, "") for name in KEY_HEADERS)
    secrets = {secret.strip() for secret in sent} - {""}
    if len(secrets) > 1:
        raise ApiError(401, "Authorization, x-api-key and api-key carry different keys: send one of them", "invalid_api_key")
    if not secrets:
        raise ApiError(401, "send your key as `Authorization: Bearer sk_...`, or in `x-api-key`", "invalid_api_key")
    secret = secrets.pop()
    if not (is_well_formed(secret.encode("latin-1")) or role_of(secret)):
        raise ApiError(401, "the key is malformed: it was cut, mistyped or issued elsewhere", "invalid_api_key")
    return secret


async def credential_of(request: Request, marks: Marks) -> str:
    """`secret_of`, and its mark: what was invented costs no transaction. ApiError 401."""
    secret = secret_of(request)
    if not await marks.may_be_ours(secret):
        raise ApiError(401, UNKNOWN, "invalid_api_key")
    return secret


def identify(tx: Tx, secret: str, account: str, origin: str, now_ms: int) -> ApiCaller:
    """Who holds this credential; ApiError 401 when it is unknown, revoked or expired."""
    if role_of(secret) is None:
        key = find_key(tx, digest(secret.encode()))
        if key is not None and key.is_usable(now_ms):
            return ApiCaller("inference", key.account, secret, origin, key=key)
    else:
        found = find_credential(tx, secret, now_ms)
        if found is not None:
            named = account if found.role == "operator" else found.account
            return ApiCaller(found.role, named, secret, origin, credential=found)
    raise ApiError(401, UNKNOWN, "invalid_api_key")
