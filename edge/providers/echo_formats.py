"""What the built-in provider `echo` answers beside Chat: vectors (the same for the same text), ranks by shared words, a tone.

Strategy: one function for each format, found by the path that the request goes to; imported when the first such request comes.
Rule: as in `edge.providers.echo`, what is made for one request is bounded, and a stream is made event by event.
Limits: it is there to try the API without a network; what it computes means nothing.
"""

import base64
import hashlib
import math
import re
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any, Final

import orjson

from edge.providers.echo_bounds import (
    IMAGES_MAX,
    NUMBERS_MAX,
    RESULTS_MAX,
    SAID_CHARS_MAX,
    check_at_most,
    words_in,
)
from routing.wire.multipart import read_form
from routing.wire.sound import seconds_likely

Answer = tuple[bytes, Iterable[bytes]]
"""Content type and pieces."""
JSON: Final = b"application/json"
EVENTS: Final = b"text/event-stream"
DIMENSIONS: Final = 64
RATE: Final = 8_000
_PROMPT: Final = ("contents", "systemInstruction", "tools")
PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_WORD: Final = re.compile(r"\S+")
_CONTENT_TYPE: Final = re.compile(rb"\r\ncontent-type: ([^\r\n]+)\r\n", re.IGNORECASE)


def answer(path: str, head: bytes, body: bytes) -> Answer:
    """What goes back. ValueError, KeyError, TypeError: the request cannot be read."""
    if path.startswith("/models/"):
        return _gemini(path.partition(":")[2], body)
    return _BY_PATH[path](head, body)


def _json(value: Any) -> Answer:
    return JSON, [orjson.dumps(value)]


def _events(*events: dict[str, Any]) -> Answer:
    return EVENTS, (b"event: %b\ndata: %b\n\n" % (event["type"].encode(), orjson.dumps(event)) for event in events)


def _text(value: Any) -> str:
    """A part of a request as text, its words apart."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _spoken(text: str, count: int) -> Iterator[str]:
    """The first words, one by one: a list of them would be many times as large as the text."""
    return (found[0] for found in islice(_WORD.finditer(text), count))


def _tokens(text: Any) -> int:
    return max(words_in(str(text)), 1)


def _vectors(texts: list[Any], dimensions: int) -> list[list[float]]:
    check_at_most(NUMBERS_MAX, len(texts) * dimensions, "numbers of vectors")
    return [_vector(_text(each), dimensions) for each in texts]


def _vector(text: str, dimensions: int) -> list[float]:
    """Of length 1, and the same for the same text."""
    seed = text.encode()
    values: list[float] = []
    while len(values) < dimensions:
        seed = hashlib.sha256(seed).digest()
        values += [byte / 127.5 - 1 for byte in seed]
    length = math.sqrt(sum(value * value for value in values[:dimensions])) or 1.0
    return [round(value / length, 7) for value in values[:dimensions]]


def _embeddings(head: bytes, body: bytes) -> Answer:
    asked = orjson.loads(body)
    given = asked["input"]
    inputs = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    dimensions = min(int(asked.get("dimensions") or DIMENSIONS), 4_096)
    data = []
    vector: Any
    for index, vector in enumerate(_vectors(inputs, dimensions)):
        if asked.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    tokens = sum(len(each) if isinstance(each, list) else _tokens(each) for each in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _json({"object": "list", "data": data, "model": asked["model"], "usage": usage})


def _moderations(head: bytes, body: bytes) -> Answer:
    asked = orjson.loads(body)
    names = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")
    given = asked["input"]
    count = len(given) if isinstance(given, list) and given and isinstance(given[0], str) else 1
    check_at_most(RESULTS_MAX, count, "results")
    result = {
        "flagged": False,
        "categories": dict.fromkeys(names, False),
        "category_scores": dict.fromkeys(names, 0.0),
        "category_applied_input_types": {name: ["text"] for name in names},
    }
    return _json({"id": "modr-echo", "model": asked["model"], "results": [result] * count})


def _rerank(head: bytes, body: bytes) -> Answer:
    asked = orjson.loads(body)
    wanted = _words(str(asked["query"]), SAID_CHARS_MAX)
    texts = [each if isinstance(each, str) else str(each.get("text", "")) for each in asked["documents"]]
    check_at_most(RESULTS_MAX, len(texts), "results")
    each_max = SAID_CHARS_MAX // max(len(texts), 1)
    scores = [len(wanted & _words(text, each_max)) / max(len(wanted), 1) for text in texts]
    order = sorted(range(len(texts)), key=lambda at: -scores[at])[: asked.get("top_n") or asked.get("top_k") or len(texts)]
    results: list[dict[str, Any]] = [{"index": at, "relevance_score": scores[at]} for at in order]
    if asked.get("return_documents"):
        for result in results:
            result["document"] = {"text": texts[result["index"]]}
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": -(-len(texts) // 100)}}
    tokens = _tokens(asked["query"]) + sum(map(_tokens, texts))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _json({"id": "rerank-echo", "model": asked["model"], "results": results, "meta": meta, "usage": usage})


def _words(text: str, chars_max: int) -> set[str]:
    return set(text[:chars_max].lower().split())


def _embed(head: bytes, body: bytes) -> Answer:
    """Cohere's."""
    asked = orjson.loads(body)
    inputs = asked.get("texts") or asked.get("images") or asked["inputs"]
    vectors = _vectors(inputs, min(int(asked.get("output_dimension") or DIMENSIONS), 4_096))
    meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": sum(map(_tokens, inputs))}}
    return _json({"id": "embed-echo", "embeddings": {"float": vectors}, "texts": asked.get("texts") or [], "meta": meta})


