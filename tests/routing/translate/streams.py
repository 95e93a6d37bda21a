"""Recorded streams as they were on the wire, the chains that a surface makes of the pairs, and what a client reads of them."""

import json
import re
from pathlib import Path
from typing import Any

from routing.metering.meter import Meter
from routing.rewrite.chat.answer import open_answer, rewrite_answer
from routing.rewrite.chat.stream import StreamRewrite
from routing.rewrite.identity import Identity
from routing.table.tariff import Tariff
from routing.translate import Context, Format, downstream_pair, upstream_pair
from routing.translate.chain import Chain
from tests.routing import recordings
from usage.flavor import Flavor
from usage.record import Rates

FOLDER = recordings.FOLDER / "formats"
CONTEXT = Context("gen-1", "a/b", 1_764_000_000, 9)
IDENTITY = Identity("gen-1", "a/b", Flavor.OPENAI, "p", 1_764_000_000)
RATES = Rates(input=150_000, output=600_000)
_FORMATS: dict[str, Format] = {
    "anthropic": "messages",
    "responses": "responses",
    "google": "gemini",
    "amazon-bedrock": "converse",
    "cohere": "cohere",
}
OF_OTHER_APIS = ("cohere-reranking",)
HEAD_EVENTS, TAIL_EVENTS = 24, 10
"""Of a long recording: deltas stand alone, so what is left of it is a stream all the same."""


def format_of(name: str) -> Format:
    return next((format for start, format in _FORMATS.items() if name.startswith(start)), "chat")


def names(kind: str, *formats: Format) -> list[str]:
    """The recordings of these formats; `kind` is "chunks.txt" or "json"."""
    paths = [*recordings.FOLDER.glob(f"*.{kind}"), *FOLDER.glob(f"*.{kind}")]
    found = sorted(path.name.removesuffix(f".{kind}") for path in paths if format_of(path.name) in formats)
    return [name for name in found if name not in OF_OTHER_APIS]


def _path(name: str, kind: str) -> Path:
    folder = recordings.FOLDER if format_of(name) == "chat" else FOLDER
    return folder / f"{name}.{kind}"


def lines(name: str, *, is_short: bool = False) -> list[bytes]:
    found = [line for line in _path(name, "chunks.txt").read_bytes().split(b"\n") if line.strip()]
    if is_short and len(found) > HEAD_EVENTS + TAIL_EVENTS:
        return found[:HEAD_EVENTS] + found[-TAIL_EVENTS:]
    return found


def wire(name: str, *, is_short: bool = False) -> bytes:
    return framed(format_of(name), lines(name, is_short=is_short))


def framed(format: Format, events: list[bytes]) -> bytes:
    """The events of a stream in the framing of its format."""
    match format:
        case "chat":
            return b"".join([b"data: %b\n\n" % event for event in events]) + b"data: [DONE]\n\n"
        case "gemini":
            return b"".join([b"data: %b\r\n\r\n" % event for event in events])
        case "converse":
            from tests.routing.wire.frames import frame

            return b"".join([frame(name, payload) for event in events for name, payload in json.loads(event).items()])
        case _:
            return b"".join([b"event: %b\ndata: %b\n\n" % (_type_of(event), event) for event in events])


def _type_of(event: bytes) -> bytes:
    """By its text: one recording has an event that is no JSON."""
    found = re.search(rb'"type":"([\w.-]+)"', event)
    assert found is not None
    return found[1]


def answer(name: str) -> bytes:
    return _path(name, "json").read_bytes()


def rewriter(*, include_usage: bool = False, choices: int = 1) -> StreamRewrite:
    meter = Meter(Tariff(RATES), 9)
    return StreamRewrite(IDENTITY, meter, include_usage=include_usage, created=1, line_bytes_max=1 << 24, choices=choices)


def chain(provider: Format, caller: Format, memo: Any = None) -> Chain:
    """What stands between a provider and a caller."""
    upstream, downstream = upstream_pair(provider), downstream_pair(caller)
    context = Context(CONTEXT.gen_id, CONTEXT.model, CONTEXT.created_s, CONTEXT.prompt_tokens, memo)
    return Chain(
        IDENTITY,
        rewriter(include_usage=downstream is not None),
        upstream.machine(CONTEXT) if upstream else None,
        downstream.machine(context) if downstream else None,
    )


