"""A provider's complaint: what the body of an error answer says, whatever its shape and its alphabet.

Strategy: bytes → text (UTF-8, else the charset it names, else GBK, else Latin-1) → a document (JSON, also inside SSE frames,
behind a prefix, or as text in a member of another) or plain words. Then the known places are looked into one after the other.
Rule: nothing here raises, whatever the bytes. Rule: only members that explain are entered, never those in which a provider
repeats the request (`input`, `body`, `value`): what a caller wrote is no word of the provider's.
Limits: `message` is raw and may hold secrets; `routing.failures.redaction` is between it and anybody who reads it.
"""

import html
import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

MESSAGE_CHARS_MAX: Final = 8_192
BODY_BYTES_MAX: Final = 256 * 1024
"""A larger error body is not read: no provider explains itself at such length."""
NODES_MAX: Final = 64
DEPTH_MAX: Final = 6

_MESSAGES: Final = (
    "message", "Message", "detail", "error_description", "msg", "error_msg", "errorMessage", "status_msg", "faultstring", "error",
    "errors", "fault", "details", "title",
)  # fmt: skip
_EXPLAINS: Final = frozenset(
    (
        *_MESSAGES,
        "Error",
        "metadata",
        "headers",
        "raw",
        "innererror",
        "inner_error",
        "base_resp",
        "cause",
        "response",
        "body_error",
        "status_details",
    )
)
_NAMES: Final = (
    "code",
    "Code",
    "error_code",
    "errorCode",
    "errorcode",
    "error_type",
    "reason",
    "type",
    "__type",
    "status",
    "provider_code",
)
_WAITS: Final = (
    "retryDelay",
    "retry_after_ms",
    "retry_after",
    "retry_after_seconds",
    "retryAfter",
    "resets_in_seconds",
    "resets_at",
    "X-RateLimit-Reset",
)
_FLAGS: Final = ("flagged_input", "reasons", "moderation_results")
_NO_NAMES: Final = frozenset(("error", "none", "null", "exception"))
_NAME: Final = re.compile(r"[A-Za-z0-9_.:/#\-]{1,200}\Z")
_CHARSET: Final = re.compile(
    rb"charset\s*=\s*\"?((?:gb|big5|euc|shift|sjis|iso|windows|cp|koi|latin|utf-?(?:16|32)|us-ascii|mac)[A-Za-z0-9_.:-]{0,40})",
    re.IGNORECASE,
)
"""Alphabets only: Python also has codecs of other kinds under such names, and some take their time."""
_HIGH: Final = re.compile(rb"[\x80-\xff]+")
_TITLE: Final = re.compile(r"<(?:title|message)[^>]*>(.{1,400}?)</", re.IGNORECASE | re.DOTALL)
_CODE_TAG: Final = re.compile(r"<code>([A-Za-z0-9_.]{1,100})</code>", re.IGNORECASE)


class ErrorBody(NamedTuple):
    """`names` are the codes, types and reasons found, the innermost `error`'s first; `waits` the members that speak of waiting.
    `status` is one that the body itself names, 0 when it names none."""

    message: str = ""
    code: str | None = None
    param: str | None = None
    names: tuple[str, ...] = ()
    waits: Mapping[str, object] = MappingProxyType({})
    status: int = 0


def read_error_body(body: bytes, content_type: bytes = b"") -> ErrorBody:
    """What an error body says."""
    if len(body) > BODY_BYTES_MAX:
        return ErrorBody()
    text = _text(body, content_type).strip()
    document = _document(text)
    if document is not None:
        return error_body_of(document)
    if text.startswith("<"):
        return _of_markup(text)
    return ErrorBody(_clean(text))


def error_body_of(document: Any) -> ErrorBody:
    """What a decoded error document, or the `error` inside an answer, says."""
    holder = _holder(document)
    found = list(_explaining(document))
    names = list(dict.fromkeys(name for node in found for name in _names(node)))
    if any(node.get(flag) for node in found for flag in _FLAGS):
        names.append("moderation")
    waits = {key: wait for node in found for key in _WAITS if (wait := _wait_in(node.get(key))) is not None}
    message = _message(document if holder is None else holder, 0)
    told = [name for name in names if not name.isdecimal()] or names
    param = next((node["param"] for node in found if isinstance(node.get("param"), str) and node["param"]), None)
    statuses = (int(name) for name in names if name.isascii() and name.isdecimal() and len(name) == 3 and 400 <= int(name) < 600)
    return ErrorBody(message, _told(told), param and _clean(param[:200]), tuple(names), waits, next(statuses, 0))


def _wait_in(value: object) -> str | int | float | None:
    """As it is written; google.protobuf.Duration also as an object, as gateways that read it write it again."""
    if isinstance(value, dict):
        seconds, nanos = value.get("seconds"), value.get("nanos", 0)
        is_duration = str(seconds).isdecimal() and len(str(seconds)) < 16 and isinstance(nanos, int)
        return int(str(seconds)) + min(max(nanos, 0), 10**9) / 1e9 if is_duration else None
    return value if isinstance(value, (str, int, float)) else None


def _told(names: list[str]) -> str | None:
    """The code for a caller: the first that is a word and no class of errors, else the first."""
    return next((name for name in names if not name.endswith("_error") and not name.isupper()), names[0] if names else None)


