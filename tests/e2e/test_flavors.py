"""`/v1` speaks OpenAI and `/api/v1` speaks OpenRouter: every answer of ours, in the words of the one that was called.

Rule: what is asserted of one flavour is asserted of what the other must not have.
"""

import gzip
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.answers import DONE, completion, delta, event, respond, stream, usage_chunk
from tests.e2e.conftest import providers_toml
from tests.processes import Account, Edge, Reply, ask, get, make_account, post
from tests.provider import Provider
from usage.key import mint

BASES = ("/v1", "/api/v1")
OPENAI_ERROR = {"message", "type", "param", "code"}


def told(reply: Reply, base: str, status: int, code: str) -> dict[str, Any]:
    """The error object, after what must be true of every one."""
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"]
    body = reply.json()
    assert list(body) == ["error"]
    error: dict[str, Any] = body["error"]
    assert error["message"]
    if base == "/v1":
        assert set(error) == OPENAI_ERROR
        assert error["code"] == code
    else:
        assert set(error) == {"code", "message", "metadata"}
        assert error["code"] == status
        assert error["metadata"]["code"] == code
        assert error["metadata"]["error_type"]
    return error


def request_of(model: str, **more: Any) -> dict[str, Any]:
    return {"model": f"mock/{model}", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50, **more}


@pytest.mark.parametrize("base", BASES)
def test_refusals(edge: Edge, account: Account, provider: Provider, model: str, base: str) -> None:
    """What we refuse by ourselves: each with its status and code."""
    path = base + "/chat/completions"
    told(post(edge.port, request_of(model, temperature=3), account.headers, path), base, 400, "invalid_value")
    told(post(edge.port, b"[]", account.headers, path), base, 400, "invalid_json")
    told(post(edge.port, request_of(model), {}, path), base, 401, "invalid_api_key")
    stranger = {"authorization": f"Bearer {mint(bytes(32))[0]}"}
    told(post(edge.port, request_of(model), stranger, path), base, 401, "invalid_api_key")
    unknown = {"model": "nobody/nothing", "messages": [{"role": "user", "content": "x"}]}
    told(post(edge.port, unknown, account.headers, path), base, 404, "model_not_found")
    packed = gzip.compress(json.dumps(request_of(model)).encode())
    coded = post(edge.port, packed, account.headers | {"content-encoding": "gzip"}, path)
    told(coded, base, 415, "unsupported_content_encoding")
    assert coded.headers["accept-encoding"] == "identity"
    told(post(edge.port, b"x" * (33 * 1024 * 1024), account.headers, path), base, 413, "payload_too_large")
    assert not provider.requests[model]


@pytest.mark.parametrize("base", BASES)
def test_refusal_no_credit(edge: Edge, model: str, base: str) -> None:
    """402, and where there is a place for it what would have been affordable."""
    poor = make_account(edge, f"poor-{model}", "0.000000001")
    error = told(post(edge.port, request_of(model), poor.headers, base + "/chat/completions"), base, 402, "insufficient_credits")
    assert base == "/v1" or error["metadata"]["affordable_tokens"] == 0


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(("status", "answered"), [(400, 400), (429, 429), (500, 502), (503, 503)])
def test_error_of_a_provider(
    edge: Edge, account: Account, provider: Provider, model: str, base: str, status: int, answered: int
) -> None:
    """A provider's error is told with the provider's name where there is a place for it."""
    provider.script(model, respond({"error": {"message": "no", "code": "some_code"}}, status))
    reply = post(edge.port, request_of(model), account.headers, base + "/chat/completions")
    assert reply.status == answered
    error = reply.json()["error"]
    if base == "/v1":
        assert set(error) == OPENAI_ERROR
        assert isinstance(error["code"], str)
    else:
        assert error["code"] == answered
        assert error["metadata"]["provider_name"] == "mock"


def test_error_mid_stream(edge: Edge, account: Account, provider: Provider, model: str) -> None:
    """OpenAI's clients get an event with the error alone, OpenRouter's a chunk with a choice that ended in an error."""
    provider.script(model, stream([event(delta(content="par")), event({"error": {"message": "overloaded", "code": 503}})]))
    for base in BASES:
        reply = post(edge.port, request_of(model, stream=True), account.headers, base + "/chat/completions")
        events = [json.loads(line[6:]) for line in reply.body.split(b"\n") if line.startswith(b"data: ")]
        assert events[0]["choices"][0]["delta"]["content"] == "par"
        last = events[-1]
        if base == "/v1":
            assert set(last) == {"error"}
            assert set(last["error"]) == OPENAI_ERROR
            assert last["error"]["code"] == "provider_overloaded"
        else:
            assert last["choices"] == [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]
            assert last["error"]["code"] == 503
            assert (last["object"], last["provider"]) == ("chat.completion.chunk", "mock")
        assert b"[DONE]" not in reply.body


