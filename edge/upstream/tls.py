"""TLS towards providers: whose certificates are believed, and sessions remembered so that a second handshake is short.

Rule: certificates and host names are verified unless the table says otherwise for that provider. A session is only ever
offered to the name it came from, by the context that verified it.
Strategy: asyncio and uvloop both make their TLS object by `SSLContext.wrap_bio`; overriding it is the one place where a session
can be offered. One session per name is kept, the newest.
Limits: without a system store of authorities (a bare container image) certifi's is used, if it is there.
"""

import ssl
from functools import lru_cache
from typing import Any

NAMES_MAX = 1024
CONTEXTS_MAX = 64


class ReachableObject(ssl.SSLObject):
    """A TLS object that tells where its cipher text comes in; see `edge.upstream.early_answer`."""

    incoming: ssl.MemoryBIO


class ReusingContext(ssl.SSLContext):
    """A client context that resumes the last session per server name."""

    sslobject_class = ReachableObject
    _sessions: dict[str, ssl.SSLSession]

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        if session is None and isinstance(server_hostname, str):
            session = self._sessions.get(server_hostname)
        tls = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        assert isinstance(tls, ReachableObject)
        tls.incoming = incoming
        return tls

    def remember(self, server_hostname: str, tls: ssl.SSLObject) -> None:
        """Keep this connection's session for the next. Call it after the first response: TLS 1.3 tickets come late."""
        session = tls.session
        if session is not None and session.has_ticket:
            if len(self._sessions) >= NAMES_MAX:
                self._sessions.clear()
            self._sessions[server_hostname] = session


@lru_cache(CONTEXTS_MAX)
def shared_context(verify: bool, ca_file: str | None, version: str = "") -> ReusingContext:
    """The context of all connections that believe the same authorities, so that they share sessions. `version` tells what the
    file holds: another content is another context."""
    return build_context(verify, ca_file)


def build_context(verify: bool, ca_file: str | None) -> ReusingContext:
    """A new context. Reading the authorities takes a while: call it lazily."""
    context = ReusingContext(ssl.PROTOCOL_TLS_CLIENT)
    context._sessions = {}
    context.set_alpn_protocols(["http/1.1"])
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca_file is not None:
        context.load_verify_locations(ca_file)
    else:
        _load_default_authorities(context)
    return context


def _load_default_authorities(context: ssl.SSLContext) -> None:
    paths = ssl.get_default_verify_paths()
    if paths.cafile or paths.capath:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        certifi: Any = __import__("certifi")
        context.load_verify_locations(certifi.where())
