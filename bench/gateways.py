"""The peers that do what we do, or part of it: LiteLLM's proxy without a database, and Portkey's open gateway."""

import secrets
import shutil
import sys
from pathlib import Path

from bench.load import Target
from bench.mock import MODEL, MODEL_HELD
from bench.peer import Launch, Peer

LITELLM = "litellm[proxy]==1.106.2"
PORTKEY = "@portkey-ai/gateway@1.15.2"

LITELLM_MODEL = """
  - model_name: {model}
    litellm_params: {{ model: openai/{model}, api_base: "http://127.0.0.1:{mock_port}/v1", api_key: none }}
"""


def _litellm(out: Path, folder: Path, port: int, mock_port: int) -> Launch:
    models = "".join(LITELLM_MODEL.format(model=model, mock_port=mock_port).lstrip("\n") for model in (MODEL, MODEL_HELD))
    key = f"sk-{secrets.token_hex(24)}"  # it will not start without one
    settings = f"litellm_settings:\n  telemetry: false\ngeneral_settings:\n  master_key: {key}\n"
    (folder / "config.yaml").write_text(f"model_list:\n{models}{settings}")
    argv = [
        str(_litellm_program(out)),
        "--config",
        "config.yaml",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--num_workers",
        "1",
    ]
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "NO_DOCS": "True"}
    return Launch(argv, Target(port, headers={"authorization": f"Bearer {key}"}), quiet)


def _litellm_program(out: Path) -> Path:
    return out / "litellm" / "bin" / "litellm"


def _portkey(out: Path, folder: Path, port: int, mock_port: int) -> Launch:
    headers = {
        "authorization": "Bearer none",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{mock_port}/v1",
    }
    return Launch(["node", str(_portkey_program(out)), f"--port={port}", "--headless"], Target(port, headers=headers))


def _portkey_program(out: Path) -> Path:
    return out / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"


def _missing_portkey(out: Path) -> str | None:
    if not shutil.which("node"):
        return "there is no node"
    return None if _portkey_program(out).exists() else "not installed"


LITELLM_PEER = Peer(
    "LiteLLM",
    "full gateway; here without database: one master key, no accounts, no spend logs",
    _litellm,
    lambda out: None if _litellm_program(out).exists() else "not installed",
    lambda out: LITELLM.partition("==")[2],
    lambda out: [
        [sys.executable, "-m", "venv", str(out / "litellm")],
        [str(out / "litellm" / "bin" / "pip"), "install", "--quiet", LITELLM],
    ],
    start_timeout_s=90.0,
    is_slow=True,
)
PORTKEY_PEER = Peer(
    "Portkey",
    "full gateway; no accounts",
    _portkey,
    _missing_portkey,
    lambda out: PORTKEY.rpartition("@")[2],
    lambda out: [["npm", "install", "--silent", "--no-save", "--prefix", str(out / "portkey"), PORTKEY]],
    start_timeout_s=30.0,
)
