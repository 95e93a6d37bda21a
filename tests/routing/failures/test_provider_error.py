"""Errors of providers, as recorded or documented: whose fault each is, what the caller is told, how long it says to wait."""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.failures.cause import ABOUT_REQUEST
from routing.failures.cause import Cause as C
from routing.failures.failure import Failure, Kind, Sent, Source, describe, is_hopeless, param_of, status_of, wait_of
from routing.failures.provider_error import failure_of_answer, failure_of_error, without_secrets
from routing.failures.redaction import Secret

NOW = 1_764_000_000.0
"""24 November 2025, 16:00 UTC."""
RETRY_INFO = (Path(__file__).parents[2] / "recorded" / "errors" / "google-429-retry-info.json").read_bytes()


def j(value: Any) -> bytes:
    return json.dumps(value).encode()


def oai(message: str, code: str | None = None, type: str = "invalid_request_error") -> bytes:
    return j({"error": {"message": message, "type": type, "param": None, "code": code}})


def ant(type: str, message: str) -> bytes:
    return j({"type": "error", "error": {"type": type, "message": message}})


def read(status: int, body: bytes, **headers: str) -> Failure:
    return failure_of_answer(status, [(name.encode(), value.encode()) for name, value in headers.items()], body, NOW)


WORDS: list[tuple[int, Any, C]] = [
    (403, {"statusCode": 403, "message": "Out of call volume quota. Quota will be replenished in 2.10:03:55."}, C.EXHAUSTED),
    (403, {"error": {"code": "QuotaExceeded", "message": "Out of call volume quota for Azure OpenAI."}}, C.EXHAUSTED),
    (403, {"error": {"code": "403", "message": "Access denied due to Virtual Network/Firewall rules."}}, C.FORBIDDEN),
    (429, {"error": {"code": "NoCapacity", "message": "The system is currently experiencing high demand."}}, C.OVERLOADED),
    (429, {"error": {"code": 429, "message": "Your prepayment credits are depleted."}}, C.EXHAUSTED),
    (429, {"error": {"code": 429, "message": "Your project has exceeded its monthly spending cap."}}, C.EXHAUSTED),
    (
        404,
        {"error": {"message": "models/gemini-9 is not found for API version v1beta, or not supported for it."}},
        C.MODEL_GONE,
    ),
    (400, {"error": "model 'x' not found, try pulling it first"}, C.MODEL_GONE),
    (400, {"error": {"message": "image exceeds 5 MB maximum: 6291456 bytes > 5242880 bytes"}}, C.TOO_LARGE),
    (
        400,
        {"error": {"message": "max_tokens: 100000 > 64000, the maximum allowed number of output tokens"}},
        C.UNSUPPORTED,
    ),
    (400, {"error": {"message": "The long context beta is not yet available for this subscription."}}, C.UNSUPPORTED),
    (400, {"error": {"message": "context shift is disabled"}}, C.TOO_LONG),
    (400, {"detail": "Model is overloaded"}, C.OVERLOADED),
    (424, {"message": "The model returned an error", "originalStatusCode": 500}, C.UNAVAILABLE),
    (401, {"message": "Unauthorized"}, C.CREDENTIALS),
    (429, {"error": {"code": "1113", "message": "余额不足或无可用资源包,请充值。"}}, C.EXHAUSTED),
    (429, {"error": {"code": "1302", "message": "您的账户已达到速率限制，请您控制请求频率"}}, C.RATE_LIMITED),
    (429, {"error": {"code": "1303", "message": "您的账户达到并发上限"}}, C.RATE_LIMITED),
    (429, {"error": {"code": "1305", "message": "该模型当前访问量过大，请您稍后再试"}}, C.OVERLOADED),
    (400, {"error": {"code": "1261", "message": "Prompt 超长"}}, C.TOO_LONG),
    (400, {"error": {"code": "1211", "message": "模型不存在，请检查模型代码。"}}, C.MODEL_GONE),
    (429, {"error": {"message": "Too many requests"}}, C.RATE_LIMITED),
    (429, {"error": {"message": "Rate limit reached on TPM: Limit 30000, Used 0, Requested 40000."}}, C.TOO_LARGE),
    (400, {"error": {"message": "Image URL could not be fetched: rate limit exceeded at that host"}}, C.INVALID),
    (400, {"error": {"message": "Invalid value: 'your credits are depleted'"}}, C.INVALID),
    (400, {"error": {"message": "the tool said: login fail"}}, C.INVALID),
]
"""What their bodies say, where the status or a neighbour's words would say something else."""


