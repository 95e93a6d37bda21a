"""Headers: what is refused on arrival, what crosses in each direction, and the head a provider gets."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.plan.refusal import Refusal
from routing.table.config import parse
from routing.table.endpoint import endpoint
from routing.table.provider import Provider
from routing.wire.headers import (
    IGNORED_BYTES_MAX,
    USER_AGENT,
    Arrival,
    Headers,
    own_request_id,
    to_downstream,
    upstream_head_prefix,
    validate,
)

HOST = (b"host", b"edge.example:8000")
TRACE = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"


def arrive(*headers: tuple[bytes, bytes]) -> Arrival:
    arrival = validate([HOST, *headers])
    assert isinstance(arrival, Arrival), arrival
    return arrival


def code_of(*headers: tuple[bytes, bytes]) -> tuple[int, str]:
    refusal = validate(list(headers))
    assert isinstance(refusal, Refusal), refusal
    return refusal.status, refusal.code


def provider(fields: str = "") -> Provider:
    least = 'base_url = "https://p.example:8443/v1"\napi_key = "env:K"\nunlisted = { input = "1", output = "1" }'
    return parse(f"[providers.p]\n{least}\n{fields}").providers["p"]


def test_arrival_ordinary() -> None:
    """What the request path needs is picked; everything else, cookies and addresses included, is left behind."""
    arrival = arrive(
        (b"authorization", b"Bearer k"),
        (b"content-length", b"12"),
        (b"content-encoding", b"identity"),
        (b"user-agent", b"OpenAI/Python \xff"),
        (b"x-request-id", b"req-1"),
        (b"x-request-id", b"req-2"),
        (b"cookie", b"a=b"),
        (b"x-forwarded-for", b"10.0.0.1"),
        (b"idempotency-key", b"1"),
        (b"traceparent", TRACE),
        (b"traceparent", TRACE),
        (b"tracestate", b"a=1"),
    )
    forwarded = b"traceparent: " + TRACE + b"\r\ntracestate: a=1\r\n"
    assert arrival == Arrival(HOST[1], b"Bearer k", "req-1", 12, False, "OpenAI/Python ?", forwarded, None, b"1")


def test_arrival_chunked() -> None:
    """The one transfer encoding there is, in any case."""
    assert arrive((b"transfer-encoding", b" Chunked")).is_chunked
    assert arrive((b"content-length", b"7"), (b"content-length", b"7")).content_length == 7


@pytest.mark.parametrize("value", [b"", b"a b", b"\xff", b"x" * 129, b"a\x00"])
def test_arrival_request_id_malformed(value: bytes) -> None:
    """A request id that is not well-formed is not taken over."""
    assert arrive((b"x-request-id", value)).request_id is None


@pytest.mark.parametrize("value", [b"junk", TRACE.upper(), TRACE + b"\r\nx: y"])
def test_arrival_trace_malformed(value: bytes) -> None:
    """A trace header in another shape is dropped, and can never open a new line."""
    assert arrive((b"traceparent", value)).forwarded == b""


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ((), "invalid_host"),
        ((HOST, HOST), "invalid_host"),
        (((b"host", b""),), "invalid_host"),
        (((b"host", b"a b"),), "invalid_host"),
        (((b"host", b"user@x"),), "invalid_host"),
        (((b"host", b"x:123456"),), "invalid_host"),
        ((HOST, (b"transfer-encoding", b"gzip, chunked")), "unsupported_transfer_encoding"),
        ((HOST, (b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")), "unsupported_transfer_encoding"),
        ((HOST, (b"transfer-encoding", b"chunked"), (b"content-length", b"1")), "ambiguous_length"),
        ((HOST, (b"content-length", b"1"), (b"content-length", b"2")), "invalid_content_length"),
        ((HOST, (b"content-length", b"+1")), "invalid_content_length"),
        ((HOST, (b"content-length", "١".encode())), "invalid_content_length"),
        ((HOST, *[(b"x", b"y")] * 64), "too_many_headers"),
    ],
)
def test_arrival_refused(headers: tuple[tuple[bytes, bytes], ...], code: str) -> None:
    """What could be read in two ways, or not at all, is refused with 400."""
    assert code_of(*headers) == (400, code)


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"zstd", b"identity, gzip"])
def test_arrival_coded_body_refused(coding: bytes) -> None:
    """A compressed body is 415, as RFC 9110 has it."""
    assert code_of(HOST, (b"content-encoding", coding)) == (415, "unsupported_content_encoding")


@pytest.mark.parametrize(
    "headers",
    [
        ((b"x-api-key", b"k"),),
        ((b"api-key", b" k "),),
        ((b"x-api-key", b"k"), (b"api-key", b"k"), (b"authorization", b"Bearer k")),
        ((b"authorization", b"bearer  k"), (b"x-api-key", b"k")),
        ((b"x-api-key", b"k"), (b"authorization", b"Bearer ")),
        ((b"x-api-key", b"k"), (b"authorization", b"")),
        ((b"x-api-key", b""), (b"authorization", b"Bearer k")),
    ],
)
def test_arrival_key_in_other_headers(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    """Where Anthropic's and Azure's clients put a key it is one too; several that agree, and empty ones, are no harm."""
    arrival = arrive(*headers)
    assert (arrival.authorization or b"").split()[1:] == [b"k"]


@pytest.mark.parametrize(
    "headers",
    [
        ((b"x-api-key", b"k"), (b"api-key", b"l")),
        ((b"x-api-key", b"k"), (b"x-api-key", b"l")),
        ((b"authorization", b"Bearer k"), (b"x-api-key", b"l")),
        ((b"x-api-key", b"l"), (b"authorization", b"Bearer k")),
        ((b"authorization", b"Basic k"), (b"api-key", b"k")),
        ((b"x-api-key", b"\xc3\xa9"),),
    ],
)
def test_arrival_keys_that_disagree(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    """Two keys are 401: which of them pays is not guessed."""
    assert code_of(HOST, *headers) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    "headers", [((b"authorization", b"Bearer \xc3\xa9"),), ((b"authorization", b"a"), (b"authorization", b"a"))]
)
def test_arrival_credentials_refused(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    """Credentials that no key can have, or two of them, are 401."""
    assert code_of(HOST, *headers) == (401, "invalid_api_key")


@pytest.mark.parametrize("host", [b"x", b"a.b-c.example", b"127.0.0.1:8000", b"[::1]:80", b"[::1]"])
def test_arrival_host_valid(host: bytes) -> None:
    """Names, addresses and ports as they are."""
    assert isinstance(validate([(b"host", host)]), Arrival)


@given(
    st.lists(st.tuples(st.sampled_from([b"traceparent", b"tracestate", b"host", b"user-agent", b"x-request-id"]), st.binary()))
)
def test_arrival_cannot_inject(headers: Headers) -> None:
    """Whatever the values are, what goes on to a provider is whole lines of the two headers that may."""
    arrival = validate([HOST, *headers])
    if isinstance(arrival, Arrival):
        *lines, last = arrival.forwarded.split(b"\r\n")
        assert last == b""
        assert all(line.startswith((b"traceparent: ", b"tracestate: ")) and b"\n" not in line for line in lines)


def test_head_to_a_provider() -> None:
    """The whole head, byte for byte; a number, the forwarded lines and an empty line follow."""
    assert upstream_head_prefix(provider(), "s3") == (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: p.example:8443\r\nauthorization: Bearer s3\r\nuser-agent: "
        + USER_AGENT
        + b"\r\n"
        b"accept: application/json\r\naccept-encoding: identity\r\ncontent-type: application/json\r\ncontent-length: "
    )


def test_head_with_a_providers_own_wishes() -> None:
    """Another header for the key, headers of its own, another user agent, or no key at all."""
    own = provider('auth_header = "api-key"\nextra_headers = { "User-Agent" = "mine", "X-Org" = "o" }')
    head = upstream_head_prefix(own, "s3")
    assert b"\r\napi-key: s3\r\n" in head
    assert b"\r\nuser-agent: mine\r\nx-org: o\r\n" in head
    assert b"tollway" not in head
    assert b"authorization" not in upstream_head_prefix(provider(), None)


@pytest.mark.parametrize("secret", ["", "a\r\nx: y", "a\nb", "a\x00", "clé"])
def test_head_refuses_a_secret(secret: str) -> None:
    """A key that would break the head is refused, and not repeated."""
    with pytest.raises(ValueError, match="the key of p is empty or has characters") as caught:
        upstream_head_prefix(provider(), secret)
    assert not secret or secret not in str(caught.value)


def test_head_refuses_a_header() -> None:
    """Even a provider that was not read from a table cannot break the head."""
    made = Provider("p", provider().base_url, extra_headers=(("x", "a\r\nb: c"),))
    with pytest.raises(ValueError, match="a header of p"):
        upstream_head_prefix(made, None)


def test_headers_to_the_caller() -> None:
    """A provider's limits, account, cookies and length stay here; ours are added."""
    upstream = [
        (b"content-type", b"text/event-stream"),
        (b"x-ratelimit-remaining-tokens", b"1"),
        (b"openai-organization", b"us"),
        (b"openai-processing-ms", b"12"),
        (b"set-cookie", b"a"),
        (b"x-request-id", b"theirs"),
        (b"content-length", b"3"),
        (b"connection", b"close"),
    ]
    assert to_downstream(upstream, dict(upstream), b"gen-1", b"req-1", (), True) == [
        (b"content-type", b"text/event-stream"),
        (b"openai-processing-ms", b"12"),
        (b"x-generation-id", b"gen-1"),
        (b"x-request-id", b"req-1"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),
    ]
    assert (b"x-accel-buffering", b"no") not in to_downstream(upstream, dict(upstream), b"", b"", (), False)


