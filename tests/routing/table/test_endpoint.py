"""Where a provider is asked: addresses, paths with a model in them, and what an entry may change of a format."""

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.table.config import ConfigError, Found, NotFound, find, parse
from routing.table.endpoint import CHAT, CHAT_ONLY, ECHO_ENDPOINTS, FORMATS, BaseUrl, Endpoint, endpoint
from routing.table.provider import Provider

PROVIDER = '[providers.p]\nbase_url = "https://p.example/v1"\napi_key = "none"\nmodels.m = { input = "1", output = "2" }\n'


def provider(more: str) -> Provider:
    return parse(PROVIDER + more).providers["p"]


@pytest.mark.parametrize(
    ("url", "authority", "text"),
    [
        ("https://P.example", "p.example", "https://p.example"),
        ("https://p.example:443/v1/", "p.example", "https://p.example/v1"),
        ("http://p.example:443", "p.example:443", "http://p.example:443"),
        ("http://p.example:80", "p.example", "http://p.example"),
        ("https://p.example:80", "p.example:80", "https://p.example:80"),
        ("http://[::1]", "[::1]", "http://[::1]"),
        ("http://[FE80::1]:8080/a/b", "[fe80::1]:8080", "http://[fe80::1]:8080/a/b"),
        ("http://a_b:1", "a_b:1", "http://a_b:1"),
        ("http://a:00080", "a", "http://a"),
    ],
)
def test_address_is_written_as_hosts_expect_it(url: str, authority: str, text: str) -> None:
    """The port only where it is not the scheme's own; and what is written is read as the same again."""
    read = parse(PROVIDER.replace("https://p.example/v1", url)).providers["p"].base_url
    assert (read.authority, read.text) == (authority, text)
    assert parse(PROVIDER.replace("https://p.example/v1", read.text)).providers["p"].base_url == read


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("p.example", "does not begin with https:// or http://"),
        ("ftp://p.example", "does not begin with https:// or http://"),
        ("https://u:p@p.example", "has a user or a password in it"),
        ("https://p.example?x=1", "has a query or a fragment"),
        ("https://p.example/v1#a", "has a query or a fragment"),
        ("https://p.example/v1?", "has a query or a fragment"),
        ("https://", "has no usable host name"),
        ("https://p..", "has no usable host name"),
        ("https://-p.example", "has no usable host name"),
        ("https://bücher.example", "has no usable host name"),
        ("https://[::1", "is no URL"),
        ("https://::1", "has no usable host name"),
        ("https://p.example:", "has a port that is not between 1 and 65535"),
        ("https://p.example:0", "has a port that is not between 1 and 65535"),
        ("https://p.example:65536", "has a port that is not between 1 and 65535"),
        ("https://p.example:0000801234", "has a port that is not between 1 and 65535"),
        ("https://p.example:٨٠", "has a port that is not between 1 and 65535"),
        ("https://p.example/a/../b", "has . or .. in its path"),
        ("https://p.example/a b", "has characters in its path that a URL cannot have"),
        ("https://p.example/é", "has characters in its path that a URL cannot have"),
        ("https://p.example/v1/chat/completions", "ends with /chat/completions"),
    ],
)
def test_address_that_leads_nowhere(url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=r"providers\.p\.base_url: ") as refused:
        parse(PROVIDER.replace("https://p.example/v1", url))
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("url", "is_right"),
    [
        ("http://proxy.internal:3128", True),
        ("https://user:secret@proxy.internal", True),
        ("socks5://127.0.0.1:1080", True),
        ("socks5h://[::1]:1080", True),
        ("proxy.internal:3128", False),
        ("ftp://proxy.internal", False),
        ("http://", False),
        ("http://proxy.internal:99999", False),
        ("http://proxy.internal:port", False),
        ("http://user@:3128", False),
        ("http://[::1", False),
    ],
)
def test_proxy_that_can_be_used(url: str, is_right: bool) -> None:
    """What would only fail when the first request goes through it is refused with the table, and its password is not repeated."""
    more = f'transport = "httpx"\nproxy = "{url}"\n'
    if is_right:
        assert provider(more).proxy == url
        return
    with pytest.raises(ConfigError, match=r"providers\.p\.proxy: ") as refused:
        provider(more)
    assert "user" not in str(refused.value)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30))
def test_model_in_a_path_is_one_segment_of_it(model: str) -> None:
    """Whatever the provider calls it: a slash, a question mark or a letter beyond ASCII leads to no other path."""
    for format in ("gemini", "converse"):
        for is_stream in (False, True):
            target = endpoint(format).target(model, is_stream=is_stream)
            assert target.isascii()
            assert target.isprintable()
            path = urlsplit("//h" + target).path
            assert path.count("/") == FORMATS[format].path.count("/")
            assert model in unquote(path)


