"""Every client against every check: what its user must see of each call, flavour by flavour.

A check is a call of a driver (tests/clients/drivers), the model that the strict provider answers in a certain way, and what must
come out. Strategy: one process per client makes all of its calls; a check that a client has no call for is skipped and shown.
"""

import json
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.clients import strict
from tests.clients.environments import Environment
from tests.processes import Edge, make_account, run_json
from tests.provider import Provider

TIMEOUT_S = 900.0
CLOSED_S_MAX = 5.0
TEXT = "Hello there."
FINE = "openai"
"""The provider of all that goes well: clients that know models by their name offer what OpenAI's can."""
Seen = dict[str, Any]
Verdict = str
"""Empty when all is well, else what is not."""


@dataclass(frozen=True)
class Client:
    """`driver` is a file in drivers/; `environment` names where its packages are (scripts/soak makes one for each)."""

    name: str
    driver: str
    flavor: str
    environment: str


CLIENTS = (
    Client("openai (Python)", "openai_python.py", "openai", "openai"),
    Client("openai (Node)", "openai_node.mjs", "openai", "node"),
    Client("LangChain ChatOpenAI (Python)", "langchain_openai_python.py", "openai", "langchain"),
    Client("LangChain ChatOpenAI (Node)", "langchain_openai_node.mjs", "openai", "node"),
    Client("LlamaIndex OpenAILike", "llama_index_openai_python.py", "openai", "llama-index"),
    Client("pydantic-ai OpenAI", "pydantic_ai_openai_python.py", "openai", "pydantic-ai"),
    Client("litellm openai/", "litellm_openai_python.py", "openai", "litellm"),
    Client("instructor", "instructor_python.py", "openai", "instructor"),
    Client("aider", "aider_python.py", "openai", "aider"),
    Client("@ai-sdk/openai", "ai_openai_node.mjs", "openai", "node"),
    Client("@ai-sdk/openai-compatible", "ai_compatible_node.mjs", "openai", "node"),
    Client("JDK HttpClient", "Jdk.java", "openai", "java"),
    Client("JDK HttpClient, /api/v1", "Jdk.java", "openrouter", "java"),
    Client("openrouter (Python)", "openrouter_python.py", "openrouter", "openrouter"),
    Client("@openrouter/sdk", "openrouter_node.mjs", "openrouter", "node"),
    Client("langchain-openrouter", "langchain_openrouter_python.py", "openrouter", "langchain"),
    Client("LlamaIndex OpenRouter", "llama_index_openrouter_python.py", "openrouter", "llama-index"),
    Client("pydantic-ai OpenRouter", "pydantic_ai_openrouter_python.py", "openrouter", "pydantic-ai"),
    Client("litellm openrouter/", "litellm_openrouter_python.py", "openrouter", "litellm"),
    Client("@openrouter/ai-sdk-provider", "ai_openrouter_node.mjs", "openrouter", "node-ai-6"),
)


@dataclass(frozen=True)
class Check:
    """`model` is what the strict provider reads; `key` "poor", "narrow" (one model only) or "stranger" is another key; `judge`
    reads what was seen."""

    name: str
    call: str
    judge: Callable[[Seen], Verdict]
    model: str = "fine"
    key: str = ""


def _says(**wanted: Any) -> Callable[[Seen], Verdict]:
    def judge(seen: Seen) -> Verdict:
        if "error" in seen:
            return f"failed: {seen['error']}"
        for name, value in wanted.items():
            got = seen.get(name)
            if name == "tool" and got and isinstance(got[1], str):
                got = [got[0], json.loads(got[1])]
            if got != value and not (name == "usage" and got is None):
                return f"{name} is {got!r}, not {value!r}"
        return ""

    return judge


