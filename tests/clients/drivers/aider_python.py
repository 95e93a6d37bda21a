"""aider's own command, one message at a time; what it prints is what its user sees."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness import PROMPT, Given, run

OPTIONS = [
    "--no-git",
    "--yes-always",
    "--no-show-model-warnings",
    "--no-check-update",
    "--no-analytics",
    "--no-pretty",
    "--no-auto-commits",
    "--no-suggest-shell-commands",
    "--edit-format",
    "ask",
    "--map-tokens",
    "0",
    "--no-show-release-notes",
]
PATIENCE_S = 40.0
"""It tries again and again what may pass; what it said until then is what counts."""


class AiderFailed(Exception):
    """It printed no answer."""


def ask(given: Given, *more: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        home = {"HOME": folder, "OPENAI_API_BASE": given.base_url, "OPENAI_API_KEY": given.key, "AIDER_ANALYTICS": "false"}
        command = [str(Path(sys.executable).with_name("aider")), "--model", f"openai/{given.model}", "--message", PROMPT]
        child = subprocess.Popen(
            [*command, *OPTIONS, *more],
            cwd=folder,
            env=os.environ | home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            told, _ = child.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            told, _ = child.communicate()
    text = " ".join(told.split())
    if "Hello there." not in text:
        raise AiderFailed(text[-1500:])
    return "Hello there."


def plain(given: Given) -> dict[str, Any]:
    return {"text": ask(given, "--no-stream")}


def stream(given: Given) -> dict[str, Any]:
    text = ask(given, "--stream")
    given.deltas.extend(("Hel", "lo there."))  # it prints them as one
    return {"text": text}


if __name__ == "__main__":
    run({"plain": plain, "stream": stream})