@pytest.mark.parametrize("key", [".", "..", "../x", "a/..", "a/../b", "./a", "a/."])
def test_name_that_leads_up_a_path_is_no_model(key: str) -> None:
    """A provider that takes any name has none such: its place in a path would be another path. Dots within a name are letters."""
    config = parse(PROVIDER + 'unlisted = { input = "1", output = "2" }\nserves = ["converse"]\n')
    assert isinstance(find(config, f"p/{key}"), NotFound)
    for near in (f"{key}x", f"{key}...", "a..b", ".a"):
        assert isinstance(find(config, f"p/{near}"), Found) is (".." not in near.split("/") and "." not in near.split("/"))


def test_endpoint_as_its_inventor_has_it() -> None:
    """A stream goes elsewhere only where the format says so."""
    assert CHAT.target("m", is_stream=True) == CHAT.target("m", is_stream=False) == "/chat/completions"
    assert endpoint("gemini").target("m", is_stream=True) == "/models/m:streamGenerateContent?alt=sse"
    assert endpoint("messages").head == b"anthropic-version: 2023-06-01\r\n"
    assert (endpoint("converse").has_model_in_path, CHAT.has_model_in_path) == (True, False)
    assert BaseUrl("https", "h", 443).text == "https://h"
    assert {each.format for each in ECHO_ENDPOINTS} <= FORMATS.keys()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", CHAT_ONLY),
        ('serves = ["chat"]', CHAT_ONLY),
        ('serves = ["messages", "chat"]', (endpoint("messages"), CHAT)),
        (
            'auth_header = "x-key"\nserves = ["messages"]',
            (Endpoint("messages", "/messages", headers=endpoint("messages").headers),),
        ),
        ('endpoints.chat.path = "/c"', (Endpoint("chat", "/c"),)),
        ('endpoints.chat.body = { a = "b" }', (Endpoint("chat", "/chat/completions", body=(("a", "b"),)),)),
        ('endpoints.chat.extra_headers = { X-A = "b" }', (Endpoint("chat", "/chat/completions", headers=(("x-a", "b"),)),)),
        ('endpoints.chat.auth_header = "X-B"', (Endpoint("chat", "/chat/completions", auth_header="x-b"),)),
        ('endpoints.chat.base_url = "http://e"', (Endpoint("chat", "/chat/completions", base_url=BaseUrl("http", "e", 80)),)),
        ('endpoints.gemini.path = "/g/{model}"', (Endpoint("gemini", "/g/{model}", auth_header="x-goog-api-key"),)),
        ("endpoints.cohere.fetches_urls = false", (Endpoint("cohere", "/chat", fetches_urls=False),)),
    ],
)
def test_endpoints_are_what_the_entry_changes_of_them(more: str, expected: tuple[Endpoint, ...]) -> None:
    """A path of its own takes the usual path of streams with it; a key's header of the provider's goes before the format's."""
    assert provider(more).endpoints == expected


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('serves = ["chats"]', 'did you mean "chat"?'),
        ('endpoints.chats.path = "/c"', "did you mean chat?"),
        ('endpoints.zzz.path = "/c"', "there are chat, messages"),
        ('endpoints.chat.path = "c"', "is no path of a URL"),
        ('endpoints.chat.path = "/c d"', "is no path of a URL"),
        ('endpoints.chat.path = "/c?a b"', "is no path of a URL"),
        ('endpoints.chat.pth = "/c"', "did you mean path?"),
        ("endpoints.chat.body = { a = 1 }", "is a whole number; a string is expected"),
        ("endpoints.chat.body = { a = '' }", "is empty or has characters that cannot be printed"),
        ("endpoints.chat.extra_headers = { Host = 'x' }", "is written by the proxy itself"),
        ("endpoints.chat.extra_headers = { 'a b' = 'x' }", "is no name of a header"),
        ("endpoints.chat.extra_headers = { a = 'x ' }", "is no value of a header"),
        ("endpoints.chat.auth_header = 'x-k'\nendpoints.chat.extra_headers = { x-k = 'x' }", "is written by the proxy itself"),
        ('models.n = { input = "1", output = "1", serves = ["speech"] }', 'names "speech", which its provider does not serve'),
        ('parameters = ["a-b"]', "which is no name of a parameter"),
        ('parameters = ["models"]', "which would choose another model or cap than was decided on"),
        ('parameters = ["-messages"]', "without which nothing can be asked"),
        ('auth = "sigv4"', "needs a region"),
        ("http2 = true", "cannot do HTTP/2 or go through a proxy"),
    ],
)
def test_endpoint_that_cannot_be_asked(more: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        provider(more)
    assert words in str(refused.value)