def test_user_agent_is_our_version() -> None:
    """The version we send is the one of the project."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert USER_AGENT.decode() == f"{project['name']}/{project['version']}"


@pytest.mark.parametrize(
    ("headers", "member", "value"),
    [
        (((b"x-openrouter-metadata", b"enabled"),), "metadata", "openrouter_metadata"),
        (((b"x-tollway-metadata", b" Enabled "),), "metadata", "tollway_metadata"),
        (((b"x-openrouter-metadata", b"enabled"), (b"x-tollway-metadata", b"enabled")), "metadata", "tollway_metadata"),
        (((b"x-tollway-metadata", b"disabled"),), "metadata", ""),
        (((b"x-tollway-metadata", b"yes"),), "metadata", ""),
        (((b"idempotency-key", b"a"), (b"idempotency-key", b"a")), "idempotency_key", b"a"),
        (((b"content-encoding", b"identity"), (b"content-encoding", b"")), "metadata", ""),
        (((b"content-length", b"7"), (b"content-length", b"07")), "content_length", 7),
        (((b"x-request-id", b"a b"), (b"x-request-id", b"req-2")), "request_id", "req-2"),
        (((b"traceparent", b"junk"), (b"traceparent", TRACE)), "forwarded", b"traceparent: " + TRACE + b"\r\n"),
        (((b"x-api-key", b""), (b"x-api-key", b"k")), "api_key", b"k"),
        (((b"host", b""),), "host", HOST[1]),
        (((b"accept", b"a"), (b"accept", b"b")), "api_key", None),
    ],
)
def test_arrival_of_what_is_seldom_sent(headers: tuple[tuple[bytes, bytes], ...], member: str, value: object) -> None:
    """What stands twice and agrees, or of which one says nothing, is that; a wish is one in one word only."""
    assert getattr(arrive(*headers), member) == value


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        (((b"idempotency-key", b"a"), (b"idempotency-key", b"b")), 400, "invalid_idempotency_key"),
        (((b"content-encoding", b"gzip"), (b"content-encoding", b"identity")), 415, "unsupported_content_encoding"),
        (((b"content-encoding", b"identity"), (b"content-encoding", b"gzip")), 415, "unsupported_content_encoding"),
        (((b"content-length", b"7"), (b"content-length", b"x")), 400, "invalid_content_length"),
        (((b"host", b"other.example"),), 400, "invalid_host"),
        (((b"x-goog-api-key", b"k"), (b"authorization", b"Bearer l")), 401, "invalid_api_key"),
    ],
)
def test_arrival_that_says_two_things_is_refused(headers: tuple[tuple[bytes, bytes], ...], status: int, code: str) -> None:
    """In either order: which one another reader would take is not guessed."""
    assert code_of(HOST, *headers) == code_of(*headers, HOST) == (status, code)


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ([], None),
        ([(b"x-request-id", b"req-1")], "req-1"),
        ([(b"x-request-id", b"a b"), (b"x-request-id", b"req-2")], "req-2"),
        ([(b"x-request-id", b"req-1"), (b"x-request-id", b"req-2")], "req-1"),
        ([(b"x-request-id", b"\xff")], None),
        ([(b"request-id", b"req-1")], None),
    ],
)
def test_request_id_of_a_request_that_is_refused(headers: Headers, own: str | None) -> None:
    """It is the caller's, if it is well-formed, also where the request itself is not read."""
    assert own_request_id(headers) == own


