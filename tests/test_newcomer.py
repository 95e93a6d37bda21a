"""A new API and a new dialect: new modules and one line in a table each, and nothing in edge/ learns of it.

The modules are made here, as a newcomer would write them, and the lines are added to the tables for the time of the test; the
relay, the table of providers and the echo beside them are the real ones.
"""

import json
import re
import sys
import types
from pathlib import Path
from typing import Any, cast

import pytest

from routing.failures.failure import AttemptFailed, Failure, Kind, Sent, Source
from routing.request.envelope import Envelope
from routing.request.invalid import Invalid
from routing.rewrite.plain import dressed, observe, opened
from routing.surfaces import SURFACES, Entry, Whole
from routing.surfaces.openai import moderations as like
from routing.table import endpoint
from routing.translate import UPSTREAM, Context, Target, Translated
from tests.edge.rig import JSON, Caller, Play, Rig

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[1]
WORDS = Entry("words", "routing.surfaces.words", ("/words",))
TABLE = """
[providers.new]
base_url = "http://new.test/v1"
api_key = "none"
serves = ["words"]
unlisted = { input = "1", output = "2" }
[providers.poet]
base_url = "http://poet.test"
api_key = "none"
serves = ["verse"]
unlisted = { input = "1", output = "2" }
"""


def surface() -> types.ModuleType:
    """routing/surfaces/words.py: a surface whose answers have `words`."""
    module = types.ModuleType("routing.surfaces.words")

    def read(body: bytes, call: Any) -> Envelope:
        return like.read(body, call)

    def whole(body: bytes, identity: Any, meter: Any, content_type: str) -> Any:
        members = opened(body, "words")
        observe(members.get("usage"), meter)
        return Whole(dressed(body, members, identity, meter))

    vars(module).update(
        ANSWERS="json", read=read, whole=whole, request=like.request, machine=like.machine, error_response=like.error_response
    )
    return module


def pair() -> types.ModuleType:
    """routing/translate/chat_on_verse.py: Chat on a provider that takes a line and answers one."""
    module = types.ModuleType("routing.translate.chat_on_verse")

    def request(body: bytes, target: Target) -> Translated:
        line = json.loads(body)["messages"][-1]["content"]
        return Translated(json.dumps({"poet": target.model, "line": line}).encode())

    def whole(body: bytes, context: Context) -> bytes:
        message = {"role": "assistant", "content": json.loads(body)["verse"]}
        usage = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return json.dumps({"id": "v", "model": "m", "choices": choices, "usage": usage}).encode()

    vars(module).update(framing="sse", request=request, whole=whole, machine=None)
    return module


@pytest.fixture
def newcomer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two modules, and the four lines: two formats, a surface, a pair."""
    monkeypatch.setitem(sys.modules, "routing.surfaces.words", surface())
    monkeypatch.setitem(sys.modules, "routing.translate.chat_on_verse", pair())
    monkeypatch.setitem(endpoint.FORMATS, "words", endpoint.Format("/words"))
    monkeypatch.setitem(endpoint.FORMATS, "verse", endpoint.Format("/verses", is_generated=True))
    monkeypatch.setitem(UPSTREAM, "verse", "routing.translate.chat_on_verse")
    # The names that a table may have were taken when it was imported.
    from routing.table import entry, field

    facts = tuple(
        (name, field.items(field.one_of(*endpoint.FORMATS)) if name == "serves" else check, default)
        for name, check, default in entry._FACTS
    )
    monkeypatch.setattr(entry, "_FACTS", facts)


async def ask(rig: Rig, entry: Entry, body: dict[str, Any], answer: dict[str, Any]) -> tuple[Caller, Play]:
    play = Play(200, JSON, [json.dumps(answer).encode()])
    rig.stage.plays = [play]
    caller = rig.caller_of(json.dumps(body).encode(), [(b"host", b"x"), (b"authorization", b"Bearer " + rig.key.encode())])
    caller.scope["path"] = "/v1" + entry.paths[0]
    await rig.run(caller, entry)
    return caller, play


async def test_newcomer_adds_an_api(newcomer: None, tmp_path: Path) -> None:
    """It passes to a provider that serves it, is metered, charged and settled, and has our names."""
    async with Rig(tmp_path, more=TABLE) as rig:
        answer = {"words": ["a"], "model": "m", "usage": {"prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 7}}
        caller, play = await ask(rig, WORDS, {"model": "new/m", "input": "x"}, answer)
        assert caller.status == 200, caller.body
        assert json.loads(play.asked) == {"model": "m", "input": "x"}
        assert (caller.json()["model"], caller.json()["usage"]["cost"]) == ("new/m", 7e-06)
        assert rig.records[-1].cost_nano == 7_000


async def test_newcomer_adds_a_dialect(newcomer: None, tmp_path: Path) -> None:
    """Chat, and Messages through Chat, on a provider that speaks something that nobody here knew."""
    async with Rig(tmp_path, more=TABLE) as rig:
        for entry in SURFACES[:2]:
            body = {"model": "poet/sappho", "max_tokens": 50, "messages": [{"role": "user", "content": "a line"}]}
            caller, play = await ask(rig, entry, body, {"verse": "moonlight"})
            assert caller.status == 200, caller.body
            assert json.loads(play.asked) == {"poet": "sappho", "line": "a line"}
            assert "moonlight" in caller.body.decode()
            assert rig.records[-1].tokens.total == 6


@pytest.mark.parametrize("stream", [False, True])
async def test_translator_that_changes_its_mind_behind_the_intent_is_settled(
    newcomer: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    """It could say the request before the intent was written and cannot behind it: a 400 in its words, and the intent does not
    stay open for recovery to find."""
    asked: list[bytes] = []
    plain = sys.modules["routing.translate.chat_on_verse"].request

    def request(body: bytes, target: Target) -> Translated:
        asked.append(body)
        if len(asked) > 1:
            raise Invalid("'temperature' cannot be said in verse", "temperature", "unsupported_parameter")
        return cast(Translated, plain(body, target))

    monkeypatch.setattr(sys.modules["routing.translate.chat_on_verse"], "request", request)
    async with Rig(tmp_path, more=TABLE) as rig:
        # What was said before the intent is what is sent; said once more it is where the same provider is asked again.
        rig.stage.plays = [AttemptFailed(Failure(Kind.CONNECT, Source.UPSTREAM, Sent.NOTHING))]
        caller = await rig.run(rig.caller(model="poet/sappho", stream=stream))
        error = caller.json()["error"]
        assert (caller.status, error["param"], error["code"]) == (400, "temperature", "unsupported_parameter")
        assert "cannot be said in verse" in error["message"]
        assert [(record.status, record.error, record.cost_nano) for record in rig.records] == [(400, "invalid", 0)]
        assert (rig.journal.running_intents, rig.held_nano, len(rig.stage.targets)) == (0, 0, 1)


def test_newcomer_finds_no_format_in_the_edge() -> None:
    """No file of edge/ names a format or a dialect, but the echo, which answers in all of them, and commands."""
    names = re.compile(r'"(?:messages|responses|embeddings|gemini|converse|cohere|rerank|moderations|transcriptions)"')
    for path in sorted((ROOT / "edge").rglob("*.py")):
        if path.parent.name != "commands" and path.name != "cli.py" and not path.name.startswith("echo"):
            assert not names.search(path.read_text()), path
