"""How hard to think: OpenAI's effort and OpenRouter's `reasoning` → Anthropic's thinking.

A model that thinks adaptively is told an effort; an older one gets a budget, in OpenRouter's own shares of the output cap.
Source: Anthropic's pages on adaptive and extended thinking; OpenRouter's guide on reasoning tokens.
"""

from typing import Any, Final

from msgspec import Raw

from routing.translate.reader import Reader, encode
from routing.translate.thoughts import SHARES, Reasoning, effort_of, reasoning_of
from routing.wire.members import Members

BUDGET_MIN: Final = 1_024
BUDGET_MAX: Final = 128_000


def budget_of(asked: Reasoning, cap: int) -> int:
    """Tokens to think with, of an output cap."""
    wanted = asked.max_tokens if asked.max_tokens is not None else int(cap * SHARES[asked.effort or "medium"])
    return max(min(wanted, BUDGET_MAX), BUDGET_MIN)


def thinking_of(sent: Members, members: Members, reader: Reader, traits: frozenset[str]) -> None:
    """Sets `thinking` and the effort. Invalid."""
    asked = reasoning_of(members, reader)
    path = "reasoning" if "reasoning" in members else "reasoning_effort"
    if asked.says_nothing and not asked.is_off:
        return
    if asked.is_off:
        if traits & {"adaptive_thinking", "budget_thinking"}:
            sent["thinking"] = Raw(b'{"type":"disabled"}')
        return
    cap = int(bytes(sent["max_tokens"]))
    display = {"display": "omitted" if asked.exclude else "summarized"}
    thinking: dict[str, Any]
    if "adaptive_thinking" in traits:
        thinking = {"type": "adaptive", **display}
        effort = _effort(asked, cap)
        if effort:
            _set_effort(sent, effort)
    elif "budget_thinking" not in traits or cap <= BUDGET_MIN:
        # It cannot think, or has no room to: the answer still is one.
        reader.decline(path)
        return
    else:
        budget = budget_of(asked, cap)
        thinking = {"type": "enabled", "budget_tokens": min(budget, cap - 1)}
        if asked.exclude:
            thinking |= display
    sent["thinking"] = Raw(encode(thinking))


def _effort(asked: Reasoning, cap: int) -> str:
    if asked.effort is not None:
        return "low" if asked.effort == "minimal" else asked.effort
    return "" if asked.max_tokens is None else effort_of(asked.max_tokens, cap)


def _set_effort(sent: Members, effort: str) -> None:
    config = sent.get("output_config")
    said = b'"effort":"%b"' % effort.encode()
    sent["output_config"] = Raw(b"{%b}" % said if config is None else b"{%b,%b" % (said, bytes(config)[1:]))
