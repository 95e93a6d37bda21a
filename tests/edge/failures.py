"""What providers do instead of answering, and what is right then: one table for lone targets, pools of keys and aliases.

`Behaviour.answer` goes out over a real socket. `status` is what the caller of a lone target reads, `asks` how often that target
is asked. `pool` and `alias`: whether a healthy second key, or a healthy second target, answers instead. `rests` is what is
closed afterwards ("key", "target" or nothing) and `rest_s` for how long from then, in seconds. What all three shapes have in
common is worked out here: who is asked, in order (`asked`), and what each caller is charged (`charge_nano`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.answers import Answer, End, head, respond

_RETRY_INFO = (Path(__file__).parent.parent / "recorded" / "errors" / "google-429-retry-info.json").read_bytes()


@dataclass(frozen=True)
class Behaviour:
    name: str
    answer: Answer
    status: int
    asks: int = 1
    pool: bool = False
    alias: bool = False
    rests: str = ""
    rest_s: float = 0.0
    code: str = ""
    is_hopeless: bool = False
    retry_after: str = ""

    def moves(self, model: str) -> bool:
        """Whether somebody else answers in its place."""
        return {"lone/m": False, "pool/m": self.pool, "both": self.alias}[model]

    def asked(self, model: str, callers: int = 1) -> list[str]:
        """Who is asked for so many callers, one after another: what is ill, and what is well in its place. A lone target that
        rests is not asked for the next."""
        if model == "lone/m":
            return ["ill"] * self.asks * (1 if self.rests else callers)
        if not self.moves(model):
            return ["ill"] * callers
        return ["ill", "well"] + (["well"] if self.rests else ["ill", "well"]) * (callers - 1)

    def charge_nano(self, model: str) -> int:
        """An answer has nine tokens at 1 dollar for a million and three at 2; what is none costs nothing."""
        return 9 * 1_000 + 3 * 2_000 if self.moves(model) else 0


def oai(status: int, message: str, code: str | None = None, headers: Any = ()) -> Answer:
    return respond({"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}, status, headers)


def ant(status: int, type: str, message: str) -> Answer:
    return respond({"type": "error", "error": {"type": type, "message": message}}, status)


def text(status: int, body: bytes, kind: str = "text/plain") -> Answer:
    return respond(body, status, content_type=kind)


def ours(name: str, answer: Answer, rests: str = "key", rest_s: float = 900.0) -> Behaviour:
    """Between us and the provider: the next key and the next target are asked, and a lone caller is told not to try again."""
    return Behaviour(name, answer, 502, 1, True, True, rests, rest_s, "provider_auth", True)


def too_much(name: str, answer: Answer, code: str = "context_length_exceeded", status: int = 400) -> Behaviour:
    """Too much for this model: no key helps, another model may."""
    return Behaviour(name, answer, status, alias=True, code=code)


def callers(name: str, answer: Answer, status: int = 400, code: str = "") -> Behaviour:
    """The caller's own: nobody else is asked, nothing rests."""
    return Behaviour(name, answer, status, code=code)


def passing(name: str, answer: Answer, status: int, asks: int = 2, **more: Any) -> Behaviour:
    """Not now: repeated within bounds, or moved."""
    return Behaviour(name, answer, status, asks, True, True, **more)


def limited(name: str, answer: Answer, rest_s: float, retry_after: str) -> Behaviour:
    """Not before the time that is said: neither here, nor for the next caller."""
    return Behaviour(name, answer, 429, 1, True, True, "target", rest_s, retry_after=retry_after)


def inside(name: str, error: Any, status: int, *, pool: bool = True, rests: str = "", rest_s: float = 0.0) -> Behaviour:
    """An error inside a 200, as the whole of it: read like any other; moved, but not repeated at the same place."""
    return Behaviour(name, respond({"error": error}), status, 1, pool, True, rests, rest_s, is_hopeless=bool(rests))


def final(name: str, answer: Answer, status: int = 502) -> Behaviour:
    """The provider may be billing: nothing follows."""
    return Behaviour(name, answer, status)


