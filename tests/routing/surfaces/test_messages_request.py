"""What a Messages request passes on beside its body: the version and the betas, without which its own members are errors."""

import json

import pytest

from routing.surfaces import Asked, CallerRequest
from routing.surfaces.anthropic import messages
from routing.table.config import parse

CONFIG = parse("""
[providers.claude]
base_url = "https://claude.test"
api_key = "none"
serves = ["messages"]
[providers.claude.models.m]
input = "1"
output = "2"
""")
BODY = {"model": "claude/m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


def sent(headers: dict[bytes, bytes], **more: object) -> tuple[bytes, bytes, tuple[str, ...]]:
    """(head, body, what is reported)."""
    call = CallerRequest("/v1/messages", list(headers.items()))
    envelope = messages.read(json.dumps({**BODY, **more}).encode(), call)
    provider = CONFIG.providers["claude"]
    request = messages.request(envelope, Asked(provider, provider.models["m"], provider.endpoints[0]))
    return request.head, b"".join(request.body), request.ignored


@pytest.mark.parametrize(
    ("given", "passed"),
    [(b"2023-06-01", b"2023-06-01"), (b"2026-10-21", b"2026-10-21"), (b"", b"2023-06-01"), (b"latest", b"2023-06-01")],
)
def test_version_is_the_callers_or_the_known_one(given: bytes, passed: bytes) -> None:
    """Report 22: a missing one is a 400 there, and so is one that nobody knows."""
    head, _, _ = sent({b"anthropic-version": given} if given else {})
    assert b"anthropic-version: %b\r\n" % passed in head
    assert head.count(b"anthropic-version") == 1


def test_member_and_the_beta_that_it_needs_pass_together() -> None:
    """Reports 20 and 25: `context_management` without its beta is an extra input, and so are others."""
    betas = b"context-management-2025-06-27,thinking-token-count-2026-05-13,claude-code-20250219"
    edits = {"edits": [{"type": "clear_thinking_20251015"}]}
    head, body, ignored = sent({b"anthropic-beta": betas}, context_management=edits, diagnostics={"previous_message_id": None})
    assert b"anthropic-beta: %b\r\n" % betas in head
    assert json.loads(body)["context_management"] == edits
    assert "diagnostics" in json.loads(body)
    assert ignored == ()


def test_long_description_of_a_tool_passes() -> None:
    """Report 25: 40,000 characters of it are legal."""
    tool = {"name": "look", "description": "x" * 40_000, "input_schema": {"type": "object"}}
    assert json.loads(sent({}, tools=[tool])[1])["tools"] == [tool]