def test_answer(edge: Edge, account: Account, provider: Provider, model: str) -> None:
    """OpenRouter's clients get the provider, the native finish and the reasoning; OpenAI's nothing of it, whole or streamed."""
    said = completion("fine", message={"reasoning_content": "because"}, finish_reason="eos")
    parts = [delta(reasoning_content="because"), delta(content="fine"), delta("eos"), usage_chunk(9, 3)]
    events = [*map(event, parts), DONE]
    provider.script(model, *[respond(said), stream(events)] * 2)
    for base in BASES:
        path = base + "/chat/completions"
        whole = post(edge.port, request_of(model), account.headers, path).json()
        body = post(edge.port, request_of(model, stream=True), account.headers, path).body
        chunks = [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: {")]
        choices = [whole["choices"][0], chunks[-1]["choices"][0]]
        spoken = [whole["choices"][0]["message"], chunks[0]["choices"][0]["delta"]]
        assert [answer["usage"]["completion_tokens"] for answer in (whole, chunks[-1])] == [3, 3]
        if base == "/v1":
            assert [choice["finish_reason"] for choice in choices] == ["eos", "eos"]
            assert not {"provider", "system_fingerprint"} & set(whole)
            assert not any({"native_finish_reason", "reasoning"} & set(part) for part in (*choices, *spoken))
        else:
            assert [(choice["finish_reason"], choice["native_finish_reason"]) for choice in choices] == [("stop", "eos")] * 2
            assert [part["reasoning"] for part in spoken] == ["because", "because"]
            assert whole["provider"] == chunks[0]["provider"] == "mock"
            assert whole["system_fingerprint"] is None
            assert [chunk.get("usage", "none") for chunk in chunks[:-1]] == ["none", "none"]


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("path", ["/files", "/nothing", "/chat", "/chat/completions/x", ""])
def test_path_not_served(edge: Edge, account: Account, base: str, path: str) -> None:
    """404 says what there is and which base address to set."""
    for method in ("GET", "POST"):
        error = told(ask(edge.port, method, base + path, headers=account.headers), base, 404, "not_found")
        assert "POST /v1/chat/completions" in error["message"]
        assert "/api/v1" in error["message"]


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1/v1/chat/completions", "/v1/chat/completions"),
        ("/api/v1/v1/chat/completions", "/api/v1/chat/completions"),
        ("/api/chat/completions", "/api/v1/chat/completions"),
        ("/v1/chat/completion", "/v1/chat/completions"),
        ("/models", "/v1/models"),
        ("/api/v1/credit", "/api/v1/credits"),
    ],
)
def test_path_meant(edge: Edge, path: str, meant: str) -> None:
    """A base address that is too short, or in the path twice, is recognised."""
    reply = ask(edge.port, "POST", path)
    assert reply.status == 404
    assert f"Did you mean {meant}?" in reply.json()["error"]["message"]


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/chat/completions", "POST, OPTIONS"),
        ("PUT", "/chat/completions/", "POST, OPTIONS"),
        ("POST", "/models", "GET, HEAD, OPTIONS"),
        ("DELETE", "/models/mock/x", "GET, HEAD, OPTIONS"),
        ("POST", "/credits", "GET, HEAD, OPTIONS"),
    ],
)
def test_method_not_allowed(edge: Edge, base: str, method: str, path: str, allow: str) -> None:
    """405 names what is allowed."""
    reply = ask(edge.port, method, base + path)
    told(reply, base, 405, "method_not_allowed")
    assert reply.headers["allow"] == allow