def _fails(status: int, *words: str) -> Callable[[Seen], Verdict]:
    """A status where the client keeps one, and the reason in what its user reads."""

    def judge(seen: Seen) -> Verdict:
        error = seen.get("error")
        if error is None:
            return f"no error, but {seen}"
        if error["status"] not in (status, None):
            return f"status {error['status']}, not {status}: {error['message'][:200]}"
        if not any(word in error["message"] for word in words):
            return f"the reason is not told: {error['class']}: {error['message'][:300]}"
        return ""

    return judge


def _streams(seen: Seen) -> Verdict:
    verdict = _says(text=TEXT, usage=[9, 3])(seen)
    return verdict or ("" if len(seen["deltas"]) > 1 else f"not streamed: {seen['deltas']}")


def _breaks(seen: Seen) -> Verdict:
    """An error (or the finish that says so), and not a success with half a text."""
    if "error" not in seen and seen.get("finish") != "error":
        return f"a cut text is shown as success: {seen}"
    return "" if "".join(seen.get("deltas", ())) in ("Hel", "") else f"deltas are {seen['deltas']}"


def _lists(seen: Seen) -> Verdict:
    if "error" in seen:
        return f"failed: {seen['error']}"
    return "" if "echo/echo-1" in seen["ids"] and seen["one"] == "echo/echo-1" else f"models are {seen}"


def _accounts(seen: Seen) -> Verdict:
    return f"failed: {seen['error']}" if "error" in seen else "" if seen["credits"] == 100 else f"credits are {seen}"


CHECKS = (
    Check("cancel", "cancel", _says(), "hangs"),  # first, so that a connection that only the client's end closes is told from it
    Check("plain", "plain", _says(text=TEXT, usage=[9, 3])),
    Check("stream", "stream", _streams),
    Check("tools", "tools", _says(tool=["weather", {"city": "Rome"}])),
    Check("tools, streamed", "tools_stream", _says(tool=["weather", {"city": "Rome"}])),
    Check("schema", "schema", _says(object={"city": "Rome", "population": 2_800_000})),
    Check("image", "image", _says(text="A cat.")),
    Check("models", "models", _lists),
    Check("account", "account", _accounts),
    Check("400", "plain", _fails(400, "context too long"), "fails-400"),
    Check("401", "plain", _fails(401, "key"), key="stranger"),
    Check("402", "plain", _fails(402, "used up", "affordable", "credit"), key="poor"),
    Check("403", "plain", _fails(403, "may not use"), key="narrow"),
    Check("404", "plain", _fails(404, "model"), "@nobody/nothing"),
    Check("429", "plain", _fails(429, "limiting"), "fails-429"),
    Check("500", "plain", _fails(502, "failed"), "fails-500"),
    Check("503", "plain", _fails(503, "overloaded"), "fails-503"),
    Check("400, streamed", "stream", _fails(400, "context too long"), "fails-400-stream"),
    Check("429, streamed", "stream", _fails(429, "limiting"), "fails-429-stream"),
    Check("401, streamed", "stream", _fails(401, "key"), key="stranger"),
    Check("error mid-stream", "stream", _breaks, "breaks"),
)


def providers_toml(provider: Provider) -> str:
    """A table with one provider for all that goes well, and one for each failure of each client: a failure closes its provider
    for a while, and no check may disturb another."""
    price = 'unlisted = { input = "0.1", output = "0.4" }'
    names = [FINE, *(_own_provider(client, number) for client in CLIENTS for number in range(len(CHECKS)))]
    return "\n".join(f'[providers.{name}]\nbase_url = "{provider.base_url}"\napi_key = "none"\n{price}' for name in names)


def _own_provider(client: Client, number: int) -> str:
    return f"own-{CLIENTS.index(client)}-{number}"