def _image_usage(prompt: str, images: int) -> dict[str, Any]:
    tokens = _tokens(prompt)
    details = {"text_tokens": tokens, "image_tokens": 0}
    made = 100 * images
    return {"input_tokens": tokens, "input_tokens_details": details, "output_tokens": made, "total_tokens": tokens + made}


def _images(head: bytes, body: bytes) -> Answer:
    asked = orjson.loads(body)
    return _pictures(str(asked["prompt"]), int(asked.get("n") or 1), bool(asked.get("stream")), "image_generation")


def _image_edits(head: bytes, body: bytes) -> Answer:
    form = read_form(body, _type_of(head))
    return _pictures(form.text("prompt") or "", int(form.text("n") or 1), form.text("stream") == "true", "image_edit")


def _pictures(prompt: str, images: int, is_stream: bool, kind: str) -> Answer:
    check_at_most(IMAGES_MAX, images, "images")
    usage = _image_usage(prompt, images)
    if not is_stream:
        return _json({"created": int(time.time()), "data": [{"b64_json": PIXEL}] * images, "usage": usage})
    partial = {"type": f"{kind}.partial_image", "b64_json": PIXEL, "partial_image_index": 0}
    ends = [{"type": f"{kind}.completed", "b64_json": PIXEL, "usage": _image_usage(prompt, 1)}] * images
    return _events(partial, *ends)


def _tone(text: str) -> bytes:
    """A wave file: an eighth of a second of 440 Hz for each word."""
    samples = RATE * min(_tokens(text), 80) // 8
    data = b"".join([struct.pack("<h", int(9_000 * math.sin(math.tau * 440 * at / RATE))) for at in range(samples)])
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, RATE * 2, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE") + form + struct.pack("<4sI", b"data", len(data)) + data


def _speech(head: bytes, body: bytes) -> Answer:
    asked = orjson.loads(body)
    tone, tokens = _tone(str(asked["input"])), _tokens(asked["input"])
    if asked.get("stream_format") != "sse":
        return b"audio/wav", [tone]
    usage = {"input_tokens": tokens, "output_tokens": tokens * 3, "total_tokens": tokens * 4}
    delta = {"type": "speech.audio.delta", "audio": base64.b64encode(tone).decode()}
    return _events(delta, {"type": "speech.audio.done", "usage": usage})


def _type_of(head: bytes) -> str:
    found = _CONTENT_TYPE.search(head)
    return "" if found is None else found[1].decode("latin-1")


def _transcriptions(head: bytes, body: bytes) -> Answer:
    form = read_form(body, _type_of(head))
    file = form.one("file")
    seconds = seconds_likely(file.content) if file is not None else 0
    text = f"A sound of {seconds} seconds."
    usage = {"type": "duration", "seconds": seconds}
    shape = form.text("response_format") or "json"
    if form.text("stream") == "true":
        deltas = [{"type": "transcript.text.delta", "delta": word + " "} for word in text.split()]
        return _events(*deltas, {"type": "transcript.text.done", "text": text, "usage": usage})
    if shape == "text":
        return b"text/plain; charset=utf-8", [text.encode() + b"\n"]
    if shape in ("srt", "vtt"):
        start = "WEBVTT\n\n" if shape == "vtt" else "1\n"
        mark = "." if shape == "vtt" else ","
        return b"text/plain; charset=utf-8", [f"{start}00:00:00{mark}000 --> 00:00:01{mark}000\n{text}\n\n".encode()]
    if shape == "verbose_json":
        return _json({"task": "transcribe", "language": "english", "duration": float(seconds), "text": text, "usage": usage})
    return _json({"text": text, "usage": usage})