@pytest.mark.parametrize("base", BASES)
def test_slashes_that_mean_nothing(edge: Edge, account: Account, provider: Provider, model: str, base: str) -> None:
    """A slash at the end, or two in a row, is served and never redirected."""
    provider.script(model, respond(completion("fine")))
    for path in ("/chat/completions/", "//chat/completions", "/chat/completions?beta=true"):
        reply = post(edge.port, request_of(model), account.headers, base + path)
        assert reply.status == 200, path
        assert reply.json()["choices"][0]["message"]["content"] == "fine"
    for path in ("/models/", "/credits/", "/key/", "//models"):
        assert get(edge.port, base + path, account.headers).status == 200, path


@pytest.mark.parametrize("path", ["/v1/models", "/healthz", "/readyz", "/", "/v1/credits", "/api/v1/key"])
def test_request_id_on_every_answer(edge: Edge, account: Account, path: str) -> None:
    """Ours, or the caller's own if it is well-formed."""
    assert get(edge.port, path).headers["x-request-id"].startswith("req-")
    assert get(edge.port, path, {"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert get(edge.port, path, {"x-request-id": "a b"}).headers["x-request-id"].startswith("req-")


@pytest.mark.parametrize("base", BASES)
def test_account_errors(edge: Edge, account: Account, base: str) -> None:
    """The account's endpoints refuse in the same words."""
    told(get(edge.port, base + "/credits"), base, 401, "invalid_api_key")
    told(get(edge.port, base + "/generation?id=gen-none", account.headers), base, 404, "not_found")
    told(get(edge.port, base + "/generation", account.headers), base, 400, "missing_parameter")
    two = {**account.headers, "x-api-key": mint(bytes(32))[0]}
    assert "different keys" in told(get(edge.port, base + "/key", two), base, 401, "invalid_api_key")["message"]
    for name in ("x-api-key", "api-key"):
        assert get(edge.port, base + "/credits", {name: account.key}).status == 200


@pytest.mark.parametrize("name", ["x-api-key", "api-key"])
def test_key_in_another_header(edge: Edge, account: Account, provider: Provider, model: str, name: str) -> None:
    """Where Anthropic's and Azure's clients put it; two that differ are refused, and neither reaches a provider."""
    provider.script(model, respond(completion("fine")))
    assert post(edge.port, request_of(model), {name: account.key}).status == 200
    assert post(edge.port, request_of(model), {**account.headers, name: account.key}).status == 200
    assert provider.wait_for_request(model).header(name) is None
    other, _ = mint(bytes(32))
    error = told(post(edge.port, request_of(model), {**account.headers, name: other}), "/v1", 401, "invalid_api_key")
    assert "different keys" in error["message"]


@pytest.mark.parametrize("base", BASES)
def test_key_in_the_url(edge: Edge, account: Account, provider: Provider, model: str, base: str) -> None:
    """Refused with the reason, on the paid path and beside it; and a parameter that is no key is none."""
    for path in (f"/chat/completions?key={account.key}", "/chat/completions?api_key=x"):
        assert "URL" in told(post(edge.port, request_of(model), {}, base + path), base, 401, "invalid_api_key")["message"]
    leaked = post(edge.port, request_of(model), account.headers, f"{base}/chat/completions?note={account.key}")
    told(leaked, base, 401, "invalid_api_key")
    told(get(edge.port, f"{base}/credits?access_token={account.key}"), base, 401, "invalid_api_key")
    assert get(edge.port, f"{base}/credits?key=x", account.headers).status == 200
    assert not provider.requests[model]


def test_models_for_openai(edge: Edge) -> None:
    """OpenAI's four members, and one model alone."""
    listed = get(edge.port, "/v1/models").json()
    assert listed["object"] == "list"
    assert all(set(entry) == {"id", "object", "created", "owned_by"} for entry in listed["data"])
    assert get(edge.port, "/v1/models/echo/echo-1").json() == next(e for e in listed["data"] if e["id"] == "echo/echo-1")
    assert get(edge.port, "/v1/models/echo%2Fecho-1").json()["id"] == "echo/echo-1"
    error = told(get(edge.port, "/v1/models/echo/echo-2"), "/v1", 404, "model_not_found")
    assert "did you mean echo/echo-1?" in error["message"]


def test_models_for_openrouter(edge: Edge) -> None:
    """OpenRouter's members, none of OpenAI's."""
    listed = get(edge.port, "/api/v1/models").json()
    entry = next(entry for entry in listed["data"] if entry["id"] == "echo/echo-1")
    assert entry["pricing"]["prompt"] == "0.0000001"
    assert not {"object", "owned_by"} & set(entry)
    assert get(edge.port, "/api/v1/models/echo/echo-1").json() == {"data": entry}
    assert get(edge.port, "/api/v1/models/count").json() == {"data": {"count": len(listed["data"])}}
    assert get(edge.port, "/api/v1/models/echo/echo-1/endpoints").json()["data"]["endpoints"]
    told(get(edge.port, "/api/v1/models/no/such/endpoints"), "/api/v1", 404, "model_not_found")


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(
    ("rest", "status", "code"),
    [
        (b"x: " + b"y" * 70_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"transfer-encoding: chunked\r\n\r\nzz\r\n", 400, "bad_request"),
        (b"no colon here\r\n\r\n", 400, "bad_request"),
    ],
)
def test_no_request_at_all(edge: Edge, server: str, base: str, rest: bytes, status: int, code: str) -> None:
    """What our own server answers before anything else has seen it is in the words of the path, as far as that was read."""
    if server != "native":
        return  # granian answers such things by itself, without a body
    with socket.create_connection(("127.0.0.1", edge.port), timeout=20) as caller:
        caller.sendall(f"POST {base}/chat/completions HTTP/1.1\r\nhost: a\r\n".encode() + rest)
        head, _, body = b"".join(iter(lambda: caller.recv(65_536), b"")).partition(b"\r\n\r\n")
    first, *rows = head.decode().split("\r\n")
    headers = dict(row.lower().split(": ", 1) for row in rows)
    told(Reply(int(first.split()[1]), headers, body), base, status, code)


PAGE = {"origin": "https://app.example"}
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-lang",
}


@pytest.fixture(scope="module")
def edge_with(provider: Provider, server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Edge]]:
    """An edge whose table lists these origins."""
    running: dict[str, Edge] = {}

    def start(origins: str) -> Edge:
        if origins not in running:
            table = providers_toml(provider) + f"\n[cors]\norigins = {origins}\n"
            running[origins] = Edge(tmp_path_factory.mktemp("cors"), table, TOLLWAY_SERVER=server)
            running[origins].start()
        return running[origins]

    yield start
    for edge in running.values():
        edge.stop()


