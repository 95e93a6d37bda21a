"""Spans of sampled requests at a real OTLP receiver, and the request log of a real process."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.answers import completion, respond
from tests.e2e.conftest import providers_toml
from tests.http_server import HttpHandler, serving
from tests.patience import wait_until
from tests.processes import Edge, make_account, post
from tests.provider import Provider
from usage.trace import is_sampled, onward, span_ids, trace_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


class Receiver:
    """What was POSTed to /v1/traces; the first answer is 503."""

    origin: str

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.refused = 0
        receiver = self

        class Handler(HttpHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = 503 if not receiver.refused else 200
                receiver.refused += status == 503
                if status == 200 and self.path == "/v1/traces":
                    receiver.bodies.append(body)
                self.send_response(status)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

        self.handler = Handler


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    with serving(made.handler) as server:
        made.origin = f"http://127.0.0.1:{server.server_port}"
        yield made


def test_sampled_request_is_two_spans_and_one_line(tmp_path: Path, provider: Provider, receiver: Receiver) -> None:
    """The server's span is the caller's child, the client's span is its child and the provider's parent; one that is not sampled
    is not sent. Each has its line in the log, without the prompt or the key."""
    provider.script("traced", respond(completion(prompt=7, tokens=3)))
    toml = providers_toml(provider)
    with Edge(tmp_path, toml, TOLLWAY_OTLP_URL=receiver.origin, TOLLWAY_LOG_REQUESTS="json") as edge:
        account = make_account(edge, "traced", "5.00")
        body = {"model": "mock/traced", "messages": [{"role": "user", "content": "a very private prompt"}]}
        for flags in ("01", "00"):
            headers = account.headers | {"traceparent": f"00-{TRACE}-{PARENT}-{flags}"}
            assert post(edge.port, body, headers).status == 200
        wait_until(lambda: receiver.bodies)  # spans go every second
        assert edge.stop() == 0
        lines = [json.loads(line) for line in edge.log.splitlines() if line.startswith('{"time_ms"')]
    (told,) = receiver.bodies
    spans = {span["kind"]: span for span in _decoded(told)}
    server, client = spans[2], spans[3]
    assert server["traceId"] == client["traceId"] == TRACE
    assert server["parentSpanId"] == PARENT
    assert client["parentSpanId"] == server["spanId"]
    asked = dict(provider.requests["traced"][0].headers)["traceparent"]
    assert asked == f"00-{TRACE}-{client['spanId']}-01"
    attributes = {each["key"]: next(iter(each["value"].values())) for each in client["attributes"]}
    assert attributes["gen_ai.operation.name"] == "chat"
    assert (server["name"], client["name"]) == ("POST /chat/completions", "chat traced")
    assert (int(attributes["gen_ai.usage.input_tokens"]), int(attributes["gen_ai.usage.output_tokens"])) == (7, 3)
    assert receiver.refused == 1  # a receiver that is away for a moment costs nothing
    assert [line["status"] for line in lines] == [200, 200]
    assert lines[0]["trace"] == f"{TRACE}-{PARENT}-01"
    text = json.dumps(lines)
    assert "private" not in text
    assert account.key not in text


def _decoded(body: bytes) -> list[dict[str, Any]]:
    """The spans, after OpenTelemetry's own messages have read them, where those are installed."""
    value = json.loads(body)
    try:
        protobuf: Any = importlib.import_module("google.protobuf.json_format")
        messages: Any = importlib.import_module("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    except ImportError:
        pass
    else:
        # Its ids are hexadecimal where protobuf's own JSON wants base64; all else has to be as the messages have it.
        read = protobuf.ParseDict(value, messages.ExportTraceServiceRequest())
        assert len(read.resource_spans[0].scope_spans[0].spans) == 2
        assert read.resource_spans[0].scope_spans[0].spans[1].name == "chat traced"
    spans: list[dict[str, Any]] = value["resourceSpans"][0]["scopeSpans"][0]["spans"]
    return spans


def test_trace_is_read_and_passed_on() -> None:
    """Zeros are no trace, as W3C has it; only the parent's id changes on the way to the provider."""
    line = b"traceparent: 00-%s-%s-01\r\ntracestate: a=b\r\n" % (TRACE.encode(), PARENT.encode())
    assert trace_of(line) == f"{TRACE}-{PARENT}-01"
    assert is_sampled(trace_of(line))
    assert not is_sampled(trace_of(line.replace(b"-01\r", b"-00\r")))
    assert trace_of(line.replace(TRACE.encode(), b"0" * 32)) == ""
    assert trace_of(b"tracestate: a=b\r\n") == ""
    assert onward(line, "gen-x") == line.replace(PARENT.encode(), span_ids("gen-x")[1].encode())