@pytest.mark.parametrize(("status", "body", "cause"), WORDS)
def test_words_decide_where_the_status_is_vague(status: int, body: Any, cause: C) -> None:
    assert read(status, j(body)).cause is cause
    assert read(status, gzip.compress(j(body)), **{"content-encoding": "gzip"}).cause is cause


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, C.EXHAUSTED),
        ({"base_resp": {"status_code": 2056, "status_msg": "usage limit exceeded, 5-hour usage limit reached"}}, C.EXHAUSTED),
        ({"base_resp": {"status_code": 1002, "status_msg": "rate limit exceeded"}}, C.RATE_LIMITED),
        ({"base_resp": {"status_code": 1004, "status_msg": "login fail: Please carry the API secret key"}}, C.CREDENTIALS),
        ({"base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}}, C.MODERATED),
        ({"base_resp": {"status_code": 1039, "status_msg": "token limit"}}, C.TOO_LONG),
        ({"base_resp": {"status_code": 1001, "status_msg": "request timeout"}}, C.TIMED_OUT),
        ({"base_resp": {"status_code": 1000, "status_msg": "unknown error"}}, C.UNAVAILABLE),
        ({"message": "Overloaded"}, C.OVERLOADED),
        ("Rate limit exceeded", C.RATE_LIMITED),
        ("insufficient_quota", C.EXHAUSTED),
        ({"detail": "Unauthorized"}, C.CREDENTIALS),
        ({"code": 50005, "msg": "the model is busy"}, C.OVERLOADED),
        ({"message": '{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}'}, C.RATE_LIMITED),
        (True, C.UNAVAILABLE),
    ],
)
def test_words_decide_inside_a_200(error: Any, cause: C) -> None:
    """There is no status that could."""
    assert failure_of_error(j(error), Sent.REQUEST).cause is cause


