"""A provider's complaint: the message, code and parameter inside the body of an error answer, whatever shape it has.

Strategy: providers agree on JSON and on little else, so the known places are looked into one after the other.
Rule: nothing that looks like a key or an account of ours leaves this file, and no more than 2,000 characters do.
Limits: a body that is no JSON (a proxy's HTML page, say) has no message; it is not guessed at.
"""

import re
from typing import Any, Final

import msgspec

MESSAGE_CHARS_MAX: Final = 2_000
BODY_BYTES_MAX: Final = 256 * 1024
"""A larger error body is not read: no provider explains itself at such length."""

_SECRET: Final = re.compile(
    r"\b(?:sk|gsk|csk|xai|pplx|nvapi|hf|fw|tgp|org|proj)[-_][\w*.-]{6,}"  # keys and accounts that say what they are
    r"|\bAIza[\w-]{20,}"
    r"|\bBearer\s+[^\s,;]+"
    r"|\b[A-Za-z0-9]{32,}\b"  # keys that do not
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_MESSAGES: Final = ("message", "detail", "error_description", "msg", "error", "title")
_decode: Final = msgspec.json.Decoder().decode


def upstream_message(body: bytes) -> tuple[str, str | None, str | None]:
    """(message, code, param) of an error body; the message is empty when there is none to find."""
    if len(body) > BODY_BYTES_MAX:
        return "", None, None
    try:
        document = _decode(body)
    except (msgspec.DecodeError, RecursionError):
        return "", None, None
    holder = _holder(document)
    return redacted(_message(holder)), _name(holder, "code") or _name(holder, "type"), _name(holder, "param")


def redacted(text: str) -> str:
    """The text without what could be a credential or an account of ours, cut to its limit."""
    read = text[: MESSAGE_CHARS_MAX + 200]  # further than is told, so that no secret is cut in half and told
    return _SECRET.sub("[redacted]", _CONTROL.sub(" ", read))[:MESSAGE_CHARS_MAX]


def _holder(document: Any) -> Any:
    """The part that explains: the inside of `error` when that is an object, else the whole. Google sends a list of one."""
    if isinstance(document, list) and document:
        document = document[0]
    if isinstance(document, dict) and isinstance(document.get("error"), dict):
        return document["error"]
    return document


def _message(holder: Any) -> str:
    if isinstance(holder, str):
        return holder
    if isinstance(holder, list):  # FastAPI and Mistral: detail = [{"loc": [...], "msg": "..."}]
        return "; ".join(filter(None, map(_message, holder[:8])))
    if not isinstance(holder, dict):
        return ""
    for name in _MESSAGES:
        text = _message(holder.get(name))
        if text:
            return text
    return ""


def _name(holder: Any, member: str) -> str | None:
    value = holder.get(member) if isinstance(holder, dict) else None
    if isinstance(value, str) and value:
        return redacted(value[:200])
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None
