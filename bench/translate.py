"""What translating costs: CPU time per streamed event, beside Chat's own rewrite; and per request of an agent, beside
reading it as a Chat request, which is what any request costs.

    python -m bench.translate

Limits: one process, one event per read, texts with escapes mixed in; only ratios within one run are meant.
"""

import json
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from struct import pack
from typing import Any, Final
from zlib import crc32

from routing.metering.meter import Meter
from routing.request.envelope import read
from routing.rewrite.chat.stream import StreamRewrite
from routing.rewrite.gemini import GeminiStream
from routing.rewrite.identity import Identity
from routing.rewrite.messages import MessagesStream
from routing.rewrite.responses import ResponsesStream
from routing.table.tariff import Tariff
from routing.translate import DOWNSTREAM, HUB, UPSTREAM, Context, Format, Target, downstream_pair, upstream_pair
from routing.translate.chain import Chain
from routing.wire.members import decode_members
from usage.flavor import Flavor
from usage.record import Rates

ROUNDS: Final = 9
EVENTS: Final = 2_000
STREAMS: Final = 200
CONTEXT: Final = Context("gen-1", "a/b", 5, 10)
IDENTITY: Final = Identity("gen-1", "a/b", Flavor.OPENAI, "p")
WORDS: Final = ("Hello", " wor", "ld, this", " is\\n", ' a \\"test\\"', " of", " some \u00e9", " text")
CHAT: Final = (
    'data: {"id":"chatcmpl-abc","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o","system_fingerprint":"fp",'
    '"choices":[{"index":0,"delta":{"content":"%(text)s"},"logprobs":null,"finish_reason":null}],"usage":null}\n\n'
)
MESSAGES: Final = (
    "event: content_block_delta\n"
    'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%(text)s"}}\n\n'
)
RESPONSES: Final = (
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":%(number)d,'
    '"item_id":"msg_1","output_index":0,"content_index":0,"delta":"%(text)s","logprobs":[],"obfuscation":"%(padding)s"}\n\n'
)
GEMINI: Final = (
    'data: {"candidates":[{"content":{"parts":[{"text":"%(text)s"}],"role":"model"},"index":0}],"usageMetadata":'
    '{"promptTokenCount":29,"candidatesTokenCount":%(number)d,"totalTokenCount":%(number)d,"promptTokensDetails":'
    '[{"modality":"TEXT","tokenCount":29}]},"modelVersion":"gemini-3","responseId":"x"}\r\n\r\n'
)
COHERE: Final = (
    'event: content-delta\ndata: {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"%(text)s"}}}}\n\n'
)
CONVERSE: Final = '{"contentBlockIndex":0,"delta":{"text":"%(text)s"},"p":"%(padding)s"}'
OF: Final[dict[Format, str]] = {
    "chat": CHAT,
    "messages": MESSAGES,
    "responses": RESPONSES,
    "gemini": GEMINI,
    "cohere": COHERE,
    "converse": CONVERSE,
}
"""A provider's format → one piece of an answer as it is on the wire, with what differs from one to the next."""


def events_of(format: Format) -> list[bytes]:
    """A stream's pieces, each as one read."""
    made = []
    for number in range(EVENTS):
        values = {"text": WORDS[number % len(WORDS)], "number": number, "padding": "abcdefghijklmnop"[: number % 11]}
        piece = (OF[format] % values).encode()
        made.append(_framed(piece) if format == "converse" else piece)
    return made


def _framed(payload: bytes) -> bytes:
    """One frame of AWS' eventstream."""
    told = {":event-type": b"contentBlockDelta", ":content-type": b"application/json", ":message-type": b"event"}
    head = b"".join([pack(">B", len(k)) + k.encode() + pack(">BH", 7, len(v)) + v for k, v in told.items()])
    start = pack(">II", len(head) + len(payload) + 16, len(head))
    frame = start + pack(">I", crc32(start)) + head + payload
    return frame + pack(">I", crc32(frame))


PASSED: Final[dict[Format, Callable[..., Any]]] = {
    "messages": MessagesStream,
    "responses": ResponsesStream,
    "gemini": GeminiStream,
}
"""Format → what a stream goes through where the provider speaks the caller's format."""


def new_meter() -> Meter:
    return Meter(Tariff(Rates(input=150_000, output=600_000)), 10)


def rewrite(include_usage: bool) -> StreamRewrite:
    return StreamRewrite(IDENTITY, new_meter(), include_usage=include_usage, created=7, line_bytes_max=1 << 24)


def chain(provider: Format, caller: Format) -> Chain:
    upstream, downstream = upstream_pair(provider), downstream_pair(caller)
    return Chain(
        IDENTITY,
        rewrite(downstream is not None),
        upstream.machine(CONTEXT) if upstream else None,
        downstream.machine(CONTEXT) if downstream else None,
    )


