"""`X-Tollway-Metadata`: each surface says how a request was routed: in its answer, at the end of its stream, beside its error."""

import json
from pathlib import Path
from typing import Any

import pytest

from routing.failures.failure import Sent
from routing.surfaces import SURFACES, Entry
from tests.answers import completion, delta, event, spoken
from tests.edge.relay.test_surfaces import ASKS, STREAMED, asked
from tests.edge.rig import JSON, SSE, Caller, Play, Rig, broken

pytestmark = pytest.mark.anyio
BY_FORMAT = {entry.format: entry for entry in SURFACES}
GENERATING = ("chat", "messages", "responses")
OURS, OPENROUTERS = "tollway_metadata", "openrouter_metadata"


async def ask_on(rig: Rig, entry: Entry, body: bytes, kind: bytes = b"application/json", member: str = OURS) -> Caller:
    headers = [(b"host", b"edge.test"), (b"authorization", b"Bearer " + rig.key.encode()), (b"content-type", kind)]
    if member:
        headers.append((b"x-" + member.replace("_", "-").encode(), b"enabled"))
    caller = Caller(body, headers)
    model = json.loads(body)["model"] if entry.format == "gemini" else "echo/echo-1"
    action = entry.paths[-1] if b'"stream":true' in body.replace(b" ", b"") else entry.paths[0]
    caller.scope["path"] = ("/v1beta" if "gemini" in entry.format else "/v1") + action.replace("{model:path}", model)
    caller.scope["query_string"] = b"alt=sse"
    await rig.relay.on(entry)(caller.scope, caller.receive, caller.send)
    return caller


def body_of(format: str, model: str, *, stream: bool = False) -> bytes:
    return json.dumps({"model": model, **ASKS[format], "stream": stream}).encode()


def events(caller: Caller) -> list[dict[str, Any]]:
    lines = caller.body.replace(b"\r", b"").split(b"\n")
    return [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]


def told_once(caller: Caller, member: str = OURS) -> dict[str, Any]:
    """What is told, and that it is told in one place alone: the object, the last event, or a header."""
    header = caller.headers.get(b"x-" + member.replace("_", "-").encode())
    if header is not None:
        assert member.encode() not in caller.body
        found: dict[str, Any] = json.loads(header)
        return found
    assert caller.body.count(b'"%b":' % member.encode()) == 1, caller.body
    if caller.headers[b"content-type"].startswith(b"text/event-stream"):
        (place,) = [number for number, each in enumerate(events(caller)) if member in each]
        assert place == len(events(caller)) - 1
        found = events(caller)[-1][member]
    else:
        found = caller.json()[member]
    return found


@pytest.mark.parametrize("member", [OURS, OPENROUTERS])
@pytest.mark.parametrize("entry", [each for each in SURFACES if each.counts is None], ids=lambda each: each.format)
async def test_metadata_of_a_whole_answer(tmp_path: Path, entry: Entry, member: str) -> None:
    """In the object, or in a header where the answer is no object; and nothing of it where nobody asked."""
    async with Rig(tmp_path) as rig:
        answer = await ask_on(rig, entry, *asked(entry), member)
        assert answer.status == 200, answer.body
        told = told_once(answer, member)
        assert [(each["provider"], each["result"]) for each in told["attempts"]] == [("echo", "answered")]
        assert (told["attempt"], told["requested"]) == (1, "echo/echo-1")
        plain = await ask_on(rig, entry, *asked(entry), "")
        assert member.encode() not in plain.body
        assert not any(b"metadata" in name for name in plain.headers)


@pytest.mark.parametrize("format", STREAMED)
async def test_metadata_of_a_stream(tmp_path: Path, format: str) -> None:
    """In the last event, once."""
    entry = BY_FORMAT[format]
    async with Rig(tmp_path) as rig:
        answer = await ask_on(rig, entry, asked(entry, stream=True)[0])
        assert (answer.status, answer.headers[b"content-type"]) == (200, b"text/event-stream")
        assert told_once(answer)["attempts"][0]["result"] == "answered"
        assert rig.records[-1].end_reason == "completed"


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("format", GENERATING)
async def test_metadata_of_a_translated_answer(tmp_path: Path, format: str, streamed: bool) -> None:
    """A surface that another format serves tells it as well, with the target that failed before it."""
    ill = Play(503, JSON, [b'{"error":{"message":"overloaded"}}'])
    well = Play(200, SSE, spoken()) if streamed else Play(200, JSON, [json.dumps(completion()).encode()])
    async with Rig(tmp_path) as rig:
        rig.stage.plays = [ill, well]
        answer = await ask_on(rig, BY_FORMAT[format], body_of(format, "both", stream=streamed))
        assert answer.status == 200, answer.body
        told = told_once(answer)
        found = [(each["provider"], each["status"], each["result"]) for each in told["attempts"]]
        assert found == [("p", 503, "overloaded"), ("q", 200, "answered")]
        assert (told["requested"], told["strategy"], told["attempt"]) == ("both", "in_order", 2)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("format", GENERATING)