@pytest.mark.parametrize(
    ("upstream", "is_stream", "told"),
    [
        ([], False, b"application/json"),
        ([(b"content-type", b"application/json; charset=utf-8")], False, b"application/json; charset=utf-8"),
        ([(b"content-type", b"Application/JSON")], False, b"Application/JSON"),
        ([(b"content-type", b"text/html")], False, b"application/json"),
        ([(b"content-type", b"application/json")], True, b"text/event-stream"),
        ([(b"content-type", b"text/event-stream; charset=utf-8")], True, b"text/event-stream; charset=utf-8"),
        ([(b"content-type", b"text/html"), (b"content-type", b"application/json")], False, b"application/json"),
        ([(b"x", b"1"), (b"x", b"2"), (b"content-type", b"application/json; a=b")], False, b"application/json; a=b"),
    ],
)
def test_type_of_an_answer_is_what_is_sent(upstream: Headers, is_stream: bool, told: bytes) -> None:
    """The provider's word where that fits, ours where it does not, or says two things."""
    headers = to_downstream(upstream, dict(upstream), b"gen-1", b"req-1", (), is_stream)
    assert dict(headers)[b"content-type"] == told
    assert len(dict(headers)) == len(headers)


@pytest.mark.parametrize(
    ("ignored", "told"),
    [
        (("seed",), b"seed"),
        (("seed", "messages[0].name"), b"seed, messages[0].name"),
        (("a\r\nx: y",), b"a??x: y"),
        (("é", "\x00"), b"?, ?"),
        (tuple("x" * 100 for _ in range(9)), b", ".join([b"x" * 100] * 9)[:IGNORED_BYTES_MAX]),
    ],
)
def test_members_that_were_left_out_are_told_in_one_line(ignored: tuple[str, ...], told: bytes) -> None:
    """Whatever a caller called them: no name opens a line of its own."""
    assert dict(to_downstream([], {}, b"", b"", ignored, False))[b"x-tollway-ignored"] == told


def test_head_of_a_form_and_of_an_endpoint_of_its_own() -> None:
    """A form's type has a boundary that is each request's own; an endpoint may have another place and another key's header."""
    form = upstream_head_prefix(provider(), "s3", endpoint=endpoint("transcriptions"))
    assert form.startswith(b"POST /v1/audio/transcriptions HTTP/1.1\r\n")
    assert b"content-type" not in form
    assert b"\r\naccept: */*\r\n" in form
    google = upstream_head_prefix(provider(), "s3", endpoint=endpoint("gemini"), model="a/b?c", is_stream=True)
    assert google.startswith(b"POST /v1/models/a%2Fb%3Fc:streamGenerateContent?alt=sse HTTP/1.1\r\n")
    assert b"\r\nx-goog-api-key: s3\r\n" in google
