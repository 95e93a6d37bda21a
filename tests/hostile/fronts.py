"""Real proxies in front of our server, sharing its connections between callers, and what a smuggled request would do there.

Rule: whatever one caller sends through the proxy, the next caller gets the answer to its own request. A proxy and a server that
disagree on where a request ends break just that: the rest of the one is the beginning of the other. And granian beside our own
server: what both serve is the same.
"""

import contextlib
import json
import re
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from tests.hostile.framing import conversation
from tests.patience import PATIENCE_S, wait_until
from tests.ports import free_port
from tests.processes import get

HAPROXY = """
global
  log stdout format raw local0 emerg
defaults
  mode http
  timeout connect 30s
  timeout client 30s
  timeout server 30s
  http-reuse always
  option http-keep-alive
listen front
  bind 127.0.0.1:{port}
  server edge 127.0.0.1:{behind} maxconn 4
"""
NGINX = """
daemon off;
error_log stderr emerg;
pid {folder}/nginx.pid;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  client_header_timeout 30s; client_body_timeout 30s;
  upstream edge {{ server 127.0.0.1:{behind}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://edge; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off;
    }}
  }}
}}
"""
SILENCE_S = 0.15
AT_ONCE = 8
_JSON = re.compile(rb'\{"method": .*?"body": "(?:[^"\\]|\\.)*"\}')
"""What `/echo` tells."""


def answers(port: int) -> bool:
    try:
        return get(port, "/echo").status > 0
    except OSError:
        return False


@contextlib.contextmanager
def front(kind: str, behind: int, folder: Path) -> Iterator[int]:
    """The port of a proxy before the server on port `behind`."""
    port = free_port()
    config = folder / f"{kind}.conf"
    config.write_text((HAPROXY if kind == "haproxy" else NGINX).format(port=port, behind=behind, folder=folder))
    words = ["haproxy", "-db", "-f", str(config)] if kind == "haproxy" else ["nginx", "-p", str(folder), "-c", str(config)]
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(port))
        yield port
    finally:
        child.terminate()
        child.wait(PATIENCE_S)


def send_hostile(port: int, random: Random) -> None:
    """One conversation, on a connection of its own; what comes back does not matter."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=SILENCE_S) as caller:
        for data in conversation(random):
            caller.sendall(data)
        while caller.recv(65_536):
            pass


def answer_of(port: int, mark: str) -> str:
    """The path that the server says an honest caller asked for, and its body."""
    reply = get(port, f"/echo/{mark}")
    told = json.loads(reply.body) if reply.status == 200 else {}
    return f"{told.get('path')} {told.get('method')} {told.get('body')!r}"


def confusions(port: int, seed: int, count: int) -> list[str]:
    """What honest callers were told that was not the answer to their request, with hostile conversations between them."""
    random = Random(seed)
    found = []
    for number in range(count):
        send_hostile(port, Random(random.getrandbits(64)))
        told = answer_of(port, str(number))
        if told != f"/echo/{number} GET ''":
            found.append(f"{number}: {told}")
    return found


def served_over(port: int, reads: list[bytes]) -> list[tuple[str, str]]:
    """Method and body of what the server on `port` (`tests.edge.downstreams`) says it was asked, request by request."""
    got = b""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=SILENCE_S) as caller:
        for data in reads:
            caller.sendall(data)
        while more := caller.recv(65_536):
            got += more
    return [(told["method"], told["body"]) for told in map(json.loads, _JSON.findall(got))]


def disagreements(ours: int, other: int, seed: int, count: int) -> list[str]:
    """Conversations of which two servers both served the same place, as different requests. HEAD has no body to tell by."""
    random = Random(seed)
    conversations = [conversation(Random(random.getrandbits(64))) for _ in range(count)]
    conversations = [reads for reads in conversations if b"HEAD" not in b"".join(reads)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        first = pool.map(lambda reads: served_over(ours, reads), conversations)
        second = pool.map(lambda reads: served_over(other, reads), conversations)
    return [
        f"{reads}: {one} and {two}"
        for reads, here, there in zip(conversations, first, second, strict=True)
        for one, two in zip(here, there, strict=False)
        if one != two
    ]
