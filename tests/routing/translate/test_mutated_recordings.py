"""Valid-looking answers with a value of the wrong kind at any place: nothing raises, and no usage that is there is lost.

The deep form changes each value of each recording; the short one a few of each.
"""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from routing.failures.failure import AttemptFailed
from routing.metering.meter import Meter
from routing.rewrite import cohere, gemini, messages, responses
from routing.rewrite.chat.answer import open_answer, rewrite_answer
from routing.rewrite.cohere import CohereStream
from routing.rewrite.gemini import GeminiStream
from routing.rewrite.messages import MessagesStream
from routing.rewrite.responses import ResponsesStream
from routing.table.tariff import Tariff
from routing.translate import DOWNSTREAM, UPSTREAM, Format, downstream_pair, upstream_pair
from tests.routing.translate import streams

PROVIDERS: list[Format] = ["chat", *UPSTREAM]
CALLERS: list[Format] = ["chat", *DOWNSTREAM]
PASSING = {"messages": MessagesStream, "responses": ResponsesStream, "gemini": GeminiStream, "cohere": CohereStream}
VALUES = (b"null", b"{}", b"[]", b'""', b"-1", b"1e400", b"true", b'[null,{"a":[]}]', b'{"type":5}', b'"\\ud83d"')
MARK = "\0swapped"
Path = tuple[Any, ...]
USAGES = ("usage", "usageMetadata", "metadata")
"""Members that hold a usage, or what holds one."""


def paths(node: Any, path: Path = ()) -> Iterator[Path]:
    """Every place in a document but the document itself."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*path, key)
        yield from paths(value, (*path, key))


def swapped(document: Any, path: Path, value: bytes) -> bytes:
    """The document with that JSON text at that place."""
    copy = json.loads(json.dumps(document))
    holder = copy
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = MARK
    return json.dumps(copy, separators=(",", ":")).encode().replace(json.dumps(MARK).encode(), value)


def framed(provider: Format, events: list[bytes], at: int, event: bytes) -> bytes:
    """The stream with that event in the place of another, under whose name it comes."""
    changed = [*events[:at], event, *events[at + 1 :]]
    if provider not in ("messages", "responses", "cohere"):
        return streams.framed(provider, changed)
    named = zip(events, changed, strict=True)
    return b"".join([b"event: %b\ndata: %b\n\n" % (streams._type_of(old), new) for old, new in named])


def has_usage(node: Any) -> bool:
    if isinstance(node, dict):
        return any(name in USAGES or has_usage(value) for name, value in node.items())
    return isinstance(node, list) and any(map(has_usage, node))


def touches_usage(document: Any, path: Path) -> bool:
    """Whether the place is in a usage, holds one, or says what kind of event it is: then it may be lost with it."""
    node = document
    for key in path:
        if key in USAGES:
            return True
        node = node[key]
    return path[-1] in ("type", "error", "event") or has_usage(node)


def machine(provider: Format, caller: Format) -> Any:
    if provider == caller and provider in PASSING:
        meter = Meter(Tariff(streams.RATES), 9)
        return PASSING[provider](streams.IDENTITY, meter, created=1, line_bytes_max=1 << 24)
    return streams.chain(provider, caller)


def counted(provider: Format, caller: Format, wire: bytes) -> tuple[int, int, str]:
    """What is charged of a stream. Whole events go out, each of which is an object."""
    running = machine(provider, caller)
    sent = streams.run(running, wire)
    if caller != "chat" and provider != caller:
        assert all(isinstance(event, dict) for event in streams.events(sent))
    bill = running.meter.bill()
    running.cut()
    # What comes behind an error is not read.
    return bill.tokens.prompt, bill.tokens.completion, "error" if running.error else bill.source


def places(provider: Format) -> list[tuple[str, int, Path]]:
    found = []
    for name in streams.names("chunks.txt", provider):
        for at, line in enumerate(streams.lines(name, is_short=True)):
            try:
                document = json.loads(line)
            except ValueError:
                continue
            found += [(name, at, path) for path in paths(document)]
    return found


def tried(provider: Format, chosen: list[tuple[str, int, Path]], values: tuple[bytes, ...]) -> list[str]:
    """What went wrong: usage that was lost."""
    lost = []
    known: dict[tuple[str, Format], tuple[int, int, str]] = {}
    for number, (name, at, path) in enumerate(chosen):
        events = streams.lines(name, is_short=True)
        document = json.loads(events[at])
        for value in values:
            caller = CALLERS[(number + len(value)) % len(CALLERS)]
            plain = known.get((name, caller)) or counted(provider, caller, streams.framed(provider, events))
            known[name, caller] = plain
            found = counted(provider, caller, framed(provider, events, at, swapped(document, path, value)))
            if plain[2] == "provider" and found[2] != "error" and found != plain and not touches_usage(document, path):
                lost.append(f"{caller} on {name} {at} {path} {value!r}: {plain} became {found}")
    return lost


@pytest.mark.parametrize("provider", PROVIDERS)
def test_some_values_of_streams(provider: Format) -> None:
    """A few of each provider's."""
    dice = random.Random(provider)
    assert tried(provider, dice.sample(places(provider), 40), tuple(dice.sample(VALUES, 3))) == []


