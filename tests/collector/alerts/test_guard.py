"""Where a webhook may go: nowhere inside, by whatever spelling, and to the address that was looked at."""

import socket
from typing import Any

import pytest

from collector.alerts.guard import Unsafe, is_public, parse, post, resolve

INSIDE = (
    "127.0.0.1", "127.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
    "255.255.255.255", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00::1", "ff02::1",
    "fec0::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2001:db8::1",
)  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_address_inside_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "//example.com", "https://", "https:///x", "https://u:p@example.com/",
        "https://example.com/#x", "https://exa mple.com/", "https://example.com/\r\nx: y", "https://[::1", "https://example.com:99999/",
        "", "javascript:1", "https://ex\u00e4mple.com/", "https://a/" + "x" * 2_000,
    ],
)  # fmt: skip
def test_address_that_is_none(url: str) -> None:
    with pytest.raises(Unsafe):
        parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://localhost/",
        "https://[::1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0/",
        "https://127.1/",
    ],
)
def test_name_that_leads_inside_is_refused(url: str) -> None:
    """Also in the spellings that resolvers take for loopback."""
    with pytest.raises(Unsafe):
        post(url, b"", {})


def test_name_with_one_address_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that mixes a public address with one inside gets neither called."""

    def answer(*_: Any, **__: Any) -> list[Any]:
        return [(2, 1, 6, "", ("1.1.1.1", 443)), (2, 1, 6, "", ("10.0.0.1", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    with pytest.raises(Unsafe, match="inside"):
        resolve(parse("https://mixed.example/"))


def test_connection_goes_to_the_address_that_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is resolved once: a second, other answer is never asked for."""
    asked: list[str] = []

    def answer(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [(2, 1, 6, "", ("8.8.8.8", 443))]

    def connect(address: tuple[str, int], timeout: float) -> Any:
        assert address == ("8.8.8.8", 443)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(ConnectionRefusedError):
        post("https://rebinding.example/", b"", {})
    assert asked == ["rebinding.example"]
