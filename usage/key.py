"""The caller's key: `sk_live_<id>_<secret><mark><checksum>`, its shape, and the digest it is known by.

Rule: a malformed key is told apart without any look-up; the secret is never stored, only the SHA-256 of the whole key.
Strategy: the checksum is public and finds typing errors. The mark is an HMAC under the deployment's own secret, which its
collector gives to its edges: an invented key with a right checksum is told apart without a look-up too. It opens nothing: a
key still has to be known by its digest. Keys from before there were marks have eight more characters of secret in its place.
Limits: the underscore after the 6-character id keeps our keys out of the pattern that secret scanners use for Stripe's.
"""

import hashlib
import hmac
import re
from zlib import crc32

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_SHAPE = re.compile(rb"sk_live_[0-9a-z]{6}_[0-9a-z]{38}\Z").match
_CHECKSUMS = 36**6
ENTROPY_BYTES = 32
ACCOUNT_PREFIXES = (b"sk_read_", b"sk_mgmt_", b"op_")
"""Of keys that read an account, or manage it, and of operators' tokens: they call no model."""
MARK_CHARS = 8
_SECRET = re.compile(
    r"((?:sk_live_|sk_read_|sk_mgmt_|op_|nt_|ng_[A-Za-z0-9_@-]+\.)(?=[A-Za-z0-9_-]{12})"
    r"|(?:code_|login_|session_)(?=[0-9a-z]{6}_[0-9a-z]{12}))[A-Za-z0-9_-]+",
    re.ASCII,
)
_MARKED = slice(0, -6 - MARK_CHARS)
_MARK = slice(-6 - MARK_CHARS, -6)


def _base36(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 36)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def _checksum(body: bytes) -> int:
    return crc32(body) % _CHECKSUMS


def _mark(body: bytes, deployment: bytes) -> str:
    return _base36(int.from_bytes(hmac.digest(deployment, body, "sha256"), "big") % 36**MARK_CHARS, MARK_CHARS)


def mint(entropy: bytes, deployment: bytes = b"", prefix: str = "sk_live_") -> tuple[str, str]:
    """(key, key id) from 32 bytes of entropy, marked as the deployment's if its secret is given. The key is shown once; keep only
    `digest(key)`."""
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"a key needs {ENTROPY_BYTES} bytes of entropy, not {len(entropy)}")
    number = int.from_bytes(entropy, "big")
    number, key_id = divmod(number, 36**6)
    body = f"{prefix}{_base36(key_id, 6)}_{_base36(number, 32)}"
    if deployment:
        body = body[:-MARK_CHARS]
        body += _mark(body.encode(), deployment)
    return body + _base36(_checksum(body.encode()), 6), _base36(key_id, 6)


def is_well_formed(key: bytes) -> bool:
    """Whether shape and checksum are right; says nothing about whether the key exists."""
    return _SHAPE(key) is not None and int(key[-6:], 36) == crc32(key[:-6]) % _CHECKSUMS


def is_checked(key: bytes, prefix: bytes) -> bool:
    """Whether this is the shape of a key with another prefix, such as an account's `sk_read_`, and its checksum is right."""
    if not key.startswith(prefix) or _SHAPE(b"sk_live_" + key[len(prefix) :]) is None:
        return False
    return int(key[-6:], 36) == crc32(key[:-6]) % _CHECKSUMS


def is_marked(key: bytes, deployment: bytes) -> bool:
    """Whether a well-formed key bears the mark of the deployment with this secret."""
    return hmac.compare_digest(key[_MARK], _mark(key[_MARKED], deployment).encode())


def digest(key: bytes) -> str:
    """The SHA-256 of the key in lower-case hexadecimal, 64 characters: its public identity."""
    return hashlib.sha256(key).hexdigest()


def masked(key: str) -> str:
    """The key as it may be shown again: `sk_live_<id>_...<last three>`."""
    return f"{key[:15]}...{key[-3:]}"


def without_secrets(text: str) -> str:
    """A message without what could be a key or a token in it: of each, what kind it is stays."""
    return _SECRET.sub(lambda found: f"{found[1]}…", text)
