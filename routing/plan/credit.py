"""Why credit does not cover a request: the refusal, with what would be right."""

from routing.plan.refusal import Refusal
from routing.plan.reserve import Reserve, completion_within
from usage.pricing import dollars


def exhausted(need: Reserve | None, available_nano: int, by: str) -> Refusal:
    """`available_nano` is what is left of the account's credit or, `by` "key_limit", of the key's own limit. `need` is None when
    the body was not read."""
    what = "the spending limit of this key" if by == "key_limit" else "the account's credit"
    left = dollars(available_nano)
    if need is None:
        message = f"{what} is used up: {left} dollars are left"
        return Refusal(402, "insufficient_credits", message, metadata={"available": left, "affordable_tokens": 0})
    tokens = max(completion_within(need, available_nano) - need.extra_completion, 0)
    state = "does not cover this request" if available_nano > 0 else "is used up"
    buys = (
        f"it would buy {tokens} completion tokens for this prompt: set max_tokens to at most {tokens // need.choices}"
        if tokens >= need.choices > 0
        else f"it does not pay for this prompt, which may have up to {need.prompt_max} tokens"
    )
    message = f"{what} {state}: {left} dollars are left, {dollars(need.least_nano)} must be held for it; {buys}"
    metadata = {"available": left, "needed": dollars(need.least_nano), "affordable_tokens": tokens}
    return Refusal(402, "insufficient_credits", message, metadata=metadata)