@pytest.mark.parametrize("base", BASES)
def test_browser_where_none_may(edge: Edge, account: Account, provider: Provider, model: str, base: str) -> None:
    """Off by default: a preflight is told why; whoever merely sends an Origin is served, without a header for browsers."""
    reply = ask(edge.port, "OPTIONS", base + "/chat/completions", headers=PAGE | PREFLIGHT)
    assert "[cors] origins" in told(reply, base, 403, "origin_not_allowed")["message"]
    assert not [name for name in reply.headers if name.startswith("access-control")]
    provider.script(model, respond(completion("fine")))
    reply = post(edge.port, request_of(model), account.headers | PAGE, base + "/chat/completions")
    assert reply.status == 200
    assert not [name for name in reply.headers if name.startswith("access-control")]


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("path", ["/chat/completions", "/models", "/credits", "/nothing"])
def test_browser_preflight(edge_with: Callable[[str], Edge], base: str, path: str) -> None:
    """A listed origin is let through with its headers; another one is not."""
    edge = edge_with('["https://app.example", "http://localhost:5173"]')
    reply = ask(edge.port, "OPTIONS", base + path, headers=PAGE | PREFLIGHT)
    assert (reply.status, reply.body) == (204, b"")
    assert reply.headers["access-control-allow-origin"] == "https://app.example"
    assert "POST" in reply.headers["access-control-allow-methods"]
    assert reply.headers["access-control-allow-headers"] == PREFLIGHT["access-control-request-headers"]
    assert "origin" in reply.headers["vary"]
    for other in ("https://app.example.evil", "https://app.example:444", "http://app.example", "null"):
        refused = ask(edge.port, "OPTIONS", base + path, headers={"origin": other} | PREFLIGHT)
        told(refused, base, 403, "origin_not_allowed")
        assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize("base", BASES)