def _of_markup(text: str) -> ErrorBody:
    """A proxy's HTML page has a title at most; S3's relatives answer in XML with code and message."""
    title, code = _TITLE.search(text), _CODE_TAG.search(text)
    message = _clean(html.unescape(re.sub(r"\s+", " ", title[1])).strip()) if title else ""
    return ErrorBody(message, code and code[1], None, (code[1],) if code else ())


def _text(body: bytes, content_type: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    charset = _CHARSET.search(content_type)
    named = [charset[1].decode("ascii")] if charset else []
    marked = ["utf-16"] if body[:2] in (b"\xff\xfe", b"\xfe\xff") else []
    for name in (*named, *marked, "gb2312"):
        try:
            return body.decode(name)
        except (UnicodeError, LookupError):
            continue
    if all(len(run) % 2 == 0 for run in _HIGH.findall(body)):
        try:
            return body.decode("gbk")
        except UnicodeDecodeError:
            pass
    replaced = body.decode("utf-8", "replace")
    # A few broken bytes in what is UTF-8 otherwise (a text cut in the middle), or no UTF-8 at all.
    has_utf8 = any(char > "\x7f" and char != "\ufffd" for char in replaced)
    return replaced if has_utf8 else body.decode("latin-1")


def _document(text: str) -> Any:
    """The JSON object, list or text that the text is or holds; None when it is none."""
    if text.startswith(("data:", "event:", "error:", "id:", ":")):
        fields = (line.partition(":") for line in text.splitlines())
        payloads = [value.strip() for name, _, value in fields if name in ("data", "error")]  # `error:` is llama.cpp's
        documents = (_json(payload) for payload in (*payloads, "\n".join(payloads)))
        found = next((document for document in documents if document is not None), None)
        return found if found is not None else " ".join(payloads)
    document = _json(text)
    if document is None and (start := text.find("{")) > 0:
        document = _json(text[start:])  # "Error code: 400 - {…}", an XSSI guard
    return document


def _json(text: str) -> Any:
    """Read leniently: NaN, lone surrogates and what follows the first value are no reason to hear nothing."""
    if not text.startswith(("{", "[", '"')):
        return None
    try:
        return _DECODER.raw_decode(text)[0]
    except (ValueError, RecursionError):
        return None


_DECODER: Final = json.JSONDecoder(strict=False)


def _holder(document: Any) -> Any:
    """The part that explains: the inside of `error`, else the whole. Google sends a list of one."""
    for _ in range(DEPTH_MAX):
        if isinstance(document, list) and document:
            document = document[0]
        inner = (document.get("error") or document.get("base_resp")) if isinstance(document, dict) else None
        if not isinstance(inner, (dict, list)):
            break
        document = inner
    return document


def _explaining(document: Any) -> Iterator[dict[str, Any]]:
    """The objects that explain, the innermost `error` first, then whatever surrounds it; bounded in number and depth."""
    queue, seen = [(_holder(document), 0), (document, 0)], 0
    while queue and seen < NODES_MAX:
        node, depth = queue.pop(0)
        seen += 1
        if isinstance(node, str):
            node = _json(node.strip()) if depth else None
        if isinstance(node, list):
            queue += [(each, depth + 1) for each in node[:8] if depth < DEPTH_MAX]
        elif isinstance(node, dict):
            yield node
            queue += [(node[key], depth + 1) for key in node if key in _EXPLAINS and depth < DEPTH_MAX]


def _names(node: dict[str, Any]) -> Iterator[str]:
    for key in _NAMES:
        value = node.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            yield str(value)[:20]
        elif isinstance(value, str) and value and value.lower() not in _NO_NAMES:
            # Amazon: "com.amazonaws…#ThrottlingException:http://…"
            name = value.rpartition("#")[2].partition(":")[0] if "Exception" in value else value
            if key != "status" or _NAME.match(name):
                yield _clean(name[:200])
    word = node.get("error")
    if isinstance(word, str) and "_" in word and _NAME.match(word):
        yield word


def _message(holder: Any, depth: int) -> str:
    """The words, from wherever they are; those that a gateway in between passes on as text are unpacked."""
    if isinstance(holder, str):
        inner = _json(holder.strip()) if depth < DEPTH_MAX and holder.lstrip().startswith("{") else None
        return (_message(inner, depth + 1) if inner is not None else "") or _clean(holder)
    if depth > DEPTH_MAX:
        return ""
    if isinstance(holder, list):  # FastAPI and Mistral: detail = [{"loc": [...], "msg": "..."}]
        return "; ".join(filter(None, (_message(each, depth + 1) for each in holder[:8])))[:MESSAGE_CHARS_MAX]
    if not isinstance(holder, dict):
        return ""
    raw = holder.get("metadata", None)
    words = [_message(raw.get("raw"), depth + 1)] if isinstance(raw, dict) and raw.get("raw") else []
    words += [_message(holder.get(name), depth + 1) for name in _MESSAGES]
    return next(filter(None, words), "")


def _clean(text: str) -> str:
    """Bounded, and without the surrogates that no encoder takes."""
    return text[:MESSAGE_CHARS_MAX].encode("utf-8", "replace").decode("utf-8")
