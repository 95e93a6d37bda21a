"""The standard library's HTTP server, for a test that scripts a handler: a webhook's end, a shop, a receiver of spans.

Rule: a caller that leaves, or speaks no TLS where it should, ends its own connection and says nothing; what a handler does wrong
fails the test that is under way when the server ends.
"""

import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class HttpHandler(BaseHTTPRequestHandler):
    """A handler that does not log."""

    def log_message(self, format: str, *args: object) -> None:
        pass


class HttpServer(ThreadingHTTPServer):
    """Listens on a free port of 127.0.0.1, `server_port`. It speaks TLS from when it has a `context`."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.context: ssl.SSLContext | None = None
        self.faults: list[BaseException] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        """Each connection is wrapped on its own: the listener is in the hands of another thread."""
        connection, address = super().get_request()
        if self.context is not None:
            connection = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        fault = sys.exception()
        if fault is not None and not isinstance(fault, OSError):
            self.faults.append(fault)


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[HttpServer]:
    """The server, while the block lasts."""
    with HttpServer(handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
    if server.faults:
        raise server.faults[0]