def _completions(head: bytes, body: bytes) -> Answer:
    asked = orjson.loads(body)
    prompt = asked["prompt"] if isinstance(asked["prompt"], str) else _text(asked["prompt"])
    cap = int(asked.get("max_tokens", 16))
    said, tokens = prompt[:SAID_CHARS_MAX], _tokens(prompt)
    words = len(said.split())
    count, finish = min(words, cap), "stop" if words <= cap else "length"
    usage = {"prompt_tokens": tokens, "completion_tokens": count, "total_tokens": tokens + count}
    base = {"id": "cmpl-echo", "object": "text_completion", "created": int(time.time()), "model": asked["model"]}
    if not asked.get("stream"):
        choice = {"text": " ".join(_spoken(said, count)), "index": 0, "logprobs": None, "finish_reason": finish}
        return _json({**base, "choices": [choice], "usage": usage})
    deltas = ({"text": word + " ", "index": 0, "logprobs": None, "finish_reason": None} for word in _spoken(said, count))
    end = {"text": "", "index": 0, "logprobs": None, "finish_reason": finish}
    events = chain(({**base, "choices": [choice]} for choice in chain(deltas, [end])), [{**base, "choices": [], "usage": usage}])
    return EVENTS, chain((b"data: %b\n\n" % orjson.dumps(event) for event in events), [b"data: [DONE]\n\n"])


def _count_tokens(head: bytes, body: bytes) -> Answer:
    asked = orjson.loads(body)
    return _json({"input_tokens": _tokens(_text(asked["messages"])) + _tokens(asked.get("system") or "")})


def _gemini(action: str, body: bytes) -> Answer:
    asked = orjson.loads(body)
    if action.startswith("embedContent"):
        return _json({"embedding": {"values": _vector(_text(asked["content"]), DIMENSIONS)}})
    if action.startswith("countTokens"):
        within = asked.get("generateContentRequest") or asked
        return _json({"totalTokens": sum(_tokens(_text(within[name])) for name in _PROMPT if name in within)})
    if action.startswith("batchEmbedContents"):
        vectors = _vectors([each["content"] for each in asked["requests"]], DIMENSIONS)
        return _json({"embeddings": [{"values": values} for values in vectors]})
    parts = asked["contents"][-1]["parts"] if isinstance(asked["contents"], list) else asked["contents"]["parts"]
    said = " ".join(str(part.get("text", "(something)")) for part in (parts if isinstance(parts, list) else [parts]))
    cap = int((asked.get("generationConfig") or {}).get("maxOutputTokens") or 1_000_000)
    said = said[:SAID_CHARS_MAX]
    words = len(said.split())
    count, finish = min(words, cap), "STOP" if words <= cap else "MAX_TOKENS"
    prompt = _tokens(_text(asked["contents"]))
    usage = {"promptTokenCount": prompt, "candidatesTokenCount": count, "totalTokenCount": prompt + count}
    common = {"modelVersion": "echo", "responseId": "echo"}

    def candidate(text: str, **more: Any) -> dict[str, Any]:
        return {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0, **more}

    if not action.startswith("stream"):
        return _json(
            {"candidates": [candidate(" ".join(_spoken(said, count)), finishReason=finish)], "usageMetadata": usage, **common}
        )
    end = {"candidates": [candidate("", finishReason=finish)], "usageMetadata": usage, **common}
    events = chain(({"candidates": [candidate(word + " ")], **common} for word in _spoken(said, count)), [end])
    return EVENTS, (b"data: %b\r\n\r\n" % orjson.dumps(event) for event in events)


_BY_PATH: Final[dict[str, Callable[[bytes, bytes], Answer]]] = {
    "/embeddings": _embeddings,
    "/embed": _embed,
    "/moderations": _moderations,
    "/rerank": _rerank,
    "/images/generations": _images,
    "/images/edits": _image_edits,
    "/audio/speech": _speech,
    "/audio/transcriptions": _transcriptions,
    "/audio/translations": _transcriptions,
    "/completions": _completions,
    "/messages/count_tokens": _count_tokens,
}
