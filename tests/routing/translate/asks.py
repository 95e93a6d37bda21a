"""A request of one format as a provider of another gets it, through all that stands between: sent, reported or refused."""

import json
from functools import cache
from typing import Any, NamedTuple

from routing.plan.plan import Plan, plan
from routing.plan.refusal import Refusal
from routing.request.envelope import Envelope, read
from routing.request.invalid import Invalid
from routing.surfaces import SURFACES, Asked, CallerRequest, surface_of
from routing.surfaces.admission import admit
from routing.table.config import Config, parse
from routing.translate import DOWNSTREAM, UPSTREAM, Format

PROVIDERS: tuple[Format, ...] = ("chat", *UPSTREAM)
CALLERS: tuple[Format, ...] = ("chat", *DOWNSTREAM)
PAIRS = [(caller, provider) for caller in CALLERS for provider in PROVIDERS if caller != provider]
MODELS = {
    "messages": "claude-sonnet-4-6",
    "gemini": "gemini-3.1-pro",
    "converse": "anthropic.claude-sonnet-4-6",
    "responses": "gpt-6",
    "cohere": "command-a",
    "chat": "m",
}
_PRICES = """input = "1"
output = "2"
cached_input = "0.1"
cache_write = "1.25"
cache_write_1h = "2"
search = "0.01"
audio_output = "9"
image_output = "9"
tiers.flex = { input = "0.5", output = "1" }
tiers.priority = { input = "2", output = "4" }
max_output_tokens = 64_000
context_tokens = 200_000
"""
_ENTRIES = {entry.format: entry for entry in SURFACES}
HI: Any = {
    "chat": {"messages": [{"role": "user", "content": "hi"}]},
    "messages": {"max_tokens": 4_000, "messages": [{"role": "user", "content": "hi"}]},
    "responses": {"input": "hi"},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
    "cohere": {"messages": [{"role": "user", "content": "hi"}]},
}
"""The least that a request of each format says."""


@cache
def _table() -> Config:
    entries = [
        f'[providers.{format}]\nbase_url = "https://{format}.test"\napi_key = "none"\nserves = ["{format}"]\n'
        f'[providers.{format}.models."{model}"]\n{_PRICES}'
        for format, model in MODELS.items()
    ]
    return parse("".join(entries))


class Outcome(NamedTuple):
    """`body` None: refused, with `param` and `code`."""

    body: dict[str, Any] | None
    ignored: tuple[str, ...] = ()
    param: str = ""
    code: str = ""

    def at(self, path: str) -> Any:
        """What was sent at a path such as `generationConfig.topP`; None where there is nothing."""
        found: Any = self.body
        for name in path.split("."):
            if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                found = found.get(name) if isinstance(found, dict) else None
        return found


def ask(caller: Format, provider: Format, body: dict[str, Any]) -> Outcome:
    """What becomes of `body`, to which the model is added."""
    name = f"{provider}/{MODELS[provider]}"
    path = f"/v1beta/models/{name}:generateContent" if caller == "gemini" else "/"
    text = json.dumps(body if caller == "gemini" else {"model": name, **body}).encode()
    try:
        envelope: Envelope = read(text) if caller == "chat" else surface_of(_ENTRIES[caller]).read(text, CallerRequest(path, []))
        planned = plan(_table(), frozenset(), name, (), {}, 0.0, 0.0)
        assert isinstance(planned, Plan)
        admitted = admit(_ENTRIES[caller], envelope, planned)
        if isinstance(admitted, Refusal):
            return Outcome(None, (), admitted.param or "", admitted.code)
        attempts, fits, adapters = admitted
        attempt = attempts[0]
        adapter = adapters[attempt.model.id]
        asked = Asked(attempt.provider, attempt.model, adapter.endpoint)
        sent, _ = adapter.request(envelope, asked if attempt.model.id not in fits else asked._replace(fit=fits[attempt.model.id]))
    except Invalid as problem:
        return Outcome(None, (), problem.param or "", problem.code)
    return Outcome(json.loads(b"".join(sent.body)), sent.ignored)