def per_event_us(make: Callable[[], Any], events: list[bytes]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        feed = make().feed
        start = time.process_time()
        for event in events:
            feed(event)
        best = min(best, time.process_time() - start)
    return best / len(events) * 1e6


def agent_request() -> bytes:
    """Of the size and shape of Claude Code's for one word: blocks of instructions, twelve tools, 49 kB."""
    schema = {
        "type": "object",
        "properties": {f"argument_{n}": {"type": "string", "description": "What it is for, in a line. " * 3} for n in range(6)},
        "required": ["argument_0"],
        "additionalProperties": False,
    }
    tools = [{"name": f"Tool{n}", "description": "How it is used.\n" * 138, "input_schema": schema} for n in range(12)]
    system = [{"type": "text", "text": "You help with code. " * 170, "cache_control": {"type": "ephemeral"}} for _ in range(2)]
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "<reminder>\n" + "x" * 1_500}, {"type": "text", "text": "ping"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "Tool1", "input": {"argument_0": "a"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "done\n" * 100}]},
    ]
    body = {
        "model": "x",
        "max_tokens": 32_000,
        "stream": True,
        "system": system,
        "tools": tools,
        "messages": turns,
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
        "metadata": {"user_id": "u"},
    }
    return json.dumps(body).encode()


def per_call_us(call: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(200):
            call()
        best = min(best, time.process_time() - start)
    return best / 200 * 1e6


def stream_bytes(make: Callable[[], Any], events: list[bytes]) -> int:
    """Memory that one open stream's machine holds, after its beginning."""
    machines = []
    tracemalloc.start()
    for _ in range(STREAMS):
        machines.append(machine := make())
        for event in events:
            machine.feed(event)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held // len(machines)


def start_ms(statement: str) -> float:
    """CPU of a new process that runs it, the best of some."""
    best = float("inf")
    for _ in range(ROUNDS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", statement], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best * 1e3


def print_starts() -> None:
    """What a process pays at its start, and what it pays once, at the first request that needs a translator."""
    print(f"\n{'process':40} {'ms CPU':>7} {'of start':>8}")
    start = start_ms("import proxy")
    print(f"{'import proxy':40} {start:7.1f} {1:8.2f}")
    for caller in ("anthropic.messages", "openai.responses", "gemini.generate_content"):
        surface = start_ms(f"import proxy, routing.surfaces.{caller}")
        print(f"{f'and the surface of {caller}':40} {surface:7.1f} {surface / start:8.2f}")
    for name in (*UPSTREAM.values(), *DOWNSTREAM.values()):
        cost = start_ms(f"import proxy, routing.translate.chain, {name}")
        print(f"{f'and {name.rpartition(chr(46))[2]}':40} {cost:7.1f} {cost / start:8.2f}")


def main() -> None:
    own = per_event_us(lambda: rewrite(False), events_of("chat"))
    print(f"{'stream, per event':40} {'us':>7} {'of Chat':>8}")
    for passed_format, passed in PASSED.items():
        us = per_event_us(partial(passed, IDENTITY, new_meter(), created=7, line_bytes_max=1 << 24), events_of(passed_format))
        print(f"{f'{passed_format}, passed on':40} {us:7.2f} {us / own:8.2f}")
    print(f"{'chat (its own rewrite)':40} {own:7.2f} {1:8.2f}")
    for provider in OF:
        if provider != "chat" and upstream_pair(provider) is None:
            continue
        for caller in ("chat", "messages", "responses"):
            if caller != provider:
                cost = per_event_us(lambda p=provider, c=caller: chain(p, c), events_of(provider))  # type: ignore[misc]
                print(f"{f'{caller} on {provider}':40} {cost:7.2f} {cost / own:8.2f}")
    print(f"\n{'open stream, its machine':40} {'bytes':>7} {'of Chat':>8}")
    few = stream_bytes(lambda: rewrite(False), events_of("chat")[:40])
    print(f"{'chat (its own rewrite)':40} {few:7} {1:8.2f}")
    for provider, caller in (("messages", "chat"), ("chat", "messages"), ("chat", "responses"), ("gemini", "messages")):
        held = stream_bytes(lambda p=provider, c=caller: chain(p, c), events_of(provider)[:40])  # type: ignore[misc]
        print(f"{f'{caller} on {provider}':40} {held:7} {held / few:8.2f}")
    print_starts()
    body, target = agent_request(), Target("p", "claude-sonnet-4-6", 64_000)
    down, up = downstream_pair("messages"), upstream_pair("messages")
    assert down is not None
    assert up is not None
    chat, again = down.request(body, target).body, down.request(body, Target("p", "m", traits=HUB)).body
    split = per_call_us(lambda: read(chat))
    print(f"\n{f'request of {len(body)} bytes':40} {'us':>7} {'of read':>8}")
    print(f"{'read as a Chat request (envelope)':40} {split:7.1f} {1:8.2f}")
    members = per_call_us(lambda: decode_members(body))
    print(f"{'of which: top-level members':40} {members:7.1f} {members / split:8.2f}")
    for name, call in (
        ("messages on chat", lambda: down.request(body, target)),
        ("chat on messages", lambda: up.request(again, target)),
    ):
        cost = per_call_us(call)
        print(f"{name:40} {cost:7.1f} {cost / split:8.2f}")
    assert len(chat) > len(body) // 2


if __name__ == "__main__":
    main()
