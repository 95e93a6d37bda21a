"""What the edge has seen decides the next plan: a conversation stays with its target, speeds are those of answers."""

from pathlib import Path
from time import monotonic

import pytest

from edge.providers.observed import Observed
from edge.providers.resolver import LazyUpstream
from edge.providers.table import Table
from edge.upstream.pool import NativeUpstream
from edge.write_batch import WriteBatch
from routing.failures.failure import Failure, Kind, Sent, Source
from routing.plan.plan import Attempt, Plan
from routing.request.envelope import read

TEXT = """
[providers.a]
base_url = "https://a.example"
api_key = "none"
models.m = { input = "1", output = "2" }
[providers.b]
like = "a"
base_url = "https://b.example"
api_key = "none"
[routes.r]
targets = [{ to = "a/m", weight = 5 }, { to = "b/m", weight = 5 }]
sticky_s = 600
"""

REFUSED = Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, 429, 1.0)


def first(table: Table, words: str, roll: float, now_s: float = 0.0, account: str = "one") -> str:
    asked = read(b'{"model":"r","messages":[{"role":"user","content":"%b"}]}' % words.encode())
    planned = table.plan(asked, (), now_s, roll, account)
    assert isinstance(planned, Plan)
    return planned.attempts[0].model.id


def test_observed_conversation_stays_with_its_target(tmp_path: Path) -> None:
    """Whatever the roll, for as long as the route says since its last turn; another conversation or account is another."""
    file = tmp_path / "providers.toml"
    file.write_text(TEXT)
    table = Table(file, NativeUpstream(WriteBatch()), LazyUpstream())
    assert [first(table, "hi", 0.0), first(table, "hi", 0.9, 500.0), first(table, "hi", 0.9, 1_099.0)] == ["a/m"] * 3
    assert first(table, "other", 0.9, 1_099.0) == "b/m"
    assert first(table, "hi", 0.9, 1_099.0, "two") == "b/m"
    assert first(table, "hi", 0.9, 1_700.0) == "b/m"


def test_observed_conversations_are_bounded() -> None:
    """The oldest is forgotten."""
    observed = Observed()
    for number in range(65_537):
        observed.keep("r", str(number), "a/m", 10.0)
    assert (observed.kept("r", "0", 0.0), observed.kept("r", "1", 0.0), observed.kept("r", "65536", 0.0)) == ("", "a/m", "a/m")


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    file = tmp_path / "providers.toml"
    file.write_text(TEXT)
    table = Table(file, NativeUpstream(WriteBatch()), LazyUpstream())
    planned = table.plan(read(b'{"model":"a/m","messages":[{"role":"user","content":"x"}]}'), (), 0.0, 0.0, "one")
    assert isinstance(planned, Plan)
    return planned.attempts[0]


def test_burst_is_one_refusal_and_no_storm(attempt: Attempt) -> None:
    """Fourteen that are refused together say one thing, and the next is sent; fourteen one after another are a storm, and that
    account's alone."""
    observed = Observed()
    now_s = monotonic()
    for number in range(14):
        observed.count(attempt, "one", REFUSED, now_s + 0.01 * number, now_s - 1.0)
    assert observed.shed(attempt, "one", 0.0) is None
    for number in range(14):
        observed.count(attempt, "one", REFUSED, now_s + 2.0 + number, now_s + 1.5 + number)
    assert observed.shed(attempt, "two", 0.0) is None
    assert observed.shed(attempt, "one", 0.0) is not None


def test_storm_is_seen_however_many_are_under_way(attempt: Attempt) -> None:
    """Twenty at once, of which the provider takes one: what is accepted or held back in between hides no refusal."""
    observed, began_s = Observed(), monotonic() - 5.0
    observed.count(attempt, "one", REFUSED, began_s, began_s - 1.0)
    for number in range(40):
        observed.count(attempt, "one", None if number % 20 == 0 else REFUSED, began_s + 1.0 + 0.01 * number, began_s + 0.5)
    assert observed.shed(attempt, "one", 0.8) is not None


def test_storm_that_is_long_past_makes_no_burst_a_storm(attempt: Attempt) -> None:
    """After a while without any refusal, what is refused together is one again."""
    observed, now_s = Observed(), monotonic()
    observed.count(attempt, "one", REFUSED, now_s - 3_600.0, now_s - 3_601.0)
    for number in range(14):
        observed.count(attempt, "one", REFUSED, now_s + 0.01 * number, now_s - 1.0)
    assert observed.shed(attempt, "one", 0.0) is None
