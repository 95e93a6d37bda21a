"""The fields of the routing table: what a value must be, one check per kind of value, and the table they are taken from.

Strategy: a check takes what TOML read and returns what we use, or raises `Wrong`; a `Table` collects what was wrong and goes on.
Rule: no check ever quotes a value that could be a secret.
"""

import datetime
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, TypeVar
from urllib.parse import SplitResult, urlsplit

from routing.table.endpoint import BaseUrl
from routing.table.problem import Path, Wrong, dotted, kind_of, nearest, number_shown, odd_character
from usage.pricing import pico_per_request, pico_per_token

T = TypeVar("T")
D = TypeVar("D")
Check = Callable[[Any], T]
DAY_S: Final = 86_400
WHOLE_MAX: Final = 2**53
INSTANT_S_MAX: Final = 253_402_300_799
"""The end of the year 9999, beyond which a calendar has no date."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
_VISIBLE: Final = re.compile(r"[\x20-\x7e\t]*\Z")
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?\Z")
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\Z|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\Z")
_URL_QUERY: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*\Z")
_URL_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)*+\Z")


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise Wrong(f"is {kind_of(value)}; a string is expected")
    if not value or not value.isprintable():
        raise Wrong("is empty or has characters that cannot be printed")
    return value


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Wrong(f"is {kind_of(value)}; true or false is expected", "write it without quotes")
    return value


def whole(least: int = 1) -> Check[int]:
    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise Wrong(f"is {kind_of(value)}; a whole number is expected", "such as 3 or 128_000, without quotes")
        if not least <= value <= WHOLE_MAX:
            expected = f"at least {least}" if value < least else "a number that can be meant"
            raise Wrong(f"{number_shown(value)}; {expected} is expected")
        return value

    return check


def seconds(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Wrong(f"is {kind_of(value)}; a number of seconds is expected", "such as 30 or 2.5, without quotes")
    if not 0 < value <= DAY_S:
        raise Wrong(f"{number_shown(value)}; more than 0 and at most {DAY_S} seconds are expected")
    return float(value)


def share(value: Any) -> float:
    """A part of the whole, from 0 to 1."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Wrong(f"is {kind_of(value)}; a number from 0 to 1 is expected", "such as 0.5, without quotes")
    if not 0 <= value <= 1:
        raise Wrong(f"{number_shown(value)}; a number from 0 to 1 is expected", "such as 0.5 for a half")
    return float(value)


def one_of(*choices: str) -> Check[Any]:
    def check(value: Any) -> str:
        if value in choices and isinstance(value, str):
            return value
        guess = nearest(value, choices) if isinstance(value, str) else None
        written = f'is "{value}"' if isinstance(value, str) else f"is {kind_of(value)}"
        expected = " or ".join(f'"{choice}"' for choice in choices)
        raise Wrong(f"{written}; {expected} is expected", f'did you mean "{guess}"?' if guess else "")

    return check


def items(check: Check[T]) -> Check[tuple[T, ...]]:
    def check_all(value: Any) -> tuple[T, ...]:
        if not isinstance(value, list) or not value:
            raise Wrong(
                "is empty" if value == [] else f"is {kind_of(value)}; a list is expected", "write [...] with at least one entry"
            )
        return tuple(check(item) for item in value)

    return check_all


def origin(value: Any) -> str:
    """A page's origin as browsers send it, in lower case; or `*`, or `null` (a file, a sandbox)."""
    written = text(value).lower()
    if written in ("*", "null") or _ORIGIN.match(written):
        return written
    raise Wrong(f'is "{value}", which is no origin', 'write scheme, host and port only, such as "https://app.example", or "*"')


def instant_s(value: Any) -> int:
    """Unix seconds of a whole number or of a plain date such as 2024-07-18."""
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return (value - datetime.date(1970, 1, 1)).days * DAY_S
    try:
        moment_s = whole(0)(value)
    except Wrong:
        raise Wrong(f"is {kind_of(value)}; a date is expected", "such as 2024-07-18, without quotes") from None
    if moment_s > INSTANT_S_MAX:
        raise Wrong("is beyond the year 9999", "in seconds since 1970, not milliseconds; or a date such as 2024-07-18")
    return moment_s


def _money(value: Any, read: Callable[[str], int]) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool):
        exact = format(Decimal(repr(value)), "f") if 0 <= value <= WHOLE_MAX else "0.15"
        raise Wrong(f"is {kind_of(value)}; money is written as a decimal string", f'write "{exact}"')
    if not isinstance(value, str):
        raise Wrong(f"is {kind_of(value)}; money is written as a decimal string", 'such as "0.15"')
    try:
        return read(value)
    except ValueError as problem:
        raise Wrong(str(problem), 'dollars, up to six decimals, such as "0.15"') from None


def token_price(value: Any) -> int:
    """Pico-dollars per token, from dollars per million tokens."""
    return _money(value, pico_per_token)


def request_price(value: Any) -> int:
    """Pico-dollars per request, from dollars."""
    return _money(value, pico_per_request)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as problem:
        raise Wrong(f"is no URL: {problem}") from None


def base_url(value: Any) -> BaseUrl:
    written = text(value)
    parts = _split(written)
    if parts.scheme not in ("http", "https"):
        raise Wrong("does not begin with https:// or http://", 'such as "https://api.openai.com/v1"')
    if "@" in parts.netloc:
        raise Wrong("has a user or a password in it", "leave them out; the key goes into api_key")
    if parts.query or parts.fragment or written.endswith(("?", "#")):
        raise Wrong("has a query or a fragment", "end it before the ? or #; a fixed header can go into extra_headers")
    host, port = _host_and_port(parts.netloc, 443 if parts.scheme == "https" else 80)
    path = parts.path.rstrip("/")
    if {".", ".."} & set(path.split("/")):
        raise Wrong("has . or .. in its path", "write the path that is meant")
    if not _URL_PATH.match(path):
        raise Wrong("has characters in its path that a URL cannot have", "percent-encode them")
    if path.endswith("/chat/completions"):
        raise Wrong(
            "ends with /chat/completions", f'that is added by itself: write "{written.rpartition("/chat/completions")[0]}"'
        )
    return BaseUrl("https" if parts.scheme == "https" else "http", host, port, path)


