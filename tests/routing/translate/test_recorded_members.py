"""Nothing that providers were recorded to send is dropped in silence: it reaches the caller, or `answer_losses` names it.

`python -m tests.routing.translate.test_recorded_members` says what stands in neither, and writes docs/translation.md's table.
"""

import base64
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations
from typing import Any, NamedTuple

import pytest

from routing.failures.failure import AttemptFailed
from routing.translate import Format
from tests.routing.translate import streams
from tests.routing.translate.answer_losses import IN_CALLERS_WORDS, LOSSES, Loss, table
from tests.routing.translate.test_docs import END, PAGE
from tests.routing.translate.test_golden import PAIRS

START = "<!-- made by python -m tests.routing.translate.test_recorded_members -->\n"
LAST = frozenset(("response.completed", "response.incomplete", "response.failed", "error"))
"""One recording has several responses, one behind the other."""
REFUSED = frozenset(("google-429-retry-info", "responses-openai-custom-tool.1", "responses-openai-error.1"))
"""Answers that the caller reads an error instead of."""
SHORTENED = "responses-openai-phase.1"
"""Most of its deltas were left out when it was recorded; without the others, its items are told whole."""
Leaves = dict[str, list[Any]]
_SEPARATORS = ((", ", ": "), (",", ":"))
"""Of JSON in a text, as providers write it."""
_PLACES = (".start_index", ".end_index", ".start", ".end")


class Recording(NamedTuple):
    """`events`: of a stream; of a whole answer the one object."""

    name: str
    is_stream: bool
    events: list[Any]


@lru_cache
def recordings(provider: Format) -> list[Recording]:
    found = [Recording(name, False, [json.loads(streams.answer(name))]) for name in streams.names("json", provider)]
    for name in streams.names("chunks.txt", provider):
        events: list[Any] = []
        for line in streams.lines(name):
            events.append(_read(line))
            if events[-1].get("type") in LAST:
                break
        if name == SHORTENED:
            events = [event for event in events if not event["type"].endswith(".delta")]
        found.append(Recording(name, True, events))
    return [each for each in found if each.name not in REFUSED]


def _read(line: bytes) -> Any:
    """One recording has lines without their last brace."""
    try:
        return json.loads(line)
    except ValueError:
        return json.loads(line + b"}")


def leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """What says something: no null, zero, false and nothing that is empty. Kinds of objects are part of the path."""
    match value:
        case dict():
            for name, inner in value.items():
                if name != "type" or not isinstance(inner, str):
                    yield from leaves(inner, f"{path}.{name}{_kind(inner)}".removeprefix("."))
        case list():
            for inner in value:
                yield from leaves(inner, path + (_kind(inner) or "[]"))
        case _ if value:
            yield path, value


def _kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else None
    return f"[{kind}]" if isinstance(kind, str) else ""


def told(recording: Recording) -> Leaves:
    """Path → the texts that stood there; of numbers, and of a response that is told again, the last."""
    found: Leaves = defaultdict(list)
    kinds: dict[int, str] = {}
    for event in recording.events:
        label = _label(event, kinds) if recording.is_stream else ""
        again: Leaves = defaultdict(list)
        for name, inner in event.items():
            if name == "response":
                for path, value in leaves(inner, ""):
                    again["response/" + path].append(value)
            elif name != "type":
                for path, value in leaves(inner, name + _kind(inner)):
                    if isinstance(value, str):
                        found[label + path].append(value)
                    else:
                        found[label + path] = [value]
        found |= again
    return found


def _label(event: dict[str, Any], kinds: dict[int, str]) -> str:
    """The kind of an event; of Anthropic's deltas also that of the block."""
    kind = event.get("type")
    if kind == "content_block_start":
        kinds[event["index"]] = event["content_block"]["type"]
    return f"{kind}({kinds[event['index']]})/" if kind == "content_block_delta" else f"{kind}/" if kind else ""


class Heard:
    """What a caller reads: its texts, those that came in pieces put together, its counts, and the places of what it quotes."""

    def __init__(self, events: list[Any]) -> None:
        self._parts: dict[str, list[str]] = defaultdict(list)
        self._numbers: set[int] = set()
        counts: set[int] = set()
        for event in events:
            self._read(event, "", counts)
        self._texts = "\0".join("".join(parts) for parts in self._parts.values())
        # A format may count thoughts or what was cached inside another count, or beside it.
        self._numbers |= {sum(some) for size in (1, 2, 3) for some in combinations(counts, size)}
        self._numbers |= {one - other for one in counts for other in counts}

    def _read(self, value: Any, path: str, counts: set[int]) -> None:
        match value:
            case dict():
                if path.endswith((".args", ".input")):
                    self._parts[path] += [json.dumps(value, ensure_ascii=False, separators=each) for each in _SEPARATORS]
                for name, inner in value.items():
                    self._read(inner, f"{path}.{name}", counts)
            case list():
                for inner in value:
                    self._read(inner, path, counts)
            case str():
                self._parts[path].append(value)
                if path.endswith(".thoughtSignature"):
                    self._parts[path + "/sealed"].append(_unsealed(value))
            case int() if "usage" in path:
                counts.add(value)
            case int() if path.endswith(_PLACES):
                self._numbers.add(value)

    def has(self, value: Any) -> bool:
        """Whether the caller reads that text or number. A word such as true is never read as it was written."""
        if isinstance(value, bool):
            return False
        return value in self._texts if isinstance(value, str) else value in self._numbers


