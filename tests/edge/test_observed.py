"""What the edge has seen decides the next plan: a conversation stays with its target, speeds are those of answers."""

from pathlib import Path
from time import monotonic

from edge.providers.observed import Observed
from edge.providers.table import LazyUpstream, Table
from edge.upstream.pool import NativeUpstream
from edge.write_batch import WriteBatch
from routing.failures.failure import Failure, Kind, Sent, Source
from routing.plan.plan import Plan
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


def test_burst_is_one_refusal_and_no_storm(tmp_path: Path) -> None:
    """Fourteen that are refused together say one thing, and the next is sent; fourteen one after another are a storm."""
    file = tmp_path / "providers.toml"
    file.write_text(TEXT)
    table = Table(file, NativeUpstream(WriteBatch()), LazyUpstream())
    planned = table.plan(read(b'{"model":"a/m","messages":[{"role":"user","content":"x"}]}'), (), 0.0, 0.0, "one")
    assert isinstance(planned, Plan)
    attempt = planned.attempts[0]
    refused = Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, 429, 1.0)
    observed = Observed()
    now_s = monotonic()
    for number in range(14):
        observed.count(attempt, refused, now_s + 0.01 * number, now_s - 1.0)
    assert observed.shed(attempt, 0.0) is None
    for number in range(14):
        observed.count(attempt, refused, now_s + 2.0 + number, now_s + 1.5 + number)
    assert observed.shed(attempt, 0.0) is not None
