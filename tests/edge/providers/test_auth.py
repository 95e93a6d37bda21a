"""Authentication at providers: what stands in the request that is sent, for each way to authenticate."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from edge.providers.auth import BearerAuth
from edge.providers.sigv4 import Credentials, Signer, canonical_request, payload_hash
from edge.providers.tokens import TokenCache, TokenRequest
from edge.providers.trials import ask
from routing.surfaces import SURFACES
from tests.edge.rig import JSON, Play, Rig
from tests.routing.translate import streams
from tests.routing.wire.frames import frame

pytestmark = pytest.mark.anyio
ANSWER = (
    b'{"id":"x","choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":2,"completion_tokens":1,"total_tokens":3}}'
)
MESSAGE = (
    b'{"id":"m","type":"message","role":"assistant","model":"x","content":[{"type":"text","text":"hi"}],'
    b'"stop_reason":"end_turn","usage":{"input_tokens":2,"output_tokens":1}}'
)
PROVIDERS = """
[providers.aws]
base_url = "https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1"
api_key = "env:DOOR_AWS"
auth = "sigv4"
region = "eu-west-1"
unlisted = { input = "1", output = "2" }
[providers.azure]
base_url = "https://res.openai.azure.com/openai"
api_key = "env:DOOR_KEY"
auth_header = "api-key"
endpoints.chat = { path = "/deployments/{model}/chat/completions?api-version=2024-10-21" }
unlisted = { input = "1", output = "2" }
[providers.vertex]
base_url = "https://eu-aiplatform.googleapis.com/v1/projects/p/locations/eu/publishers/anthropic"
api_key = "none"
auth = "google"
unlisted = { input = "1", output = "2" }
[providers.vertex.endpoints.messages]
path = "/models/{model}:rawPredict"
stream_path = "/models/{model}:streamRawPredict"
body = { anthropic_version = "vertex-2023-10-16" }
[providers.bedrock]
base_url = "https://bedrock-runtime.eu-west-1.amazonaws.com"
api_key = "env:DOOR_AWS"
auth = "sigv4"
region = "eu-west-1"
serves = ["converse"]
unlisted = { input = "1", output = "2" }
"""
PLAIN = """
[providers.plain]
base_url = "http://plain.test/v1"
api_key = "none"
unlisted = { input = "1", output = "2" }
"""
MESSAGES = next(entry for entry in SURFACES if entry.format == "messages")


def heads_sent(rig: Rig) -> list[bytes]:
    """The heads of what providers will get, in their order."""
    heads: list[bytes] = []
    stage_open = rig.stage.open

    async def remembering(target: Any, head: bytes, body: Any) -> Any:
        heads.append(head)
        return await stage_open(target, head, body)

    rig.stage.open = remembering  # type: ignore[method-assign]
    return heads


def headers_in(head: bytes) -> dict[str, str]:
    return dict(each.split(": ", 1) for each in head.decode().split("\r\n")[1:] if each)


async def asked(rig: Rig, model: str, answer: bytes) -> tuple[bytes, dict[str, str], Any]:
    """The first line, the headers and the body that the provider got."""
    heads, play = heads_sent(rig), Play(200, JSON, [answer])
    caller = await rig.ask(play, model=model)
    assert caller.status == 200, caller.body
    return heads[0].partition(b"\r\n")[0], headers_in(heads[0]), json.loads(play.asked)


def keep_tokens(rig: Rig, tokens: TokenCache) -> None:
    """These are the tokens of the table's endpoints."""
    tokens.keep(rig.table.resolver._token_sources)
    rig.table.resolver._tokens = tokens
    for endpoints in (rig.table._resolved_chat, rig.table._resolved_endpoints):
        for resolved in endpoints.values():
            if isinstance(resolved.auth, BearerAuth):
                resolved.auth._tokens = tokens


