"""Claude Code and Codex CLI, as they are installed from npm, against an edge with a scripted provider behind it.

A turn is two parallel tool calls, their results, and a final answer, on a provider that speaks the agent's own API and on one
that speaks another. Strategy: the provider answers by what the request holds: without a tool's result two calls, with them words.
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.answers import Answer, Gate, delta, event, respond, stream, usage_chunk
from tests.provider import Request

TIMEOUT_S = 90
FINAL = "Both commands ran."
COUNTED = 77_000
"""What the provider says of any tokens that it is to count."""
TOOLS = ("Bash", "exec_command", "shell")
COMMANDS = ("echo first-tool-ran", "echo second-tool-ran")
TABLE = """
[providers.claude]
base_url = "http://127.0.0.1:{port}/v1"
api_key = "none"
serves = ["messages", "count_tokens"]
unlisted = {{ input = "3", output = "15" }}
[providers.codex]
base_url = "http://127.0.0.1:{port}/v1"
api_key = "none"
serves = ["responses"]
unlisted = {{ input = "3", output = "15" }}
[providers.google]
base_url = "http://127.0.0.1:{port}/v1beta"
api_key = "none"
serves = ["gemini"]
unlisted = {{ input = "3", output = "15" }}
[providers.mock]
base_url = "http://127.0.0.1:{port}/v1"
api_key = "none"
unlisted = {{ input = "3", output = "15" }}
"""


def _named(value: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (value["type"].encode(), json.dumps(value).encode())


def _arguments(tool: str, command: str) -> str:
    return json.dumps({"cmd": command} if tool == "exec_command" else {"command": command, "description": "test"})


def chat(request: Request) -> Answer:
    """A provider that speaks Chat."""
    asked = request.json()
    names = [tool["function"]["name"] for tool in asked.get("tools") or []]
    tool = next((name for name in TOOLS if name in names), "")
    if not tool or any(message["role"] == "tool" for message in asked["messages"]):
        return stream([event(delta(content=FINAL)), event(delta("stop")), event(usage_chunk(100, 5)), b"data: [DONE]\n\n"])
    calls = [
        {"index": at, "id": f"call_{at}", "type": "function", "function": {"name": tool, "arguments": _arguments(tool, command)}}
        for at, command in enumerate(COMMANDS)
    ]
    parts = [event(delta(tool_calls=[call])) for call in calls]
    return stream(
        [event(delta(content="Running. ")), *parts, event(delta("tool_calls")), event(usage_chunk(100, 40)), b"data: [DONE]\n\n"]
    )


def slow(gate: str) -> Answer:
    """A Chat answer whose second half waits at a gate."""
    first, second = FINAL[:9], FINAL[9:]
    end = [event(delta(content=second)), event(delta("stop")), event(usage_chunk(100, 5)), b"data: [DONE]\n\n"]
    return stream([event(delta(content=first)), Gate(gate), *end])


def messages(request: Request) -> Answer:
    """A provider that speaks Messages, and counts."""
    if "/count_tokens" in request.line:
        return respond({"input_tokens": COUNTED})
    asked = request.json()
    usage = {"input_tokens": 100, "output_tokens": 1}
    start: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "usage": usage,
    }
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    said = json.dumps(asked["messages"])
    names = [tool["name"] for tool in asked.get("tools") or []]
    tool = next((name for name in TOOLS if name in names), "")
    if not tool or '"tool_result"' in said:
        events += _block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": FINAL})
        stop = "end_turn"
    else:
        for at, command in enumerate(COMMANDS):
            block = {"type": "tool_use", "id": f"toolu_{at}", "name": tool, "input": {}}
            events += _block(at, block, {"type": "input_json_delta", "partial_json": _arguments(tool, command)})
        stop = "tool_use"
    ended = {"stop_reason": stop, "stop_sequence": None}
    events += [{"type": "message_delta", "delta": ended, "usage": {"output_tokens": 40}}, {"type": "message_stop"}]
    return stream([_named(each) for each in events])


def _block(at: int, block: dict[str, Any], part: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": at, "content_block": block},
        {"type": "content_block_delta", "index": at, "delta": part},
        {"type": "content_block_stop", "index": at},
    ]


def responses(request: Request) -> Answer:
    """A provider that speaks Responses."""
    asked = request.json()
    names = [tool.get("name") for tool in asked.get("tools") or []]
    tool = next((name for name in TOOLS if name in names), "")
    has_results = not tool or any(item.get("type") == "function_call_output" for item in asked["input"] if isinstance(item, dict))
    base = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "in_progress", "output": []}
    output: list[dict[str, Any]] = []
    if has_results:
        content = [{"type": "output_text", "text": FINAL, "annotations": []}]
        output.append({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content})
    else:
        for at, command in enumerate(COMMANDS):
            call = {"type": "function_call", "id": f"fc_{at}", "call_id": f"call_{at}", "name": tool}
            output.append(call | {"arguments": _arguments(tool, command), "status": "completed"})
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    usage = {"input_tokens": 100, "output_tokens": 40, "total_tokens": 140, **details}
    events: list[dict[str, Any]] = [{"type": "response.created", "response": base}]
    for at, item in enumerate(output):
        events.append({"type": "response.output_item.added", "output_index": at, "item": {**item, "status": "in_progress"}})
        if "content" in item:
            place = {"item_id": "msg_1", "output_index": at, "content_index": 0}
            events.append({"type": "response.output_text.delta", **place, "delta": FINAL, "logprobs": []})
        events.append({"type": "response.output_item.done", "output_index": at, "item": item})
    done = {**base, "status": "completed", "output": output, "usage": usage}
    events.append({"type": "response.completed", "response": done})
    return stream([_named({**each, "sequence_number": at}) for at, each in enumerate(events)])


def gemini(request: Request) -> Answer:
    """A provider that speaks Google's generateContent: each call whole in a part, with a signature that its API wants back."""
    asked = request.json()
    declared = [function["name"] for tool in asked.get("tools") or [] for function in tool.get("functionDeclarations") or []]
    tool = next((name for name in TOOLS if name in declared), "")
    said = [part for content in asked["contents"] for part in content["parts"]]
    if not tool or any("functionResponse" in part for part in said):
        assert all(part.get("thoughtSignature") for part in said if "functionCall" in part), said
        parts: list[dict[str, Any]] = [{"text": FINAL}]
    else:
        calls = [{"name": tool, "args": json.loads(_arguments(tool, command))} for command in COMMANDS]
        parts = [{"functionCall": call, "thoughtSignature": "c2lnbmVk"} for call in calls]
    usage = {"promptTokenCount": 100, "candidatesTokenCount": 40, "totalTokenCount": 140}
    said_so = [event({"candidates": [{"content": {"parts": [part], "role": "model"}, "index": 0}]}) for part in parts]
    last = {"candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "STOP", "index": 0}]}
    return stream([*said_so, event(last | {"usageMetadata": usage})])


SPOKEN = {"mock": chat, "claude": messages, "codex": responses, "google": gemini}
"""Provider of the table → how it answers."""


def claude_env(home: Path, port: int, key: str) -> dict[str, str]:
    """The settings of docs/surfaces.md."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}/api",
        "ANTHROPIC_AUTH_TOKEN": key,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
    }


def run_claude(binary: Path, home: Path, port: int, key: str, model: str, prompt: str) -> subprocess.CompletedProcess[str]:
    """One prompt to Claude Code, which may run `echo`."""
    command = [str(binary), "-p", prompt, "--model", model, "--output-format", "json", "--allowedTools", "Bash"]
    env = claude_env(home, port, key)
    return subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)


def watch_claude(binary: Path, home: Path, port: int, key: str, model: str, shown: Callable[[], None]) -> str:
    """What Claude Code says as it comes; `shown` is called at the first words of the answer."""
    command = [str(binary), "-p", "hello", "--model", model, "--output-format", "stream-json", "--include-partial-messages"]
    said, env = "", claude_env(home, port, key)
    with subprocess.Popen(
        [*command, "--verbose"], env=env, cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            piece = json.loads(line).get("event", {}).get("delta", {}).get("text", "")
            if piece and not said:
                shown()
            said += piece
    return said


def run_codex(binary: Path, home: Path, port: int, key: str, model: str, prompt: str) -> subprocess.CompletedProcess[str]:
    """One prompt to Codex, which may run anything in `home`."""
    (home / ".codex").mkdir(exist_ok=True)
    (home / ".codex" / "config.toml").write_text(
        f'model = "{model}"\nmodel_provider = "tollway"\n[model_providers.tollway]\nname = "Tollway"\n'
        f'base_url = "http://127.0.0.1:{port}/v1"\nenv_key = "TOLLWAY_KEY"\nwire_api = "responses"\n'
    )
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "TOLLWAY_KEY": key, "CODEX_HOME": str(home / ".codex")}
    command = [str(binary), "exec", "--skip-git-repo-check", "-s", "danger-full-access", prompt]
    return subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
