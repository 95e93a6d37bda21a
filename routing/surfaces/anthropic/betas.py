"""Anthropic's betas: which of those that a caller asks for by header reach the provider.

Rule: a beta that neither costs nor keeps anything passes; any other is left out and reported, because what a beta costs is the
operator's to know (`betas` of the endpoint in the table).
Source: Anthropic's list of beta headers (its SDK's `anthropic_beta_param`), what Claude Code sends.
"""

import re
from typing import Final

from routing.request.names import words

FREE: Final = words(
    "adaptive-thinking advanced-tool-use afk-mode cache-diagnosis claude-code context-management context-1m effort "
    "extended-cache-ttl fine-grained-tool-streaming interleaved-thinking mid-conversation-system mid-conversation-tools "
    "model-context-window-exceeded output-128k output-300k pdfs per-turn-control prompt-caching prompt-caching-scope "
    "redact-thinking search-results structured-outputs summarize-connector-text thinking-token-count token-counting "
    "token-efficient-tools tool-examples tool-search-tool"
)
"""Names without their date."""
_DATE: Final = re.compile(rb"-(?:\d{4}-\d{2}-\d{2}|\d{8})\Z")
_SHAPE: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z")


def split(header: bytes, allowed: tuple[str, ...]) -> tuple[bytes, tuple[str, ...]]:
    """What of an `anthropic-beta` header goes on, and the names that do not. `allowed`: further names, with or without a date."""
    kept: list[bytes] = []
    ignored: list[str] = []
    for part in header.split(b","):
        name = part.strip()
        if not name:
            continue
        plain = _DATE.sub(b"", name).decode("latin-1")
        if _SHAPE.match(name) and (plain in FREE or plain in allowed or name.decode("latin-1") in allowed):
            kept.append(name)
        else:
            ignored.append(name[:100].decode("latin-1"))
    return b",".join(kept), tuple(ignored)