def _host_and_port(netloc: str, default: int) -> tuple[str, int]:
    host, colon, digits = netloc.rpartition(":") if not netloc.endswith("]") else (netloc, "", "")
    if not colon:
        host = netloc
    is_ipv6 = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if is_ipv6 else host
    if is_ipv6 is not (":" in host) or not _HOST.match(host):
        raise Wrong("has no usable host name", 'such as "https://api.openai.com/v1"; an international name in its xn-- form')
    if colon and not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and 0 < int(digits) < 65_536):
        raise Wrong("has a port that is not between 1 and 65535")
    return host.lower(), int(digits) if colon else default


def endpoint_path(value: Any) -> str:
    """A path beneath the base URL, where `{model}` stands for the provider's name of the model; a query may follow."""
    written = text(value)
    plain = written.replace("{model}", "m")
    path, mark, query = plain.partition("?")
    if not path.startswith("/") or not _URL_PATH.match(path) or (mark and not _URL_QUERY.match(query)):
        raise Wrong("is no path of a URL", 'such as "/chat/completions" or "/models/{model}:generateContent?alt=sse"')
    return written


def auth_header(value: Any) -> str:
    """`name` or `name: Scheme`, the name in lower case."""
    name, colon, scheme = text(value).partition(":")
    if not _TOKEN.match(name) or (colon and not _TOKEN.match(scheme.strip())):
        raise Wrong("is no header", 'write "authorization: Bearer", "api-key" or the like')
    return f"{name.lower()}: {scheme.strip()}" if colon else name.lower()


def header_name(name: str) -> str:
    if not _TOKEN.match(name):
        raise Wrong("is no name of a header")
    return name.lower()


def header_value(value: Any) -> str:
    if not isinstance(value, str) or not _VISIBLE.match(value) or value != value.strip():
        raise Wrong("is no value of a header", "a string of printable ASCII without space around it")
    return value


def proxy_url(value: Any) -> str:
    written = text(value)
    parts = _split(written)
    such = 'such as "http://proxy.internal:3128" or "socks5://127.0.0.1:1080"'
    if parts.scheme not in ("http", "https", "socks5", "socks5h") or not parts.netloc:
        raise Wrong("is no proxy that can be used", such)
    try:
        _host_and_port(parts.netloc.rpartition("@")[2], 0)
    except Wrong as wrong:
        raise Wrong(wrong.message, such) from None
    return written


NAMED: Final = frozenset(("providers", "models", "routes", "policies", "endpoints", "tiers"))
"""Tables of tables, each with a name of its own."""


class TomlTable:
    """One table of the text, whose fields are taken one after the other; what is wrong with them is collected in `found`."""

    def __init__(self, values: object, path: Path, found: list[tuple[Path, Wrong]]) -> None:
        self.path = path
        self.found = found
        self.known: list[str] = []
        self.values: dict[str, Any] = values if isinstance(values, dict) else {}
        self.is_table = isinstance(values, dict)
        if not self.is_table:
            name = dotted(path) if path[-1:] and path[-1] not in NAMED else f"{dotted(path)}.NAME"
            written = "such as" if not isinstance(values, list) else "no list, but"
            self.blame(Wrong(f"is {kind_of(values)}; a table is expected", f"{written} [{name}] on a line, its fields below"))

    def blame(self, wrong: Wrong, *steps: str | int) -> None:
        self.found.append(((*self.path, *steps), wrong))

    def has(self, name: str) -> bool:
        return name in self.values

    def take(self, name: str, check: Check[T], default: D) -> T | D:
        """The field's value, or the default when it is absent or wrong."""
        self.known.append(name)
        if name not in self.values:
            return default
        try:
            return check(self.values[name])
        except Wrong as wrong:
            self.blame(wrong, name)
            return default

    def need(self, name: str, check: Check[T], default: D, hint: str) -> T | D:
        """As `take`, but the field must be there."""
        if self.is_table and name not in self.values:
            self.blame(Wrong("is missing", hint), name)
        return self.take(name, check, default)

    def table(self, name: str) -> "TomlTable":
        """A table inside this one; an empty one when it is absent."""
        self.known.append(name)
        return TomlTable(self.values.get(name, {}), (*self.path, name), self.found)

    def tables(self) -> "list[tuple[str, TomlTable]]":
        """All members of a table of tables."""
        return [(name, TomlTable(values, (*self.path, name), self.found)) for name, values in self.values.items()]

    def is_cut(self) -> bool:
        """Whether a dot in this table's name was not within quotes: there is nothing in it but tables that nobody knows."""
        return bool(self.values) and all(isinstance(each, dict) and name not in self.known for name, each in self.values.items())

    def blame_cut(self) -> None:
        for name in self.values:
            hint = f"write [{dotted((*self.path[:-1], f'{self.path[-1]}.{name}'))}]"
            self.blame(Wrong("has a dot in its name, which needs quotes", hint), name)

    def close(self) -> None:
        """No field may be left that nobody took."""
        for name in self.values:
            if name not in self.known:
                guess = nearest(name, self.known)
                hint = f"did you mean {guess}?" if guess else f"the fields here are {', '.join(self.known)}"
                odd = odd_character(name)
                self.blame(Wrong("there is no such field" + (f": there is {odd} in it" if odd else ""), hint), name)