def _unsealed(signature: str) -> str:
    """Others' signatures are in Base64 where Google's stand."""
    try:
        return base64.b64decode(signature).decode()
    except ValueError:
        return ""


def heard(recording: Recording, provider: Format, caller: Format, dropped: str = "") -> Heard:
    """`dropped`: a member that a wrong translator does not read."""
    events = [_without(event, dropped) for event in recording.events] if dropped else recording.events
    payloads = [json.dumps(event, separators=(",", ":")).encode() for event in events]
    if not recording.is_stream:
        return Heard([json.loads(streams.whole_of(payloads[0], provider, caller))])
    chain = streams.chain(provider, caller)
    stream = streams.run(chain, streams.framed(provider, payloads))
    assert not chain.error, recording.name
    return Heard(streams.events(stream))


def _without(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {key: _without(inner, name) for key, inner in value.items() if key != name}
    return [_without(inner, name) for inner in value] if isinstance(value, list) else value


@lru_cache
def lost(provider: Format, caller: Format, dropped: str = "") -> frozenset[str]:
    """Paths at which something stood that does not reach the caller."""
    found: set[str] = set()
    for recording in recordings(provider):
        got = heard(recording, provider, caller, dropped)
        found |= {path for path, values in told(recording).items() if not all(map(got.has, set(values)))}
    return frozenset(found)


def matcher(member: str) -> re.Pattern[str]:
    anywhere = "" if "/" in member else r"(?:[^/]+/)?"
    return re.compile(anywhere + re.escape(member).replace(r"\*", "[^/]*") + r"(?:[.\[].*)?", re.DOTALL)


def unnamed(paths: frozenset[str], provider: Format, caller: Format) -> list[str]:
    """Those that no table names."""
    members = IN_CALLERS_WORDS[provider].split()
    for loss in LOSSES:
        if loss.provider == provider and caller in (loss.callers or (caller,)):
            members += loss.members.split()
    known = [matcher(member) for member in members]
    return sorted(path for path in paths if not any(each.fullmatch(path) for each in known))


def untrue(loss: Loss) -> list[str]:
    """What a line of the table says that no recording shows."""
    callers = loss.callers or tuple(caller for caller, provider in PAIRS if provider == loss.provider)
    return [
        f"{member} for {caller}"
        for member in loss.members.split()
        for caller in callers
        if not any(map(matcher(member).fullmatch, lost(loss.provider, caller)))
    ]


def page_with_table() -> str:
    before, _, rest = PAGE.read_text().partition(START)
    return before + START + table() + END + rest.partition(END)[2]


@pytest.mark.parametrize(("caller", "provider"), PAIRS)
def test_recorded_member_is_carried_or_named(caller: Format, provider: Format) -> None:
    """Every text and number that a provider was recorded to send."""
    assert unnamed(lost(provider, caller), provider, caller) == []


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: f"{loss.provider}: {loss.members[:40]}")
def test_named_loss_is_one(loss: Loss) -> None:
    """Nothing that is carried, or that no provider sends, stands in the table."""
    assert untrue(loss) == []


@pytest.mark.parametrize("provider", IN_CALLERS_WORDS)
def test_member_in_callers_words_is_not_as_it_was(provider: Format) -> None:
    """For one of the callers at least."""
    paths = frozenset[str]().union(*[lost(provider, caller) for caller, other in PAIRS if other == provider])
    assert [each for each in IN_CALLERS_WORDS[provider].split() if not any(map(matcher(each).fullmatch, paths))] == []


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_recording_without_an_answer_is_an_error(name: str) -> None:
    """What is left out above loses nothing in silence: the caller reads an error."""
    if name in streams.names("json", "gemini"):
        with pytest.raises(AttemptFailed):
            streams.whole(name, "chat")
    else:
        chain = streams.chain("responses", "chat")
        streams.run(chain, streams.wire(name))
        assert chain.error


@pytest.mark.parametrize(
    ("provider", "caller", "member"),
    [
        ("chat", "messages", "reasoning_content"),
        ("messages", "gemini", "signature"),
        ("messages", "chat", "thinking"),
        ("responses", "cohere", "title"),
        ("responses", "messages", "encrypted_content"),
        ("gemini", "responses", "args"),
        ("converse", "chat", "toolUseId"),
        ("cohere", "messages", "tool_plan"),
    ],
)
def test_dropped_member_is_caught(provider: Format, caller: Format, member: str) -> None:
    """A translator that does not read a member which is carried."""
    found = unnamed(lost(provider, caller, member), provider, caller)
    assert any(member in path for path in found), found


def test_untrue_table_is_caught() -> None:
    """A line for what is carried, and one for what nobody sends."""
    assert untrue(Loss("messages", "content[text].text", "", ("chat",))) == ["content[text].text for chat"]
    assert untrue(Loss("gemini", "candidates[].mood", "", ("chat",))) == ["candidates[].mood for chat"]


def test_page_has_the_table() -> None:
    """What an operator reads is what happens."""
    assert PAGE.read_text() == page_with_table()


if __name__ == "__main__":
    for caller, provider in PAIRS:
        for path in unnamed(lost(provider, caller), provider, caller):
            print(f"unnamed: {provider} to {caller}: {path}")
    for loss in LOSSES:
        for each in untrue(loss):
            print(f"untrue: {loss.provider}: {each}")
    PAGE.write_text(page_with_table())
