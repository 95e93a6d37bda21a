"""Who is calling, as far as that can be told without asking anybody: from the raw `authorization` header to the key's digest.

Rule: a header that cannot be one of our keys is refused here, by shape and checksum, and never causes a look-up.
Rule: neither the header nor a part of it is logged, shown or kept beyond its connection; what leaves this file is a digest or a
reason.
"""

import enum

from usage import key

_LENGTH = len("sk_live_") + 6 + 1 + 32 + 6


class Reason(enum.Enum):
    """Why a header is no key; the value is the sentence the caller may read."""

    MISSING = "No API key was sent. Put it in the Authorization header: Bearer sk_live_..."
    NOT_BEARER = "The Authorization header must use the Bearer scheme."
    NON_ASCII = "The Authorization header must be ASCII."
    MALFORMED = "The API key is malformed: it was cut, mistyped or issued elsewhere."


def digest_of(authorization: bytes | None) -> str | Reason:
    """The digest by which the collector knows the key, or the reason why the header cannot hold one."""
    found = key_of(authorization)
    return found if isinstance(found, Reason) else key.digest(found)


def known_digest(authorization: bytes | None) -> str:
    """The digest of what stands in the header as most clients write it, whatever it is: for a look among the keys that are known,
    which were judged before."""
    return key.digest(authorization[7:]) if authorization is not None and authorization[:7] == b"Bearer " else ""


def key_of(authorization: bytes | None) -> bytes | Reason:
    """The key in the header, with a right shape and checksum."""
    if not authorization:
        return Reason.MISSING
    secret = authorization[7:]
    if authorization[:7] != b"Bearer ":
        if not authorization.isascii():
            return Reason.NON_ASCII
        scheme, _, rest = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return Reason.NOT_BEARER
        secret = rest
    if len(secret) != _LENGTH:
        secret = secret.strip(b" \t")
        if not secret:
            return Reason.MISSING
    if key.is_well_formed(secret):
        return secret
    return Reason.MALFORMED if secret.isascii() else Reason.NON_ASCII
