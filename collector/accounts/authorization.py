"""An application asks for a key: OAuth's authorization code with PKCE (RFC 7636), in OpenRouter's shape.

Rule: a code is for one account, one challenge and one key's terms; it lives CODE_MS, is kept as its digest, and is gone after one
attempt, right or wrong. Rule: the method is S256; a challenge sent in the clear would protect nothing.
Rule: a code goes back to HTTPS, or to a program on the user's own machine.
"""

import base64
import hashlib
import hmac
import re
from urllib.parse import urlsplit

import msgspec

from collector.accounts.accounts import Mistake
from collector.accounts.keys import Key, KeyTerms, check_terms, create_key
from collector.accounts.marks import CODE, make_secret
from collector.store.contract import Tx

CODE_MS = 600_000
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}\Z").match
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}\Z").match
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Grant(msgspec.Struct, frozen=True):
    """What the account's owner agreed to: the key that the application will get."""

    account: str
    challenge: str
    terms: KeyTerms = KeyTerms()


def check_callback(url: str) -> None:
    """Mistake: no code may be sent to this address."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    is_local = parts.scheme == "http" and host in _LOOPBACK
    if not host or parts.username or parts.fragment or not (parts.scheme == "https" or is_local) or not url.isprintable():
        raise Mistake("callback_url must be an https address, or http on localhost, without user and fragment")


def check_challenge(challenge: str, method: str) -> None:
    """Mistake: no challenge of PKCE's S256."""
    if method != "S256":
        raise Mistake("code_challenge_method must be S256")
    if _CHALLENGE(challenge) is None:
        raise Mistake("code_challenge must be the base64url of a SHA-256, 43 characters without padding")


def issue_code(tx: Tx, grant: Grant, now_ms: int) -> str:
    """A code for the application; whoever calls has asked the owner."""
    check_challenge(grant.challenge, "S256")
    check_terms(grant.terms)
    tx.run("DELETE FROM auth_codes WHERE expires_ms <= ?", now_ms)
    code = make_secret(tx, CODE)
    terms = grant.terms
    tx.run(
        "INSERT INTO auth_codes (digest, account, challenge, method, name, limit_nano, limit_reset, key_expires_ms, expires_ms,"
        " marked) VALUES (?, ?, ?, 'S256', ?, ?, ?, ?, ?, 1)",
        *(_digest(code), grant.account, grant.challenge, terms.name, terms.limit_nano, terms.limit_reset, terms.expires_ms),
        now_ms + CODE_MS,
    )
    return code


def redeem_code(tx: Tx, code: str, verifier: str, now_ms: int) -> tuple[str, Key] | None:
    """What `create_key` gives, for a code and the verifier of its challenge; None when they are not right.

    Either way the code is used up.
    """
    row = tx.row(
        "SELECT account, challenge, name, limit_nano, limit_reset, key_expires_ms, expires_ms FROM auth_codes WHERE digest = ?"
        + tx.lock,
        _digest(code),
    )
    if row is None or not tx.run("DELETE FROM auth_codes WHERE digest = ?", _digest(code)):
        return None
    account, challenge, name, limit_nano, limit_reset, key_expires_ms, expires_ms = row
    if now_ms >= expires_ms or _VERIFIER(verifier) is None or not hmac.compare_digest(challenge_of(verifier), challenge):
        return None
    return create_key(tx, account, KeyTerms(name, (), limit_nano, limit_reset, key_expires_ms), now_ms)


def challenge_of(verifier: str) -> str:
    """RFC 7636 4.2."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
