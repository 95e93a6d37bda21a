"""Where a webhook may go: an address that a caller names is connected to only if it is public.

Rule: the name is resolved once, every address that it has must be a public one, and the connection is made to the address that
was looked at, so that a second answer of the name server changes nothing. Rule: no redirect is followed. Limits:
`TOLLWAY_WEBHOOK_PRIVATE=yes` lets private addresses and plain HTTP pass, for operators whose receivers stand beside them.
"""

import ipaddress
import os
import socket
from urllib.parse import urlsplit

import msgspec

TIMEOUT_S = 15.0
ANSWER_BYTES_MAX = 65_536


class Unsafe(Exception):
    """The address may not be called; a sentence for its owner."""


class DeliveryTarget(msgspec.Struct, frozen=True):
    """An address, taken apart."""

    scheme: str
    host: str
    port: int
    path: str


def may_be_private() -> bool:
    """Whether webhooks may lead into private networks (TOLLWAY_WEBHOOK_PRIVATE)."""
    return os.environ.get("TOLLWAY_WEBHOOK_PRIVATE", "").lower() in ("yes", "true", "1")


def parse(url: str) -> DeliveryTarget:
    """Unsafe: it is no https address (or http, where private ones are allowed)."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Unsafe("that is no address such as https://example.com/hook") from error
    schemes = ("https", "http") if may_be_private() else ("https",)
    if parts.scheme not in schemes or not host or not url.isascii() or not url.isprintable() or " " in url or len(url) > 2_000:
        raise Unsafe(f"a webhook's address begins with {' or '.join(schemes)}:// and has a host")
    if parts.username or parts.password or parts.fragment:
        raise Unsafe("a webhook's address has no user, password or fragment in it")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return DeliveryTarget(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), path)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open Internet; those that carry another inside are judged by it."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inside = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inside is None and ip in ipaddress.ip_network("64:ff9b::/96"):
            inside = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inside is not None:
            return is_public(str(inside)) and ip.sixtofour is None and ip.teredo is None
        if ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def resolve(target: DeliveryTarget) -> str:
    """The address to connect to; Unsafe when the name has one that is not public, or none."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unsafe(f"{target.host[:100]} cannot be resolved") from error
    addresses = [str(one[4][0]) for one in found]
    if not addresses:
        raise Unsafe(f"{target.host[:100]} has no address")
    if not may_be_private() and not all(map(is_public, addresses)):
        raise Unsafe(f"{target.host[:100]} is an address inside of a network, which webhooks may not reach")
    return addresses[0]


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """Send; the status. Unsafe, OSError."""
    import http.client
    import ssl

    target = parse(url)
    address = resolve(target)
    raw = socket.create_connection((address, target.port), TIMEOUT_S)
    try:
        raw.settimeout(TIMEOUT_S)
        if target.scheme == "https":
            raw = ssl.create_default_context().wrap_socket(raw, server_hostname=target.host)
        connection = http.client.HTTPConnection(target.host, target.port, timeout=TIMEOUT_S)
        connection.sock = raw  # connected already, to what was looked at
        connection.request("POST", target.path, body, headers)
        answer = connection.getresponse()
        answer.read(ANSWER_BYTES_MAX)
        return answer.status
    except http.client.HTTPException as error:
        raise ConnectionError(type(error).__name__) from error
    finally:
        raw.close()