async def test_auth_of_aws_is_a_signature_over_the_body(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret is in no header; what is signed is the host, the time and the body's hash."""
    monkeypatch.setenv("DOOR_AWS", "AKID:topsecret")
    async with Rig(tmp_path, more=PROVIDERS) as rig:
        line, headers, _ = await asked(rig, "aws/m", ANSWER)
        assert line == b"POST /openai/v1/chat/completions HTTP/1.1"
        scope = r"AWS4-HMAC-SHA256 Credential=AKID/\d{8}/eu-west-1/bedrock/aws4_request, SignedHeaders=host;"
        assert re.match(scope, headers["authorization"])
        assert "topsecret" not in str(headers)
        assert len(headers["x-amz-content-sha256"]) == 64


async def test_auth_of_azure_has_the_deployment_in_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Classic paths: the model is quoted into the path, with the version behind it."""
    monkeypatch.setenv("DOOR_KEY", "k")
    async with Rig(tmp_path, more=PROVIDERS) as rig:
        line, headers, body = await asked(rig, "azure/my%20model", ANSWER)
        assert line == b"POST /openai/deployments/my%2520model/chat/completions?api-version=2024-10-21 HTTP/1.1"
        assert headers["api-key"] == "k"
        assert "model" not in body


async def test_auth_of_vertex_has_a_token_and_claude_in_its_path(tmp_path: Path) -> None:
    """A token that is there is used; the version stands in the body, the model does not; Chat is translated on the way."""
    async with Rig(tmp_path, more=PROVIDERS) as rig:

        async def fetch(request: TokenRequest) -> tuple[int, bytes]:
            return 200, b'{"access_token":"t0ken","expires_in":3600}'

        keep_tokens(rig, TokenCache(fetch))
        line, headers, body = await asked(rig, "vertex/claude-x", MESSAGE)
        assert line.endswith(b"/publishers/anthropic/models/claude-x:rawPredict HTTP/1.1")
        assert headers["authorization"] == "Bearer t0ken"
        assert body["anthropic_version"] == "vertex-2023-10-16"
        assert "model" not in body
        assert body["messages"][0]["role"] == "user"


@pytest.mark.parametrize(
    ("model", "answer", "betas"),
    [
        ("vertex/claude-x", MESSAGE, "interleaved-thinking-2025-05-14"),
        ("bedrock/claude-x", streams.answer("amazon-bedrock-text"), None),
        ("plain/m", ANSWER, None),
    ],
)
async def test_beta_that_a_caller_names_reaches_those_who_know_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, answer: bytes, betas: str | None
) -> None:
    """Others refuse the request for a header that they do not know; and what a beta costs is the operator's to know."""
    monkeypatch.setenv("DOOR_AWS", "AKID:topsecret")
    async with Rig(tmp_path, more=PROVIDERS + PLAIN) as rig:

        async def fetch(request: TokenRequest) -> tuple[int, bytes]:
            return 200, b'{"access_token":"t0ken","expires_in":3600}'

        keep_tokens(rig, TokenCache(fetch))
        body = json.dumps({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}).encode()
        key = (b"authorization", b"Bearer " + rig.key.encode())
        beta = (b"anthropic-beta", b"interleaved-thinking-2025-05-14,brand-new-2026-10-01")
        heads, rig.stage.plays = heads_sent(rig), [Play(200, JSON, [answer])]
        caller = await rig.run(rig.caller_of(body, [(b"host", b"edge.test"), key, beta]), MESSAGES)
        assert caller.status == 200, caller.body
        assert headers_in(heads[0]).get("anthropic-beta") == betas


async def test_token_is_told_to_nobody(tmp_path: Path) -> None:
    """A provider that repeats the token in its complaint: as a status, inside a stream, and after it was renewed."""
    fetched = ["first-t0ken", "second-t0ken"]
    async with Rig(tmp_path, more=PROVIDERS) as rig:

        async def fetch(request: TokenRequest) -> tuple[int, bytes]:
            return 200, json.dumps({"access_token": fetched[0], "expires_in": 3600}).encode()

        while fetched:
            keep_tokens(rig, TokenCache(fetch))
            complaint = b'{"type":"error","error":{"type":"invalid_request_error","message":"who is %b?"}}' % fetched[0].encode()
            events = [(b"content-type", b"text/event-stream")]
            for play in (Play(400, JSON, [complaint]), Play(200, events, [b"event: error\ndata: %b\n\n" % complaint])):
                caller = await rig.ask(play, model="vertex/claude-x", stream=play.status == 200)
                assert b"who is [redacted]?" in caller.body, caller.body
            del fetched[0]


def is_signed(head: bytes, body: bytes, credentials: Credentials) -> bool:
    """Whether a head has the signature that AWS would make of the same request."""
    first, *lines = head.decode().split("\r\n")
    method, target, _ = first.split(" ")
    headers = dict(each.split(": ", 1) for each in lines if each)
    hashed = payload_hash([body])
    signed = [(name, headers[name]) for name in ("host", "x-amz-content-sha256", "x-amz-date")]
    request, names = canonical_request(method, target, signed, hashed)
    now_s = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    signer = Signer(credentials, "eu-west-1", "bedrock")
    return headers["authorization"] == signer.authorization(request, names, now_s) and headers["x-amz-content-sha256"] == hashed


CONVERSE = """
[providers.nova]
base_url = "https://bedrock-runtime.eu-west-1.amazonaws.com"
api_key = "env:DOOR_AWS"
auth = "sigv4"
region = "eu-west-1"
serves = ["converse"]
[providers.nova.models."amazon.nova-2-lite-v1:0"]
input = "1"
output = "2"
"""
FRAMES = b"".join(
    [
        frame("messageStart", {"role": "assistant"}),
        frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "hi"}}),
        frame("messageStop", {"stopReason": "end_turn"}),
        frame("metadata", {"usage": {"inputTokens": 5, "outputTokens": 1}}),
    ]
)


