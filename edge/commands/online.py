"""`tollway check --online`: DNS, TCP, and the trial that a running edge makes, for each provider and key, side by side.

Rule: it costs nothing: no model is called. The trial (`edge.providers.trials.ask`) is `GET /models` with the provider's own
authentication; what has no list of models (404) counts as there.
"""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

from edge.providers.resolver import LazyUpstream, ResolvedEndpoint
from edge.providers.table import Table
from edge.providers.trials import ask
from edge.tasks import Tasks
from edge.upstream.pool import NativeUpstream
from edge.write_batch import WriteBatch
from routing.failures.failure import Failure, Kind
from routing.table.provider import ECHO, Provider

STEP_S_MAX = 10.0
AT_ONCE = 16


def ask_all(path: Path, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """One answer for each provider and key that is there: {provider, key, step, ms, problem}; told one by one as they come."""
    return asyncio.run(_ask_all(path, tell))


async def _ask_all(path: Path, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    native, httpx_upstream, tasks = NativeUpstream(WriteBatch()), LazyUpstream(), Tasks()
    table = Table(path, native, httpx_upstream)
    providers, bound = table.config.providers, asyncio.Semaphore(AT_ONCE)
    keeping = tasks.spawn("tokens", table.resolver.keep_tokens())

    async def one(provider: Provider, reference: str, trial: ResolvedEndpoint) -> dict[str, Any]:
        async with bound:
            began_s = monotonic()
            step, problem = await _ask(provider, trial)
            ms = round((monotonic() - began_s) * 1000)
            state = f"fails at {step}: {problem}" if problem else "answers"
            tell(f"  {provider.name} {reference or '(no key)'}: {state} ({ms} ms)")
            return {"provider": provider.name, "key": reference, "step": step, "ms": ms, "problem": problem}

    trials = [(providers[name], ref or "", trial) for (name, ref), trial in table.trials.items()]
    asked = [tasks.spawn(f"check {each[0].name}", one(*each)) for each in trials if each[0].dialect != ECHO]
    try:
        return list(await asyncio.gather(*asked))
    finally:
        keeping.cancel()
        await native.aclose()
        await httpx_upstream.aclose()


async def _ask(provider: Provider, trial: ResolvedEndpoint) -> tuple[str, str]:
    """(the last step, what is wrong with it or "")."""
    target = trial.target
    if provider.proxy is None:
        try:
            async with asyncio.timeout(STEP_S_MAX):
                await asyncio.get_running_loop().getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError, UnicodeError) as error:
            return "DNS", f"{target.host} has no address ({_of(error)})"
        try:
            async with asyncio.timeout(STEP_S_MAX):
                _, writer = await asyncio.open_connection(target.host, target.port)
                writer.close()
        except (OSError, TimeoutError) as error:
            return "TCP", f"port {target.port} of {target.host} does not answer ({_of(error)})"
    failure = await ask(trial)
    if failure is None:
        return "GET /models", ""
    return "TLS" if failure.kind is Kind.TLS else "GET /models", _reason(failure)


def _reason(failure: Failure) -> str:
    if failure.status in (401, 403):
        return f"the key is refused with {failure.status}"
    if failure.status:
        return f"answered {failure.status}"
    return failure.kind.value.replace("_", " ")


def _of(error: BaseException) -> str:
    return str(error) or type(error).__name__
