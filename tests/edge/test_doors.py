"""Doors of providers: what stands in the request that is sent, for each way to be let in."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from edge.providers.tokens import TokenRequest, Tokens
from tests.edge.rig import JSON, Play, Rig

pytestmark = pytest.mark.anyio
ANSWER = (
    b'{"id":"x","choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":2,"completion_tokens":1,"total_tokens":3}}'
)
MESSAGE = (
    b'{"id":"m","type":"message","role":"assistant","model":"x","content":[{"type":"text","text":"hi"}],'
    b'"stop_reason":"end_turn","usage":{"input_tokens":2,"output_tokens":1}}'
)
DOORS = """
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
"""


async def asked(rig: Rig, model: str, answer: bytes) -> tuple[bytes, dict[str, str], Any]:
    """The first line, the headers and the body that the provider got."""
    heads: list[bytes] = []
    stage_open = rig.stage.open

    async def remembering(target: Any, head: bytes, body: Any) -> Any:
        heads.append(head)
        return await stage_open(target, head, body)

    rig.stage.open = remembering  # type: ignore[method-assign]
    play = Play(200, JSON, [answer])
    caller = await rig.ask(play, model=model)
    assert caller.status == 200, caller.body
    line, *lines = heads[0].decode().split("\r\n")
    headers = dict(each.split(": ", 1) for each in lines if each)
    return line.encode(), headers, json.loads(play.asked)


async def test_door_of_aws_is_a_signature_over_the_body(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret is in no header; what is signed is the host, the time and the body's hash."""
    monkeypatch.setenv("DOOR_AWS", "AKID:topsecret")
    async with Rig(tmp_path, more=DOORS) as rig:
        line, headers, _ = await asked(rig, "aws/m", ANSWER)
        assert line == b"POST /openai/v1/chat/completions HTTP/1.1"
        scope = r"AWS4-HMAC-SHA256 Credential=AKID/\d{8}/eu-west-1/bedrock/aws4_request, SignedHeaders=host;"
        assert re.match(scope, headers["authorization"])
        assert "topsecret" not in str(headers)
        assert len(headers["x-amz-content-sha256"]) == 64


async def test_door_of_azure_has_the_deployment_in_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Classic paths: the model is quoted into the path, with the version behind it."""
    monkeypatch.setenv("DOOR_KEY", "k")
    async with Rig(tmp_path, more=DOORS) as rig:
        line, headers, body = await asked(rig, "azure/my%20model", ANSWER)
        assert line == b"POST /openai/deployments/my%2520model/chat/completions?api-version=2024-10-21 HTTP/1.1"
        assert headers["api-key"] == "k"
        assert "model" not in body


async def test_door_of_vertex_has_a_token_and_claude_in_its_path(tmp_path: Path) -> None:
    """A token that is there is used; the version stands in the body, the model does not; Chat is translated on the way."""
    async with Rig(tmp_path, more=DOORS) as rig:

        async def fetch(request: TokenRequest) -> tuple[int, bytes]:
            return 200, b'{"access_token":"t0ken","expires_in":3600}'

        tokens = Tokens(fetch)
        tokens.keep(rig.table._token_sources)
        rig.table._tokens = tokens
        for lanes in (rig.table._lanes, rig.table._endpoint_lanes):
            for lane in lanes.values():
                if lane.door is not None:
                    lane.door._tokens = tokens  # type: ignore[attr-defined]
        line, headers, body = await asked(rig, "vertex/claude-x", MESSAGE)
        assert line.endswith(b"/publishers/anthropic/models/claude-x:rawPredict HTTP/1.1")
        assert headers["authorization"] == "Bearer t0ken"
        assert body["anthropic_version"] == "vertex-2023-10-16"
        assert "model" not in body
        assert body["messages"][0]["role"] == "user"
