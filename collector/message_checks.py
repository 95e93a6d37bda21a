"""What every message of the node protocol has to keep to, whichever way it came: whose it is, and the bounds of what it names.

Each check raises Refused.
"""

from collector.accounts.accounts import NAME
from usage.protocol import Acquire, Batch, Boot, Close, Poll, Refused, Return

ID_CHARS_MAX = 200
NUMBER_MAX = 2**62


def check_owner(message: Boot | Acquire | Batch | Return | Close | Poll, node: str) -> None:
    """A node, or its token, may speak for that node only, and for the workers of its machine (`<node>@0`, `<node>@1b`)."""
    if message.node != node and not message.node.startswith(f"{node}@"):
        raise Refused(
            "bad_node_token",
            f"this token is node {node}'s, the message is from {message.node!r}: set TOLLWAY_NODE={node}, or give machines a"
            " group's token (`tollway nodes create --group G`)",
        )


def check_node_name(node: str) -> None:
    """A node's name, as in a message, a token or TOLLWAY_NODE."""
    if NAME.match(node) is None:
        raise Refused("invalid", f"{node!r} is no node name: up to 63 letters, digits, '.', '_', '@' and '-'")


def check_text(name: str, text: str) -> None:
    """An id that the sender chose: 1 to ID_CHARS_MAX characters, without a NUL."""
    if not 0 < len(text) <= ID_CHARS_MAX or "\0" in text:
        raise Refused("invalid", f"{name} must have 1 to {ID_CHARS_MAX} characters")


def check_acquire(message: Acquire) -> None:
    """The ids and numbers of a request for credit."""
    check_text("grant_id", message.grant_id)
    check_text("digest", message.digest)
    check_numbers(message.epoch, message.want_nano, message.min_nano)


def check_numbers(*numbers: int) -> None:
    """None is negative, and sums of a few stay below 2**63."""
    if not all(0 <= number < NUMBER_MAX for number in numbers):
        raise Refused("invalid", "an epoch, a sequence number or an amount is negative or too large")