def run(machine: Any, data: bytes, size: int = 0) -> bytes:
    """Whole, or in pieces of `size`."""
    parts = [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
    sent: bytes = b""
    for part in parts:
        if not getattr(machine, "is_over", False):
            sent += machine.feed(part)
    rest: bytes = machine.finish()
    return sent + rest


def translated(name: str, caller: Format, *, is_short: bool = False, size: int = 0) -> bytes:
    """A recorded stream as a caller of that format gets it."""
    return run(chain(format_of(name), caller), wire(name, is_short=is_short), size)


def whole(name: str, caller: Format) -> bytes:
    """A recorded answer as a caller of that format gets it. AttemptFailed."""
    return whole_of(answer(name), format_of(name), caller)


def whole_of(body: bytes, provider: Format, caller: Format) -> bytes:
    """An answer of a provider's format as a caller of another gets it. AttemptFailed."""
    upstream, downstream = upstream_pair(provider), downstream_pair(caller)
    if upstream is not None:
        body = upstream.whole(body, CONTEXT)
    body = rewrite_answer(body, open_answer(body), IDENTITY, Meter(Tariff(RATES), 9))
    return body if downstream is None else downstream.whole(body, CONTEXT)


def events(stream: bytes) -> list[Any]:
    """The JSON of each event."""
    payloads = [line[6:] for line in stream.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(payload.decode("utf-8", "replace")) for payload in payloads if payload != b"[DONE]"]


def chat_message(stream: bytes) -> dict[str, Any]:
    """What the chunks of a Chat stream say, put together."""
    said: dict[str, Any] = {"content": "", "reasoning": "", "calls": {}, "finish": None, "usage": None, "details": []}
    for event in events(stream):
        said["usage"] = event.get("usage") or said["usage"]
        for choice in event.get("choices") or ():
            delta = choice["delta"]
            said["content"] += text_of(delta.get("content"))
            said["reasoning"] += delta.get("reasoning") or delta.get("reasoning_content") or thought_of(delta.get("content"))
            said["details"] += delta.get("reasoning_details") or ()
            for call in delta.get("tool_calls") or ():
                known = said["calls"].setdefault(
                    call.get("index", len(said["calls"])), {"id": call.get("id"), "name": "", "arguments": ""}
                )
                function = call.get("function") or {}
                known["name"] += function.get("name") or ""
                known["arguments"] += function.get("arguments") or ""
            said["finish"] = choice.get("finish_reason") or said["finish"]
    return said


def text_of(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part["type"] == "text")
    return content or ""


def thought_of(content: Any) -> str:
    parts = content if isinstance(content, list) else []
    return "".join(inner["text"] for part in parts if part["type"] == "thinking" for inner in part["thinking"])


def message_of(stream: list[Any]) -> dict[str, Any]:
    """What the events of a Messages stream say: blocks, stop reason and the last word of each count."""
    blocks: dict[int, dict[str, Any]] = {}
    said: dict[str, Any] = {"usage": {}, "stop": None}
    for event in stream:
        match event["type"]:
            case "message_start":
                said["usage"] |= event["message"].get("usage") or {}
            case "content_block_start":
                blocks[event["index"]] = {"json": "", **event["content_block"]}
            case "content_block_delta":
                block, delta = blocks[event["index"]], event["delta"]
                for name, value in delta.items():
                    if name == "partial_json":
                        block["json"] += value
                    elif name not in ("type", "citation"):
                        block[name] = block.get(name, "") + value
            case "message_delta":
                said["stop"] = event["delta"].get("stop_reason") or said["stop"]
                said["usage"] |= {name: value for name, value in event["usage"].items() if value is not None}
    said["blocks"] = [block for _, block in sorted(blocks.items())]
    return said


def same_blocks(blocks: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """The blocks, so that two answers that say the same are equal: texts behind one another are one text."""
    found: list[tuple[Any, ...]] = []
    for block in blocks:
        match block["type"]:
            case "text" if block["text"]:
                if found and found[-1][0] == "text":
                    found[-1] = ("text", found[-1][1] + block["text"])
                else:
                    found.append(("text", block["text"]))
            case "thinking" if block.get("thinking") or block.get("signature"):
                found.append(("thinking", block.get("thinking", ""), block.get("signature", "")))
            case "redacted_thinking":
                found.append(("redacted", block["data"]))
            case "tool_use":
                given = json.loads(block["json"]) if block.get("json") else block.get("input", {})
                found.append(("tool_use", block["id"], block["name"], given))
    return found
