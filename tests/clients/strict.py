"""A provider that refuses what OpenAI refuses: a member of a request that the API reference does not name is a 400 that names it.

What it answers follows from the request (tools, a schema, an image, a stream) and from its model's name: `…fails-429` is that
status, `…breaks` an error in the middle of a stream, `…hangs` a stream that never ends.
Source: OpenAI's API reference (chat completions), the words of its errors.
"""

import re
from typing import Any

from tests.answers import DONE, Answer, Delay, Gate, completion, delta, event, respond, spoken, stream, usage_chunk
from tests.provider import Request

KNOWN = frozenset(
    {
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "moderation",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    }
)
KNOWN_IN_MESSAGE = frozenset(("role", "content", "name", "refusal", "audio", "tool_calls", "tool_call_id", "function_call"))
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
CITY = '{"city":"Rome","population":2800000}'
WORDS = {400: "context too long", 403: "not your model", 429: "slow down", 500: "we broke", 503: "too busy"}


def error(status: int, message: str, code: str | None = None, param: str | None = None) -> Answer:
    kind = "invalid_request_error" if status < 500 else "server_error"
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return respond(body, status, [("retry-after", "1")] if status in (429, 503) else [])


def unknown_in(body: dict[str, Any]) -> str | None:
    """The first member that OpenAI does not know."""
    for name in body:
        if name not in KNOWN:
            return name
    for at, message in enumerate(body["messages"]):
        for name in message:
            if name not in KNOWN_IN_MESSAGE:
                return f"messages[{at}].{name}"
    return None


def answer(request: Request) -> Answer:
    body = request.json()
    unknown = unknown_in(body)
    if unknown is not None:
        return error(400, f"Unknown parameter: '{unknown}'.", "unknown_parameter", unknown)
    model, is_streamed = body["model"], body.get("stream") is True
    fails = re.search(r"fails-(\d+)", model)
    if fails is not None:
        status = int(fails[1])
        return error(status, WORDS[status], "context_length_exceeded" if status == 400 else None)
    if "breaks" in model:
        failed = {"error": {"message": "overloaded", "type": "server_error", "param": None, "code": "server_error"}}
        return stream([event(delta(role="assistant", content="")), event(delta(content="Hel")), Delay(0.05), event(failed)])
    if "hangs" in model:
        return stream([event(delta(role="assistant", content="")), event(delta(content="Hel")), Gate(f"{model}-never"), DONE])
    if body.get("tools"):
        return _tools(is_streamed, body)
    text = _text(body)
    return stream(spoken(text)) if is_streamed else respond(completion("".join(text)))


def _text(body: dict[str, Any]) -> tuple[str, ...]:
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        return CITY[:9], CITY[9:]
    if any(isinstance(message["content"], list) and "image_url" in str(message["content"]) for message in body["messages"]):
        return ("A ", "cat.")
    return "Hel", "lo ", "there."


def _tools(is_streamed: bool, body: dict[str, Any]) -> Answer:
    function = body["tools"][0]["function"]
    name, arguments = function["name"], CITY if "population" in str(function["parameters"]) else '{"city":"Rome"}'
    call = CALL | {"function": {"name": name, "arguments": arguments}}
    if not is_streamed:
        return respond(completion(None, message={"tool_calls": [call]}, finish_reason="tool_calls"))
    first = {"index": 0, **call, "function": {"name": name, "arguments": ""}}
    parts = [delta(role="assistant", content=None, tool_calls=[first])]
    parts += [delta(tool_calls=[{"index": 0, "function": {"arguments": text}}]) for text in (arguments[:4], arguments[4:])]
    return stream([*map(event, [*parts, delta("tool_calls"), usage_chunk(9, 3)]), DONE])
