"""The messages between edge and collector: each survives the wire."""

from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usage import protocol
from usage.protocol import MESSAGES, Ack, Acquire, Acquired, CollectorClient, Granted, Policy, Refused, Unreachable

PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(0, 2**62),
    float: st.floats(0, 1e6),
    float | None: st.none() | st.floats(0, 1e6),
    bool: st.booleans(),
    str: st.text(max_size=20),
}


def messages(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a message's type, of sizes that travel."""
    if kind in PLAIN:
        return PLAIN[kind]
    arguments = get_args(kind)
    if get_origin(kind) is tuple:
        return st.lists(messages(arguments[0]), max_size=2).map(tuple)
    if get_origin(kind) is Literal:
        return st.sampled_from(arguments)
    if arguments:
        choices: list[st.SearchStrategy[Any]] = [st.none() if one is type(None) else messages(one) for one in arguments]
        return st.one_of(choices)
    return st.builds(kind, **{name: messages(hint) for name, hint in get_type_hints(kind).items()})


KINDS = [kind for pair in MESSAGES.values() for kind in pair]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_message_survives_the_wire(kind: type[msgspec.Struct]) -> None:
    """Whatever values a message has, JSON gives it back; the empty defaults cost no bytes."""

    @settings(max_examples=25)
    @given(messages(kind))
    def survives(message: Any) -> None:
        assert msgspec.json.decode(msgspec.json.encode(message), type=kind) == message

    survives()


def test_messages_are_the_methods_of_collector() -> None:
    """The table of the HTTP form and the protocol of the in-process form name the same five things."""
    methods = {name for name in vars(CollectorClient) if not name.startswith("_")}
    assert methods == set(MESSAGES)


def test_acquired_says_three_things_apart() -> None:
    """No key, no credit and a grant cannot be mistaken for each other."""
    policy = Policy("d", "k", "a", "a")
    unknown, exhausted = Acquired(), Acquired(policy, None, 5, "credits")
    granted = Acquired(policy, Granted("a", "g", 7))
    assert (unknown.policy, exhausted.granted, granted.granted is not None) == (None, None, True)
    assert msgspec.json.decode(msgspec.json.encode(unknown), type=Acquired) == unknown


def test_message_from_a_newer_version_is_read() -> None:
    """A field that we do not know yet does not stop an older edge or collector."""
    assert msgspec.json.decode(b'{"acked_through":3,"weather":"fine"}', type=Ack) == Ack(3)


def test_message_with_a_float_for_money_is_refused() -> None:
    """No float touches money on the wire either."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"node":"n","epoch":1,"grant_id":"g","digest":"d","want_nano":1.5}', type=Acquire)


def test_errors_carry_what_the_caller_needs() -> None:
    """Unreachable knows when to come again, Refused says why."""
    assert Unreachable("away", 3.0).retry_after_s == 3.0
    assert Refused("fenced", "too old").code == "fenced"
    assert "fenced" in (protocol.Refused.__doc__ or "")
