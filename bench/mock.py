"""The mock provider: nginx with Lua, so that it costs little beside what is measured.

It speaks just enough of the OpenAI dialect: a JSON answer of about 600 bytes with usage; with `"stream":true` 50 chunks, 10 ms
apart, the usage in the last one; and for a model called `hold` one chunk and then silence, to keep a stream open.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.process import free_port, started, wait_until_listening

CHUNKS = 50
GAP_S = 0.010
HOLD_S = 120
MODEL = "m"
MODEL_HELD = "hold"
FILES_MAX = 20_000

TEXT = (
    "A toll road that knows every car by name and never asks one to stop: the gate reads the plate, the books close at "
    "night, and the driver only ever sees the road. That is all there is to it, and it is enough to carry a whole city "
    "to work and back again."
)
USAGE = {"prompt_tokens": 27, "completion_tokens": 50, "total_tokens": 77}
ANSWER = {
    "id": "chatcmpl-0123456789abcdef0123456789",
    "object": "chat.completion",
    "created": 1790000000,
    "model": MODEL,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "logprobs": None, "finish_reason": "stop"}],
    "usage": USAGE,
    "system_fingerprint": "fp_0123456789",
}

CONFIG = """
daemon off; worker_processes 1; pid nginx.pid; error_log error.txt crit; worker_rlimit_nofile {files};
load_module {modules}/ndk_http_module.so;
load_module {modules}/ngx_http_lua_module.so;
events {{ worker_connections {files}; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; client_body_buffer_size 256k; tcp_nodelay on;
  client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
  init_by_lua_file mock.lua;
  server {{
    listen 127.0.0.1:{port} backlog=8192;
    lua_check_client_abort on;
    location / {{ content_by_lua 'serve()'; }}
  }}
}}
"""

LUA = """
local answer = [==[{answer}]==]
local role = [==[{role}]==]
local word = [==[{word}]==]
local finish = [==[{finish}]==]
local usage = [==[{usage}]==]
local find, sleep = string.find, ngx.sleep

local function stream(held)
  ngx.header["content-type"] = "text/event-stream"
  ngx.on_abort(function() ngx.exit(499) end)
  ngx.print(role); ngx.flush(true)
  if held then sleep({hold_s}) return end
  for i = 2, {chunks} - 2 do
    sleep({gap_s}); ngx.print(word); ngx.flush(true)
  end
  sleep({gap_s}); ngx.print(finish); ngx.flush(true)
  sleep({gap_s}); ngx.print(usage, "data: [DONE]\\n\\n")
end

function serve()
  ngx.req.read_body()
  local body = ngx.req.get_body_data() or ""
  if find(body, '"stream": ?true') then return stream(find(body, '"model": ?"[^"]*hold"')) end
  ngx.header["content-type"] = "application/json"
  ngx.header["content-length"] = #answer
  ngx.print(answer)
end
"""


def _chunk(delta: dict[str, str] | None, finish: str | None = None, usage: dict[str, int] | None = None) -> str:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    head = {"id": ANSWER["id"], "object": "chat.completion.chunk", "created": ANSWER["created"], "model": MODEL}
    return f"data: {json.dumps({**head, 'choices': choices, 'usage': usage}, separators=(',', ':'))}\n\n"


def missing() -> str | None:
    """What is not there for the mock provider to run, or None."""
    try:
        return (
            None
            if (_modules() / "ngx_http_lua_module.so").exists()
            else "nginx has no Lua module (Debian: apt install nginx-extras)"
        )
    except FileNotFoundError:
        return "there is no nginx (Debian: apt install nginx-extras)"


def _modules() -> Path:
    told = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=True).stderr
    found = re.search(r"--modules-path=(\S+)", told)
    return Path(found.group(1) if found else "modules")


@contextmanager
def running(folder: Path) -> Iterator[int]:
    """The port of a running mock provider."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nginx.conf").write_text(CONFIG.format(port=port, files=FILES_MAX, modules=_modules()))
    lua = LUA.format(
        answer=json.dumps(ANSWER, separators=(",", ":")),
        role=_chunk({"role": "assistant", "content": ""}),
        word=_chunk({"content": " toll road"}),
        finish=_chunk({}, finish="stop"),
        usage=_chunk(None, usage=USAGE),
        chunks=CHUNKS,
        gap_s=GAP_S,
        hold_s=HOLD_S,
    )
    (folder / "mock.lua").write_text(lua)
    with started(["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "error.txt"], folder) as process:
        wait_until_listening(process, port, 5)
        yield port