@pytest.mark.deep
@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_value_of_streams(provider: Format) -> None:
    """All of them."""
    assert tried(provider, places(provider), VALUES) == []


def answered(provider: Format, caller: Format, body: bytes) -> None:
    """A whole answer is one, or is told to be none."""
    upstream, downstream = upstream_pair(provider), downstream_pair(caller)
    said = upstream.whole(body, streams.CONTEXT) if upstream is not None else body
    try:
        made = rewrite_answer(said, open_answer(said), streams.IDENTITY, Meter(Tariff(streams.RATES), 9))
    except AttemptFailed:
        return
    if downstream is not None:
        assert isinstance(json.loads(downstream.whole(made, streams.CONTEXT).decode("utf-8", "replace")), dict)


def passed(provider: Format, body: bytes) -> None:
    """The same where it passes."""
    meter = Meter(Tariff(streams.RATES), 9)
    try:
        match provider:
            case "messages":
                messages.whole(body, streams.IDENTITY, meter)
            case "responses":
                responses.whole(body, streams.IDENTITY, meter)
            case "gemini":
                gemini.whole(body, streams.IDENTITY, meter, "candidates", "promptFeedback")
            case "cohere":
                cohere.whole(body, streams.IDENTITY, meter)
    except AttemptFailed:
        return
    assert meter.bill().cost_nano >= 0


def whole_tried(provider: Format, part: float) -> int:
    dice, done = random.Random(provider), 0
    for name in streams.names("json", provider):
        document = json.loads(streams.answer(name))
        for path in paths(document):
            for value in VALUES:
                if dice.random() < part:
                    body = swapped(document, path, value)
                    answered(provider, dice.choice(CALLERS), body)
                    passed(provider, body)
                    done += 1
    return done


@pytest.mark.parametrize("provider", [each for each in PROVIDERS if streams.names("json", each)])
def test_some_values_of_whole_answers(provider: Format) -> None:
    """Nothing raises but that it is no answer."""
    assert whole_tried(provider, 0.05)


@pytest.mark.deep
@pytest.mark.parametrize("provider", [each for each in PROVIDERS if streams.names("json", each)])
def test_each_value_of_whole_answers(provider: Format) -> None:
    """All of them."""
    assert whole_tried(provider, 1.0)


def chat_error(line: bytes) -> bytes:
    """What a gateway puts into a stream that breaks."""
    return b"event: error\ndata: %b\n\n" % line


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(
    ("provider", "name", "cut"),
    [
        ("messages", "anthropic-text", b"event: message_stop"),
        ("gemini", "google-text", None),
        ("cohere", "cohere-text", None),
    ],
)
@pytest.mark.parametrize(
    "end", [b"", chat_error(b'{"type":"error","error":{"message":"x"},"message":"x"}')], ids=["gone", "error"]
)
def test_usage_that_was_told_counts_though_the_answer_broke(
    provider: Format, name: str, cut: bytes | None, end: bytes, caller: Format
) -> None:
    """The reason of the end is missing, the counts are not: they are charged, and it is no regular end."""
    wire = streams.wire(name)
    known = machine(provider, caller)
    streams.run(known, wire)
    for word in (b'"stop_reason":"end_turn"', b'"finishReason":"STOP"', b'"finish_reason":"COMPLETE"'):
        wire = wire.replace(word, b'"x":1')
    wire = wire[: wire.index(cut)] if cut else wire
    broken = machine(provider, caller)
    streams.run(broken, wire + end)
    if provider != "cohere":
        assert not broken.is_complete
    assert broken.meter.bill().tokens == known.meter.bill().tokens


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(
    ("provider", "event"),
    [
        ("cohere", {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "x", "usage": {"billed_units": {
            "input_tokens": 70, "output_tokens": 30}}}}),
        ("responses", {"type": "response.failed", "response": {"error": {"message": "x"}, "usage": {
            "input_tokens": 70, "output_tokens": 30}}}),
    ],
)  # fmt: skip
def test_usage_that_comes_with_an_error_counts(provider: Format, event: dict[str, Any], caller: Format) -> None:
    """What was billed is charged, and it is an error."""
    broken = machine(provider, caller)
    streams.run(broken, streams.framed(provider, [json.dumps(event, separators=(",", ":")).encode()]))
    assert broken.error
    assert (broken.meter.bill().tokens.prompt, broken.meter.bill().tokens.completion) == (70, 30)