CASES: list[tuple[int, bytes, dict[str, str], C]] = [
    (
        400,
        ant("invalid_request_error", "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing"),
        {},
        C.EXHAUSTED,
    ),
    (
        400,
        ant(
            "invalid_request_error",
            "You have reached your specified API usage limits. You will regain access on 2025-12-01 at 00:00 UTC.",
        ),
        {},
        C.EXHAUSTED,
    ),
    (400, ant("invalid_request_error", "usage limits reached, you will regain access on 2025-12-01"), {}, C.EXHAUSTED),
    (
        400,
        ant("invalid_request_error", "API usage limits reached. You will regain access on 2025-12-01 at 00:00 UTC"),
        {},
        C.EXHAUSTED,
    ),
    (400, ant("invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"), {}, C.TOO_LONG),
    (
        400,
        ant(
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or `max_tokens`",
        ),
        {},
        C.TOO_LONG,
    ),
    (400, ant("invalid_request_error", "This organization has been disabled."), {}, C.CREDENTIALS),
    (400, ant("invalid_request_error", "Output blocked by content filtering policy"), {}, C.MODERATED),
    (401, ant("authentication_error", "invalid x-api-key"), {}, C.CREDENTIALS),
    (403, ant("permission_error", "Your API key does not have permission to use the specified resource."), {}, C.FORBIDDEN),
    (404, ant("not_found_error", "model: claude-2"), {}, C.MODEL_GONE),
    (413, ant("request_too_large", "Request exceeds the maximum size"), {}, C.TOO_LARGE),
    (
        429,
        ant("rate_limit_error", "This request would exceed your account's rate limit. Please try again later."),
        {"retry-after": "20"},
        C.RATE_LIMITED,
    ),
    (529, ant("overloaded_error", "Overloaded"), {}, C.OVERLOADED),
    (500, ant("api_error", "Internal server error"), {}, C.UNAVAILABLE),
    (
        429,
        j({"error": {"type": "rate_limit_error", "message": "spend", "details": {"error_code": "enforced_spend_limit_reached"}}}),
        {},
        C.EXHAUSTED,
    ),
    (
        429,
        oai(
            "You exceeded your current quota, please check your plan and billing details.",
            "insufficient_quota",
            "insufficient_quota",
        ),
        {},
        C.EXHAUSTED,
    ),
    (400, ant("invalid_request_error", "messages.1.content.0: Invalid `signature` in `thinking` block"), {}, C.UNSUPPORTED),
    (
        400,
        ant("invalid_request_error", "`thinking` or `redacted_thinking` blocks in the latest message cannot be modified."),
        {},
        C.UNSUPPORTED,
    ),
    (
        400,
        oai("The encrypted content gAAA could not be verified. Reason: it could not be decrypted.", "invalid_encrypted_content"),
        {},
        C.UNSUPPORTED,
    ),
    (
        400,
        j({"error": {"code": 400, "message": "Thought signature is not valid.", "status": "INVALID_ARGUMENT"}}),
        {},
        C.UNSUPPORTED,
    ),
    (
        400,
        j({"error": {"code": 400, "message": "Corrupted thought signature.", "status": "INVALID_ARGUMENT"}}),
        {},
        C.UNSUPPORTED,
    ),
    (400, oai("Billing hard limit has been reached", "billing_hard_limit_reached"), {}, C.EXHAUSTED),
    (
        429,
        oai(
            "Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): Limit 9. Please try again in 6ms.",
            "rate_limit_exceeded",
            "tokens",
        ),
        {},
        C.RATE_LIMITED,
    ),
    (
        429,
        oai(
            "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 40000.",
            "rate_limit_exceeded",
            "tokens",
        ),
        {},
        C.TOO_LARGE,
    ),
    (
        400,
        oai(
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
            "context_length_exceeded",
        ),
        {},
        C.TOO_LONG,
    ),
    (
        403,
        oai("Country, region, or territory not supported", "unsupported_country_region_territory", "request_forbidden"),
        {},
        C.FORBIDDEN,
    ),
    (404, oai("The model `gpt-9` does not exist or you do not have access to it.", "model_not_found"), {}, C.MODEL_GONE),
    (401, oai("Incorrect API key provided: sk-...abcd.", "invalid_api_key"), {}, C.CREDENTIALS),
    (
        400,
        oai(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            "unsupported_parameter",
        ),
        {},
        C.UNSUPPORTED,
    ),
    (
        400,
        oai(
            "Your request was rejected as a result of our safety system.",
            "content_policy_violation",
            "image_generation_user_error",
        ),
        {},
        C.MODERATED,
    ),
    (400, oai("Invalid value: 'Your credit balance is too low'. Supported values are: 'system'", None), {}, C.INVALID),
    (400, oai("Invalid 'messages[0].role': usage limits reached: regain access on 2099-01-01"), {}, C.INVALID),
    (
        400,
        oai(
            "max_tokens is too large: 100000. This model supports at most 16384 completion tokens, whereas you provided 100000.",
            "invalid_value",
        ),
        {},
        C.UNSUPPORTED,
    ),
    (503, oai("The engine is currently overloaded", "service_unavailable", "server_error"), {}, C.OVERLOADED),
    (500, oai("The server had an error while processing your request", None, "server_error"), {}, C.UNAVAILABLE),
    (
        400,
        j(
            [
                {
                    "error": {
                        "code": 400,
                        "message": "API key not valid. Please pass a valid API key.",
                        "status": "INVALID_ARGUMENT",
                        "details": [{"@type": "x", "reason": "API_KEY_INVALID"}],
                    }
                }
            ]
        ),
        {},
        C.CREDENTIALS,
    ),
    (
        400,
        j({"error": {"code": 400, "message": "API key expired. Please renew the API key.", "status": "INVALID_ARGUMENT"}}),
        {},
        C.CREDENTIALS,
    ),
    (
        400,
        j(
            {
                "error": {
                    "code": 400,
                    "message": "User location is not supported for the API use.",
                    "status": "FAILED_PRECONDITION",
                }
            }
        ),
        {},
        C.FORBIDDEN,
    ),
    (429, RETRY_INFO, {}, C.RATE_LIMITED),
    (
        400,
        j(
            {
                "error": {
                    "code": 400,
                    "message": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                    "status": "INVALID_ARGUMENT",
                }
            }
        ),
        {},
        C.TOO_LONG,
    ),
    (
        503,
        j({"error": {"code": 503, "message": "The model is overloaded. Please try again later.", "status": "UNAVAILABLE"}}),
        {},
        C.OVERLOADED,
    ),
    (
        403,
        j({"error": {"code": 403, "message": "Permission denied on resource", "status": "PERMISSION_DENIED"}}),
        {},
        C.FORBIDDEN,
    ),
    (400, j({"message": "Too many requests"}), {"x-amzn-errortype": "ServiceQuotaExceededException:http://x"}, C.EXHAUSTED),
    (400, j({"__type": "com.amazon.coral#ServiceQuotaExceededException", "message": "x"}), {}, C.EXHAUSTED),
    (
        429,
        j({"message": "Too many requests, please wait before trying again."}),
        {"x-amzn-errortype": "ThrottlingException"},
        C.RATE_LIMITED,
    ),
    (
        429,
        j({"message": "Too many tokens per day, please wait before trying again."}),
        {"x-amzn-errortype": "ThrottlingException"},
        C.EXHAUSTED,
    ),
    (
        403,
        j({"message": "You don't have access to the model with the specified model ID."}),
        {"x-amzn-errortype": "AccessDeniedException"},
        C.FORBIDDEN,
    ),
    (
        400,
        j({"message": "Invocation of model ID anthropic.claude-3 with on-demand throughput isn’t supported. Retry your request"}),
        {"x-amzn-errortype": "ValidationException"},
        C.MODEL_GONE,
    ),
    (400, j({"message": "Input is too long for requested model."}), {"x-amzn-errortype": "ValidationException"}, C.TOO_LONG),
    (
        402,
        j(
            {
                "error": {
                    "message": "Insufficient Balance",
                    "type": "unknown_error",
                    "param": None,
                    "code": "invalid_request_error",
                }
            }
        ),
        {},
        C.EXHAUSTED,
    ),
    (
        429,
        j({"error": {"code": "1113", "message": "Insufficient balance or no resource package. Please recharge."}}),
        {},
        C.EXHAUSTED,
    ),
    (429, j({"error": {"code": "1113", "message": "您的账户已欠费,请充值后重试"}}), {}, C.EXHAUSTED),
    (
        429,
        j(
            {
                "error": {
                    "type": "exceeded_current_quota_error",
                    "message": "Your account org-x <ak-x> is suspended, please check your plan and billing details",
                }
            }
        ),
        {},
        C.EXHAUSTED,
    ),
    (
        400,
        j(
            {
                "code": "Client specified an invalid argument",
                "error": "Incorrect API key provided: xa***. You can obtain an API key",
            }
        ),
        {},
        C.CREDENTIALS,
    ),
    (
        403,
        j(
            {
                "code": "The caller does not have permission to execute the specified operation",
                "error": "Your team 123 has either used all available credits or reached its monthly spending limit.",
            }
        ),
        {},
        C.EXHAUSTED,
    ),
    (
        403,
        j(
            {
                "code": "x",
                "error": "Content violates usage guidelines. Team: abc, API key ID: x, Failed check: SAFETY_CHECK_TYPE_BIO",
            }
        ),
        {},
        C.MODERATED,
    ),
    (
        402,
        j(
            {
                "error": {
                    "code": 402,
                    "message": "This request requires more credits, or fewer max_tokens. You can only afford 6666.",
                }
            }
        ),
        {},
        C.UNAFFORDABLE,
    ),
    (
        402,
        j({"error": {"code": 402, "message": "Insufficient credits. Add more using https://openrouter.ai/credits"}}),
        {},
        C.EXHAUSTED,
    ),
    (
        403,
        j(
            {
                "error": {
                    "code": 403,
                    "message": "openai/gpt requires moderation on OpenAI. Your input was flagged",
                    "metadata": {"reasons": ["violence"], "flagged_input": "xx"},
                }
            }
        ),
        {},
        C.MODERATED,
    ),
    (403, j({"error": {"code": 403, "message": "Key limit exceeded (total limit). Manage it using https://x"}}), {}, C.EXHAUSTED),
    (404, j({"error": {"code": 404, "message": "No endpoints found that support tool use."}}), {}, C.UNSUPPORTED),
    (404, j({"error": {"code": 404, "message": "No endpoints found for foo/bar."}}), {}, C.MODEL_GONE),
    (
        400,
        j(
            {
                "error": {
                    "message": "Provider returned error",
                    "code": 400,
                    "metadata": {
                        "raw": json.dumps({"error": {"message": "prompt is too long: 3 > 2", "type": "invalid_request_error"}}),
                        "provider_name": "X",
                    },
                }
            }
        ),
        {},
        C.TOO_LONG,
    ),
    (
        400,
        j(
            {
                "object": "error",
                "message": "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
                "type": "BadRequestError",
                "param": None,
                "code": 400,
            }
        ),
        {},
        C.TOO_LONG,
    ),
    (
        422,
        j(
            {
                "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000",
                "error_type": "validation",
            }
        ),
        {},
        C.TOO_LONG,
    ),
    (
        422,
        j(
            {
                "detail": [
                    {"type": "missing", "loc": ["body", "x"], "msg": "Field required", "input": {"code": "insufficient_quota"}}
                ]
            }
        ),
        {},
        C.INVALID,
    ),
    (
        412,
        j(
            {
                "error": {
                    "message": "Account foo is suspended, possibly due to reaching the monthly spending limit.",
                    "code": "PRECONDITION_FAILED",
                }
            }
        ),
        {},
        C.EXHAUSTED,
    ),
    (
        400,
        j({"error": {"code": "Arrearage", "message": "Access denied, please make sure your account is in good standing."}}),
        {},
        C.EXHAUSTED,
    ),
    (
        400,
        j({"error": {"code": "data_inspection_failed", "message": "Input data may contain inappropriate content."}}),
        {},
        C.MODERATED,
    ),
    (
        400,
        j(
            {
                "error": {
                    "code": "content_filter",
                    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
                    "innererror": {"code": "ResponsibleAIPolicyViolation"},
                }
            }
        ),
        {},
        C.MODERATED,
    ),
    (
        404,
        j({"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}}),
        {},
        C.MODEL_GONE,
    ),
    (
        401,
        j({"error": {"code": "401", "message": "Access denied due to invalid subscription key or wrong API endpoint."}}),
        {},
        C.CREDENTIALS,
    ),
    (429, j({"message": "You are using a Trial key, which is limited to 1000 API calls / month."}), {}, C.EXHAUSTED),
    (429, j({"message": "Requests rate limit exceeded"}), {}, C.RATE_LIMITED),
    (
        429,
        j(
            {
                "error": {
                    "message": "We're experiencing high traffic right now! Please try again soon.",
                    "type": "too_many_requests_error",
                    "code": "queue_exceeded",
                }
            }
        ),
        {},
        C.OVERLOADED,
    ),
    (498, b"", {}, C.OVERLOADED),
    (403, b"<html><title>Attention Required! | Cloudflare</title></html>", {}, C.FORBIDDEN),
    (502, b"<html><head><title>502 Bad Gateway</title></head></html>", {}, C.UNAVAILABLE),
    (302, b"", {}, C.UNEXPECTED),
    (404, j({"detail": "Not Found"}), {}, C.MODEL_GONE),
    (404, j({"error": {"message": "File file-abc not found", "code": "file_not_found"}}), {}, C.MODEL_UNKNOWN),
    (400, b"prompt is too long", {}, C.TOO_LONG),
    (400, b'data: {"error":{"message":"context length","code":"context_length_exceeded"}}\n\n', {}, C.TOO_LONG),
    (
        400,
        b'error: {"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}\n\n',
        {},
        C.TOO_LONG,
    ),
    (403, oai("You are not allowed to sample from this model"), {}, C.FORBIDDEN),
    (403, oai("Your account was flagged for potential abuse. If you feel this is an error, contact"), {}, C.FORBIDDEN),
    (403, oai("Your prompt was flagged as potentially violating our usage policy"), {}, C.MODERATED),
    (403, oai("The content was blocked by our moderation"), {}, C.MODERATED),
    (403, oai("content refused", "content_policy_violation"), {}, C.MODERATED),
    (451, oai("blocked for legal reasons"), {}, C.FORBIDDEN),
    (403, j({"error": {"message": "This is not allowed", "type": "content_policy"}}), {}, C.MODERATED),
    (400, j({"error": {"message": "no", "code": "PROHIBITED_CONTENT"}}), {}, C.MODERATED),
    (400, j({"error": {"message": "no", "code": "SafetyBlocked"}}), {}, C.MODERATED),
    (400, j({"error": {"message": "no", "code": "guardrail_intervened"}}), {}, C.MODERATED),
    (400, j({"error": {"message": "no", "code": "AccountBalanceExhausted"}}), {}, C.EXHAUSTED),
    (403, j({"error": {"message": "no", "code": "spending_limit_reached"}}), {}, C.EXHAUSTED),
    (400, j({"error": {"message": "no", "code": "ExpiredApiKey"}}), {}, C.CREDENTIALS),
    (400, j({"error": {"message": "no", "code": "context_overflow"}}), {}, C.TOO_LONG),
    (400, j({"error": {"message": "no", "code": "ModelDeploymentNotFound"}}), {}, C.MODEL_GONE),
    (500, j({"error": {"message": "no", "code": "engine_busy"}}), {}, C.OVERLOADED),
    (403, j({"error": {"message": "no", "errors": [{"reason": "userRateLimitExceeded"}]}}), {}, C.RATE_LIMITED),
    (400, j({"error": {"message": "no", "code": "parameter_not_supported"}}), {}, C.UNSUPPORTED),
    (400, oai("The input (5000 tokens) is longer than the model's context length (4096 tokens)."), {}, C.TOO_LONG),
    (400, oai("Input length 877338 exceeds the maximum allowed input length of 639968 tokens", "400"), {}, C.TOO_LONG),
    (400, oai("This model's maximum prompt length is 131072 but the request contains 537812 tokens"), {}, C.TOO_LONG),
    (400, oai("prompt token count of 9 exceeds the limit of 8"), {}, C.TOO_LONG),
    (400, oai("Your request exceeded model token limit: 8 (requested: 9)"), {}, C.TOO_LONG),
    (400, oai("Your input exceeds the context window of this model"), {}, C.TOO_LONG),
    (400, oai("Prompt contains 9 tokens, too large for model with 8 maximum context length"), {}, C.TOO_LONG),
    (400, oai("The total length of all messages is too long."), {}, C.TOO_LONG),
    (400, oai("Range of input length should be [1, 30720]"), {}, C.TOO_LONG),
    (400, oai("Prompt exceeds max length", "1261"), {}, C.TOO_LONG),
    (400, oai("invalid params, context window exceeds limit", "2013"), {}, C.TOO_LONG),
    (400, oai("tokens to keep from the initial prompt is greater than the context length"), {}, C.TOO_LONG),
    (400, j({"detail": "Content Exists Risk"}), {}, C.MODERATED),
    (400, oai("Content Security Warning: The content may contain inappropriate content."), {}, C.MODERATED),
    (400, oai("The prompt was blocked due to safety"), {}, C.MODERATED),
    (403, oai("Your request violates our terms of service"), {}, C.MODERATED),
    (400, oai("系统检测到输入或生成内容可能包含不安全或敏感内容", "1301"), {}, C.MODERATED),
    (
        403,
        j({"error": {"message": "用户额度不足", "type": "new_api_error", "code": "local:insufficient_quota"}}),
        {},
        C.EXHAUSTED,
    ),
    (400, j({"error": {"message": "Budget has been exceeded! Current cost: 2, Max budget: 1", "code": "400"}}), {}, C.EXHAUSTED),
    (429, oai("Your team has run out of credits"), {}, C.EXHAUSTED),
    (401, j({"error": {"message": "You exceeded your current quota", "type": "insufficient_quota"}}), {}, C.EXHAUSTED),
    (429, oai("You have exceeded your rate limit. Please slow down."), {}, C.RATE_LIMITED),
    (429, oai("Rate limit exceeded: limit_rpm/model. High demand for the model."), {}, C.RATE_LIMITED),
    (429, b"Too Many Requests", {}, C.RATE_LIMITED),
    (429, oai("Rate limit reached on TPM: Limit 30000, Used 0, Requested 40000.", "rate_limit_exceeded"), {}, C.TOO_LARGE),
    (429, oai("Rate limit reached on TPM: Limit 30000, Used 29000, Requested 2000.", "rate_limit_exceeded"), {}, C.RATE_LIMITED),
    (403, oai("预扣费额度失败, 用户剩余额度: 0.1, 需要预扣费额度: 0.5", "insufficient_user_quota"), {}, C.UNAFFORDABLE),
    (410, oai("This model has been retired"), {}, C.MODEL_GONE),
]


@pytest.mark.parametrize(("status", "body", "headers", "cause"), CASES)
def test_cause(status: int, body: bytes, headers: dict[str, str], cause: C) -> None:
    """Each known answer has its cause."""
    assert read(status, body, **headers).cause is cause


@pytest.mark.parametrize(("status", "body", "headers", "cause"), CASES)
def test_words_about_our_account_stay_here(status: int, body: bytes, headers: dict[str, str], cause: C) -> None:
    """The caller reads the provider's words exactly where the request is at fault; where we are, it is told not to try again."""
    failure = read(status, body, **headers)
    message, _, code = describe(failure, "acme")
    if cause in ABOUT_REQUEST:
        assert status_of(failure) in (400, 403, 404, 413)
    else:
        assert message.startswith("acme")
        assert code.startswith("provider_")
        assert status_of(failure) in (429, 502, 503, 504)
    assert is_hopeless(failure) is (cause in (C.CREDENTIALS, C.EXHAUSTED, C.UNAFFORDABLE, C.FORBIDDEN, C.MODEL_GONE))
    assert wait_of(failure) is None or cause in (C.RATE_LIMITED, C.OVERLOADED, C.UNAVAILABLE, C.TIMED_OUT)


@pytest.mark.parametrize(
    "phrase",
    [
        "Your credit balance is too low",
        "API key not valid",
        "insufficient balance",
        "usage limits reached. You will regain access on 2099-01-01",
    ],
)
@pytest.mark.parametrize("frame", ["Invalid role: {}", "Invalid value: '{}'", 'bad "{}"', "messages.0.role: `{}` is not one of"])
def test_caller_cannot_close_a_key(phrase: str, frame: str) -> None:
    """Words of ours that a provider only repeats from the request close nothing: the 400 stays the caller's."""
    assert read(400, oai(frame.format(phrase))).cause in ABOUT_REQUEST


@pytest.mark.parametrize("member", ["input", "body", "ctx", "value", "request"])
def test_caller_cannot_close_a_key_by_a_repeated_body(member: str) -> None:
    """A validation error that repeats the request, codes and all, is read without what it repeats."""
    echoed = {"error": {"code": "insufficient_quota", "message": "Your credit balance is too low"}}
    assert read(422, j({"detail": [{"msg": "Field required", "type": "missing", member: echoed}]})).cause is C.INVALID


def test_exhausted_until_the_date_that_is_named() -> None:
    """ "regain access on" is until then."""
    failure = read(
        400,
        ant(
            "invalid_request_error",
            "You have reached your specified API usage limits. You will regain access on 2025-12-01 at 00:00 UTC.",
        ),
    )
    assert failure.retry_after_s == pytest.approx(1_764_547_200.0 - NOW)


@pytest.mark.parametrize(
    ("delay", "wait_s"),
    [
        ("34.4s", 34.4),
        ({"seconds": "34", "nanos": 400_000_000}, 34.4),
        ({"seconds": 7}, 7.0),
        ({"seconds": 7, "nanos": "x"}, None),
        ({"seconds": -1}, None),
        ({"seconds": "9" * 40}, None),
        ({"nanos": 5}, None),
        ([34], None),
        (None, None),
    ],
)
def test_wait_of_google_in_each_form_of_a_duration(delay: Any, wait_s: float | None) -> None:
    """RetryInfo's delay as text, and as the object that some gateways write it as."""
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]
    failure = read(429, j({"error": {"code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED", "details": details}}))
    assert failure.retry_after_s == (wait_s if wait_s is None else pytest.approx(wait_s))


def test_rate_limit_that_says_quota() -> None:
    """Google calls the requests of a minute a quota: with a delay stated it is a rate, for just that long."""
    failure = read(429, RETRY_INFO)
    assert (failure.cause, failure.retry_after_s) == (C.RATE_LIMITED, 34.4)


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        ("上下文长度超过限制".encode("gbk"), "text/plain", "上下文长度超过限制"),
        (json.dumps({"error": {"message": "请求不合法"}}, ensure_ascii=False).encode("gbk"), "application/json", "请求不合法"),
        ("requête refusée: dépassé".encode("latin-1"), "text/plain", "requête refusée: dépassé"),
        ("не найдено".encode("cp1251"), "text/plain; charset=windows-1251", "не найдено"),
        (b"\xef\xbb\xbf" + oai("with a mark"), "application/json", "with a mark"),
        (b'{"error":{"message":"half \\ud83d of a pair","code":"x"}}', "application/json", "half ? of a pair"),
        (b'{"error":{"message":"odd","code":"\xc2\xb2","took":NaN}}', "application/json", "odd"),
        (b"plain words", "text/plain", "plain words"),
        (b'["a list", {"message": "of two"}]', "application/json", "a list"),
        (b'{"errors":[{"message":"first"},{"message":"second"}]}', "application/json", "first; second"),
        (b'{"error":{"error":{"message":"deep"}}}', "application/json", "deep"),
        (b'{"error":{"message":"{\\"error\\":{\\"message\\":\\"packed\\"}}"}}', "application/json", "packed"),
        (b'Error code: 400 - {"error":{"message":"behind a prefix"}}', "text/plain", "behind a prefix"),
        (b'event: error\ndata: {"error":{"message":"framed"}}\n\n', "text/event-stream", "framed"),
        (b"<html><head><title>413 Request Entity Too Large</title></head>", "text/html", "413 Request Entity Too Large"),
        (b"<Error><Code>X</Code><Message>in XML</Message></Error>", "text/xml", "in XML"),
        (b"", "", "acme refused the request with status 400"),
    ],
)
def test_words_for_the_caller(body: bytes, content_type: str, message: str) -> None:
    """Whatever the alphabet and the shape, the words reach the caller."""
    failure = read(400, body, **{"content-type": content_type})
    assert describe(failure, "acme")[0] == message
    describe(failure, "acme")[0].encode()


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (oai("too long", "context_length_exceeded"), "context_length_exceeded", None),
        (ant("invalid_request_error", "prompt is too long: 3 tokens > 2 maximum"), "context_length_exceeded", None),
        (b"data: " + oai("too long", "context_length_exceeded") + b"\n\n", "context_length_exceeded", None),
        (j([{"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}}]), "INVALID_ARGUMENT", None),
        (j({"error": {"message": "bad", "param": "messages", "code": "bad_thing"}}), "bad_thing", "messages"),
        (j({"error": {"message": "refused by our content policy"}}), "content_policy_violation", None),
        (b"no code at all", "provider_refused_request", None),
    ],
)
def test_code_for_the_caller(body: bytes, code: str, param: str | None) -> None:
    """The provider's own code where it is one, else the one that clients look for."""
    failure = read(400, body)
    assert (describe(failure, "acme")[2], param_of(failure)) == (code, param)


def test_words_that_came_compressed() -> None:
    """gzip and deflate, though neither was asked for, whole or cut; a bomb is read within bounds, and brotli has no words."""
    body = oai("prompt is too long", "context_length_exceeded")
    raw = zlib.compressobj(wbits=-15)
    for encoding, packed in (
        ("gzip", gzip.compress(body)),
        ("GZIP", gzip.compress(body)[:-6]),
        ("deflate", zlib.compress(body)),
        ("deflate", raw.compress(body) + raw.flush()),
    ):
        assert read(400, packed, **{"content-encoding": encoding}).cause is C.TOO_LONG
    assert read(400, gzip.compress(b"a" * 50_000_000), **{"content-encoding": "gzip"}).cause is C.INVALID
    assert describe(read(400, b"\x0b\x02", **{"content-encoding": "br"}), "acme")[0] == "acme refused the request with status 400"


def test_moderation_keeps_its_status() -> None:
    """A 403 about content is the caller's 403 with its reason; a 400 about content stays a 400."""
    failure = read(403, oai("Content violates usage guidelines", "content_policy_violation"))
    assert (status_of(failure), describe(failure, "acme")[0]) == (403, "Content violates usage guidelines")
    assert status_of(read(400, oai("Content violates usage guidelines", "content_policy_violation"))) == 400


def test_model_that_only_the_caller_knows() -> None:
    """A model that no table lists and no provider has is the caller's 404; one that the table lists is the table's fault."""
    body = oai("The model `x` does not exist", "model_not_found")
    unlisted = failure_of_answer(404, [], body, NOW, is_listed=False)
    assert (status_of(unlisted), describe(unlisted, "acme")[2]) == (404, "model_not_found")
    assert status_of(read(404, body)) == 502


@pytest.mark.parametrize(
    ("error", "cause", "status"),
    [
        (b'{"message":"x","type":"insufficient_quota","code":"insufficient_quota"}', C.EXHAUSTED, 502),
        (b'{"message":"Overloaded","type":"overloaded_error"}', C.OVERLOADED, 503),
        (b'{"message":"busy","code":503}', C.OVERLOADED, 503),
        (b'{"message":"slow down","code":"429"}', C.RATE_LIMITED, 429),
        (b'{"message":"no such thing","code":400}', C.INVALID, 400),
        (b'{"message":"prompt is too long","type":"invalid_request_error"}', C.TOO_LONG, 400),
        (b'{"message":"odd","code":"\xc2\xb2"}', C.UNAVAILABLE, 502),
        (b'{"message":"odd","code":[1]}', C.UNAVAILABLE, 502),
        (b'"only words"', C.UNAVAILABLE, 502),
        (b"true", C.UNAVAILABLE, 502),
        (b"7", C.UNAVAILABLE, 502),
        ("超出".encode("gbk"), C.UNAVAILABLE, 502),
    ],
)
def test_error_inside_a_200(error: bytes, cause: C, status: int) -> None:
    """An error inside a 200 is read like any other."""
    failure = failure_of_error(error, Sent.HEAD)
    assert (failure.kind, failure.source, failure.sent) == (Kind.STREAM_ERROR, Source.UPSTREAM, Sent.HEAD)
    assert (failure.cause, status_of(failure)) == (cause, status)


def test_secret_is_taken_out_of_everything() -> None:
    """Message, code and parameter, whatever the secret looks like."""
    secret = "an+odd/secret=of ours"
    body = j({"error": {"message": f"who is {secret}?", "code": secret, "param": secret}})
    failure = without_secrets(read(400, body), [Secret(secret)])
    told = [*describe(failure, "acme"), param_of(failure)]
    assert told == ["who is [redacted]?", "invalid_request_error", "[redacted]", "[redacted]"]


@given(st.integers(300, 599), st.binary(max_size=300), st.sampled_from([b"", b"application/json", b"text/plain; charset=utf-7"]))
def test_no_body_breaks_anything(status: int, body: bytes, content_type: bytes) -> None:
    """Arbitrary bytes as an error body: a failure with words that can be sent."""
    for read_as in (body, b'{"error":' + body + b"}", b"data: " + body, b'{"error":{"message":"' + body + b'"}}'):
        failure = without_secrets(
            failure_of_answer(status, [(b"content-type", content_type)], read_as, NOW), [Secret("secret-key")]
        )
        assert all(describe(failure, "acme"))
        "".join(describe(failure, "acme")).encode()
        failure_of_error(read_as, Sent.HEAD)