BEHAVIOURS = [
    ours("key refused", oai(401, "Incorrect API key provided: x", "invalid_api_key"), rest_s=60.0),
    ours("key refused in Azure's words", respond({"error": {"code": "401", "message": "Access denied"}}, 401), rest_s=60.0),
    ours("no balance", oai(402, "Insufficient Balance", "invalid_request_error")),
    ours("not permitted", ant(403, "permission_error", "Your API key does not have permission"), rests=""),
    ours("country", oai(403, "Country, region, or territory not supported", "unsupported_country_region_territory"), rests=""),
    ours("credit balance in a 400", ant(400, "invalid_request_error", "Your credit balance is too low to access the API.")),
    ours("hard limit in a 400", oai(400, "Billing hard limit has been reached", "billing_hard_limit_reached")),
    ours("quota in a 429", oai(429, "You exceeded your current quota.", "insufficient_quota")),
    ours("Google's key in a 400", respond([{"error": {"code": 400, "message": "API key not valid."}}], 400), rest_s=60.0),
    ours("Bedrock's quota", respond({"message": "x"}, 400, [("x-amzn-errortype", "ServiceQuotaExceededException")])),
    ours("Fireworks' 412", respond({"error": {"message": "Account x is suspended, possibly due to reaching the limit"}}, 412)),
    ours("xAI's team", respond({"code": "x", "error": "Your team x has either used all available credits or so"}, 403)),
    ours("organisation disabled", ant(400, "invalid_request_error", "This organization has been disabled"), rest_s=60.0),
    ours("region", respond({"error": {"code": 400, "message": "User location is not supported"}}, 400), rests=""),
    Behaviour("unaffordable", oai(402, "This request requires more credits"), 502, 1, True, True, is_hopeless=True),
    Behaviour("model gone", oai(404, "The model `m` does not exist", "model_not_found"), 502, 1, True, True, is_hopeless=True),
    Behaviour("model retired", text(410, b"gone"), 502, 1, True, True, is_hopeless=True),
    Behaviour("file not found", oai(404, "File file-1 not found", "file_not_found"), 404, 1, True, True, code="file_not_found"),
    Behaviour("redirect", (head(301, [("location", "/x"), ("content-length", "0")]),), 502, 1, True, True),
    Behaviour("method not allowed", text(405, b""), 502, 1, True, True),
    too_much("context", oai(400, "This model's maximum context length is 8 tokens.", "context_length_exceeded")),
    too_much("context in Anthropic's words", ant(400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum")),
    too_much("context in plain words", text(400, b"the request exceeds the available context size")),
    too_much("context in an event", text(400, b'data: {"error":{"message":"prompt is too long"}}\n\n', "text/event-stream")),
    too_much("context in GBK", text(400, "上下文长度超过限制".encode("gbk"))),
    too_much("parameter", oai(400, "Unsupported parameter: 'seed'", "unsupported_parameter"), "unsupported_parameter"),
    too_much("body too large", text(413, b"<html><title>413 Too Large</title></html>"), "provider_refused_request", 413),
    too_much("tokens per minute", oai(429, "Request too large for m on TPM", "rate_limit_exceeded"), "rate_limit_exceeded", 413),
    callers("invalid", oai(400, "Invalid value: 'x'", "invalid_value"), code="invalid_value"),
    callers("invalid, with our words in it", oai(400, "Invalid value: 'Your credit balance is too low'", "invalid_value")),
    callers("unprocessable", respond({"detail": [{"msg": "Field required", "input": {"code": "insufficient_quota"}}]}, 422)),
    callers("latin-1", text(400, "requête refusée".encode("latin-1"))),
    callers("moderated by a 403", oai(403, "Content violates usage guidelines."), 403, "content_policy_violation"),
    callers("moderated by a 400", oai(400, "filtered", "content_filter"), 400, "content_filter"),
    limited("limited for a while", oai(429, "slow down", None, [("retry-after", "7")]), 7.0, "7"),
    limited("limited by RetryInfo", text(429, _RETRY_INFO, "application/json"), 34.4, "35"),
    limited("limited by a window", oai(429, "x", None, [("x-ratelimit-reset-tokens", "1m3s")]), 63.0, "63"),
    passing("limited", oai(429, "slow down"), 429),
    passing("failed", oai(500, "The server had an error", "server_error"), 502),
    passing("failed in GBK", text(500, "服务器错误".encode("gbk")), 502),
    passing("bad gateway", text(502, b"<html><title>502 Bad Gateway</title></html>", "text/html"), 502),
    passing("overloaded for a while", oai(503, "overloaded", None, [("retry-after", "9")]), 503, 1, retry_after="9"),
    passing("overloaded", ant(529, "overloaded_error", "Overloaded"), 503),
    passing("capacity", text(498, b""), 503),
    passing("gateway time-out", text(504, b""), 504),
    passing("origin time-out", text(524, b""), 504),
    passing("request time-out", text(408, b""), 504),
    inside("a 200 that is overloaded", {"message": "Overloaded", "type": "overloaded_error"}, 503),
    inside("a 200 that failed", "The service is unavailable", 502),
    inside("a 200 without quota", {"message": "x", "code": "insufficient_quota"}, 502, rests="key", rest_s=900.0),
    inside("a 200 that is limited", {"message": "slow down", "code": 429}, 429),
    inside("a 200 that is too long", {"message": "prompt is too long"}, 400, pool=False),
    callers("a 200 that is invalid", respond({"error": {"message": "Invalid value", "code": 400}})),
    final("closes before it answers", (End(),)),
    final("resets before it answers", (End(reset=True),)),
    final("no HTTP", (b"SSH-2.0-OpenSSH_9.2\r\n", End())),
    final("half a head", (b"HTTP/1.1 200 OK\r\ncontent-le", End())),
    final("half an answer", (head(200, [("content-type", "application/json"), ("content-length", "99")]), b'{"choices":', End())),
    final("no JSON", respond(b"<html>", 200)),
]  # fmt: skip


def table(port: int, folder: Path, ill_port: int | None = None) -> str:
    """A lone target, a pool of two keys and an alias of two targets: what is ill in each, then what is well."""
    for name in ("ill", "well"):
        (folder / name).write_text(f"{name}-key-of-ours")
    ill, well = f'"file:{folder}/ill"', f'"file:{folder}/well"'
    bad = f"http://127.0.0.1:{ill_port or port}/ill"
    model = '.models.m]\ninput = "1"\noutput = "2"\ncontext_tokens = 100_000\nmax_output_tokens = 1_000\n'
    sections = [
        f'[providers.lone]\nbase_url = "{bad}"\napi_key = {ill}\n[providers.lone{model}',
        f'[providers.pool]\nbase_url = "{bad}"\napi_keys = [{ill}, {well}]\n[providers.pool{model}',
        f'[providers.well]\nbase_url = "http://127.0.0.1:{port}/well"\napi_key = {well}\n[providers.well{model}',
        '[aliases]\nboth = ["lone/m", "well/m"]\n',
    ]
    return "".join(sections)