async def test_converse_is_signed_and_its_frames_become_a_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model's colon is quoted in the path and signed so; what comes back is a Chat stream with its cost, settled."""
    monkeypatch.setenv("DOOR_AWS", "AKID:topsecret")
    async with Rig(tmp_path, more=CONVERSE) as rig:
        heads: list[bytes] = []
        stage_open = rig.stage.open

        async def remembering(target: Any, head: bytes, body: Any) -> Any:
            heads.append(head)
            return await stage_open(target, head, body)

        rig.stage.open = remembering  # type: ignore[method-assign]
        play = Play(200, [(b"content-type", b"application/vnd.amazon.eventstream")], [FRAMES])
        answer = await rig.ask(play, model="nova/amazon.nova-2-lite-v1:0", stream=True)
        assert answer.status == 200
        assert b'"content":"hi"' in answer.body
        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert heads[0].startswith(b"POST /model/amazon.nova-2-lite-v1%3A0/converse-stream HTTP/1.1\r\n")
        assert is_signed(heads[0], play.asked, Credentials("AKID", "topsecret"))
        assert not is_signed(heads[0], play.asked + b" ", Credentials("AKID", "topsecret"))
        record = rig.records[-1]
        assert (record.tokens.prompt, record.tokens.completion, record.end_reason) == (5, 1, "completed")


async def test_trial_is_authenticated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that rested is tried with a list of models that is signed as what it is, a GET without a body."""
    monkeypatch.setenv("DOOR_AWS", "AKID:topsecret")
    async with Rig(tmp_path, more=PROVIDERS) as rig:
        heads: list[bytes] = []
        stage_open = rig.stage.open

        async def remembering(target: Any, head: bytes, body: Any) -> Any:
            heads.append(head)
            return await stage_open(target, head, body)

        rig.stage.open = remembering  # type: ignore[method-assign]
        rig.stage.plays = [Play(200, JSON, [b"{}"])]
        resolved = rig.table._resolved_chat["aws", "env:DOOR_AWS"]
        assert await ask(resolved) is None
        assert heads[0].startswith(b"GET /openai/v1/models HTTP/1.1\r\n")
        assert is_signed(heads[0], b"", Credentials("AKID", "topsecret"))