def test_browser_request(edge_with: Callable[[str], Edge], provider: Provider, model: str, base: str) -> None:
    """Answers, streams and refusals can be read by the page, with our headers."""
    edge = edge_with('["https://app.example", "http://localhost:5173"]')
    caller = make_account(edge, f"page-{model}-{len(base)}", "1.00")
    provider.script(model, respond(completion("fine")), stream([event(delta(content="x")), event(delta("stop"))]))
    path = base + "/chat/completions"
    replies = [
        post(edge.port, request_of(model), caller.headers | PAGE, path),
        post(edge.port, request_of(model, stream=True), caller.headers | PAGE, path),
        post(edge.port, request_of(model), PAGE, path),
        get(edge.port, base + "/models", PAGE),
        get(edge.port, base + "/credits", caller.headers | PAGE),
        get(edge.port, base + "/nothing", PAGE),
        post(edge.port, b"", PAGE, base + "/models"),
    ]
    assert [reply.status for reply in replies] == [200, 200, 401, 200, 200, 404, 405]
    for reply in replies:
        assert reply.headers["access-control-allow-origin"] == "https://app.example"
        assert "x-request-id" in reply.headers["access-control-expose-headers"]
        assert reply.headers["x-request-id"]
    assert "access-control-allow-origin" not in get(edge.port, base + "/models").headers
    assert get(edge.port, base + "/models").headers["vary"] == "origin"
    assert "access-control-allow-origin" not in get(edge.port, "/healthz", PAGE).headers


def test_browser_anywhere(edge_with: Callable[[str], Edge]) -> None:
    """`*` lets any page in."""
    edge = edge_with('["*"]')
    for origin in ("https://x.example", "null"):
        reply = ask(edge.port, "OPTIONS", "/v1/models", headers={"origin": origin} | PREFLIGHT)
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (204, "*")


def test_options_without_an_origin(edge: Edge) -> None:
    """No browser: what is allowed."""
    reply = ask(edge.port, "OPTIONS", "/v1/chat/completions")
    assert (reply.status, reply.headers["allow"]) == (204, "POST, OPTIONS")


SPEAKERS: dict[str, Callable[[Any], Any]] = {
    "/v1/messages": lambda body: body["type"] == "error" and body["error"]["type"],
    "/api/v1/messages": lambda body: body["type"] == "error" and body["error"]["type"],
    "/v1beta/models/echo/echo-1:generateContent": lambda body: body["error"]["status"],
    "/v2/chat": lambda body: "error" not in body and body["message"],
    "/v2/rerank": lambda body: "error" not in body and body["message"],
    "/v2/embed": lambda body: "error" not in body and body["message"],
}


@pytest.mark.parametrize("path", SPEAKERS)
def test_refusals_in_the_words_of_other_apis(edge: Edge, account: Account, path: str) -> None:
    """What goes wrong before a surface is reached, and in it: an unknown path below it, a wrong method, no key, no JSON, a
    content coding, too much, a key in the URL, an unknown model; HEAD and OPTIONS as everywhere."""
    is_its_own = SPEAKERS[path]
    base = path[: path.index("/", 1)]
    below = path + "/batches" if "messages" in path else base + "/nothing"
    unknown = path.replace("echo/echo-1", "nobody/nothing")
    # Only said to be too large: what is still being sent when its answer comes may be cut off, on a machine that stands still.
    large = account.headers | {"content-type": "application/json", "content-length": str(33 * 1024 * 1024)}
    asked = {
        404: ask(edge.port, "POST", below, headers=account.headers),
        405: ask(edge.port, "DELETE", path, headers=account.headers),
        401: post(edge.port, {}, {}, path),
        400: post(edge.port, b"[", account.headers, path),
        415: post(edge.port, b"{}", account.headers | {"content-encoding": "br"}, path),
        413: ask(edge.port, "POST", path, headers=large),
    }
    for status, reply in asked.items():
        assert reply.status == status, (path, reply.body)
        assert is_its_own(reply.json()), reply.body
        assert reply.headers["x-request-id"]
        assert "messages" not in path or reply.headers["request-id"] == reply.headers["x-request-id"]
    leaked = post(edge.port, {}, {}, f"{path}?api_key=x")
    assert (leaked.status, bool(is_its_own(leaked.json()))) == (401, True)
    if unknown != path:
        wanted = post(edge.port, {"contents": [{"parts": [{"text": "x"}]}]}, account.headers, unknown)
        assert (wanted.status, bool(is_its_own(wanted.json()))) == (404, True)
    head = ask(edge.port, "HEAD", path, headers=account.headers)
    assert (head.status, head.body) == (405, b"")
    options = ask(edge.port, "OPTIONS", path, headers=account.headers)
    assert (options.status, options.headers["allow"], options.body) == (204, "POST, OPTIONS", b"")