class Matrix:
    """One edge and one strict provider for all clients."""

    def __init__(self, edge: Edge, provider: Provider) -> None:
        self._edge = edge
        self._provider = provider
        self._keys = {
            "": make_account(edge, "rich", "100.00").key,
            "poor": make_account(edge, "poor", "0.000000001").key,
            "narrow": run_json(edge, "keys", "create", "--account", "rich", "--models", "echo/echo-1")["key"],
            "stranger": "sk-" + "nonsense-0123456789",
        }

    def run(self, client: Client, where: Environment) -> dict[str, Verdict | None]:
        """Check → verdict; None where the client has no such call."""
        slug = client.driver.partition(".")[0].replace("_", "-") + "-" + client.flavor
        base_url = self._edge.base_url if client.flavor == "openai" else self._edge.openrouter_url
        calls = []
        for number, check in enumerate(CHECKS):
            model = check.model.removeprefix("@")
            if not check.model.startswith("@"):
                upstream = f"{slug}-{number}-{model}"
                self._provider.script_by(upstream, strict.answer)
                model = f"{FINE if check.model == 'fine' else _own_provider(client, number)}/{upstream}"
            calls.append(
                {"name": check.name, "call": check.call, "model": model, "base_url": base_url, "key": self._keys[check.key]}
            )
        seen = self._drive(client, where, {"base_url": base_url, "key": self._keys[""], "calls": calls})
        models = [call["model"] for call in calls]
        return {check.name: self._judge(check, seen, model, models) for check, model in zip(CHECKS, models, strict=True)}

    def _drive(self, client: Client, where: Environment, given: dict[str, Any]) -> dict[str, Seen]:
        text = json.dumps(given)
        if client.driver.endswith(".java"):
            known = ("plain", "stream", "cancel")
            rows = [call for call in given["calls"] if call["call"] in known]
            names = ("name", "call", "base_url", "key", "model")
            text = "\n".join("\t".join(call[name] for name in names) for call in rows) + "\n"
        command = [*where.command, str(where.drivers / client.driver)]
        try:
            done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
            seen: dict[str, Seen] = json.loads(done.stdout.rstrip().rpartition("\n")[2])
        except subprocess.TimeoutExpired:
            return _all_failed(given, f"the driver did not end within {TIMEOUT_S:g} s")
        except ValueError:
            told = f"the driver ended with {done.returncode}: {done.stdout[-500:]} {done.stderr[-1500:]}"
            return _all_failed(given, told)
        return seen

    def _judge(self, check: Check, seen: dict[str, Seen], model: str, models: list[str]) -> Verdict | None:
        if check.name not in seen or "skipped" in seen[check.name]:
            return None
        verdict = check.judge(seen[check.name])
        if verdict or check.name != "cancel":
            return verdict
        last_s = max(request.at_s for name in models for request in self._provider.requests[name.partition("/")[2]])
        *_, left = self._provider.requests[model.partition("/")[2]]
        if not left.closed.wait(CLOSED_S_MAX) or left.closed_at_s > last_s:
            return "the provider's connection stays open when the client has left"
        return ""


def _all_failed(given: dict[str, Any], told: str) -> dict[str, Seen]:
    return {
        call["name"]: {"error": {"class": "driver", "status": None, "message": told}, "deltas": []} for call in given["calls"]
    }


def table(rows: Iterable[tuple[str, dict[str, Verdict | None]]]) -> str:
    """Client × check: ok, - (no such call), or FAIL; then every failure in full."""
    lines, failures = [], []
    names = [check.name for check in CHECKS]
    lines.append(f"{'':32}" + " ".join(f"{at + 1:>3}" for at in range(len(names))))
    for client, verdicts in rows:
        marks = ["  -" if verdicts.get(name) is None else " ok" if verdicts[name] == "" else "BAD" for name in names]
        lines.append(f"{client:32}" + " ".join(marks))
        failures += [f"{client}: {name}: {verdict}" for name, verdict in verdicts.items() if verdict]
    legend = [f"{at + 1} {name}" for at, name in enumerate(names)]
    return "\n".join([*lines, "", "  ".join(legend), "", *failures])