async def test_metadata_of_a_failure(tmp_path: Path, format: str, streamed: bool) -> None:
    """Beside the error, in each surface's own words: who was asked, and that nobody answered."""
    async with Rig(tmp_path) as rig:
        rig.stage.plays = [Play(401, JSON, [b"{}"]), Play(402, JSON, [b"{}"])]
        answer = await ask_on(rig, BY_FORMAT[format], body_of(format, "both", stream=streamed))
        assert answer.status == 502
        assert "error" in answer.json()
        told = told_once(answer)
        assert [(each["provider"], each["status"], each["result"]) for each in told["attempts"]] == [
            ("p", 401, "credentials"),
            ("q", 402, "exhausted"),
        ]
        assert told["attempt"] is None
        assert told["summary"] == "nobody answered; p: credentials, q: exhausted"
        assert not any(each["selected"] for each in told["endpoints"]["available"])


@pytest.mark.parametrize("format", GENERATING)
async def test_metadata_of_a_stream_that_breaks(tmp_path: Path, format: str) -> None:
    """In the error that ends it: who had begun to answer, and why that was not the end."""
    begun = [event(delta(role="assistant", content="")), event(delta(content="Hel"))]
    async with Rig(tmp_path) as rig:
        rig.stage.plays = [Play(200, SSE, [*begun, broken(Sent.HEAD)])]
        answer = await ask_on(rig, BY_FORMAT[format], body_of(format, "both", stream=True))
        assert answer.status == 200
        told = told_once(answer)
        assert [(each["provider"], each["result"]) for each in told["attempts"]] == [("p", "broken")]
        assert told["attempt"] is None
        assert "broke off: broken" in told["summary"]


NATIVE = """
[providers.g]
base_url = "http://provider.test"
api_key = "none"
serves = ["gemini"]
models.m = { input = "1", output = "2" }
"""


@pytest.mark.parametrize("answers", ["nobody", "broken"])
async def test_metadata_of_a_failure_of_the_same_format(tmp_path: Path, answers: str) -> None:
    """Where nothing is translated too, as a status and in the stream."""
    piece = b'data: {"candidates":[{"content":{"parts":[{"text":"Hel"}],"role":"model"},"index":0}],"responseId":"r"}\r\n\r\n'
    async with Rig(tmp_path, more=NATIVE) as rig:
        is_begun = answers == "broken"
        rig.stage.plays = [Play(200, SSE, [piece, broken(Sent.HEAD)])] if is_begun else [Play(401, JSON, [b"{}"])]
        answer = await ask_on(rig, BY_FORMAT["gemini"], body_of("gemini", "g/m", stream=True))
        assert answer.status == (200 if is_begun else 502)
        assert [each["result"] for each in told_once(answer)["attempts"]] == ["broken" if is_begun else "credentials"]


async def test_metadata_of_a_refusal(tmp_path: Path) -> None:
    """A request that is sent to nobody says why; one that never came as far as a plan has nothing to say."""
    async with Rig(tmp_path) as rig:
        wished = {"model": "both", **ASKS["chat"], "provider": {"only": ["echo"]}}
        for body, why in ((body_of("chat", "nobody/x"), "model_not_found"), (json.dumps(wished).encode(), "no_allowed_provider")):
            answer = await ask_on(rig, BY_FORMAT["chat"], body)
            told = told_once(answer)
            assert (answer.status, told["refused"]["code"], told["attempts"]) == (404, why, [])
            assert why in told["summary"]
        assert [each["model"] for each in told["not_asked"]] == ["p/m", "q/m"]
        unfit = await ask_on(rig, BY_FORMAT["embeddings"], json.dumps({"model": "both", "input": "x"}).encode())
        assert {each["why"][:15] for each in told_once(unfit)["not_asked"]} == {"cannot be asked"}
        for body in (b"{", b'{"model":1}'):
            answer = await ask_on(rig, BY_FORMAT["chat"], body)
            assert (answer.status, OURS.encode() in answer.body) == (400, False)
