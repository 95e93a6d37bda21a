"""`tollway check --online`: DNS, TCP, TLS and an authenticated `GET /models`, for each provider and key, side by side.

Rule: it costs nothing: no model is called. What a provider has no list of models for (404) counts as there.
Strategy: httpx, as nothing here is in a hurry; steps are tried one after another, so that the first that fails is the one named.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from time import monotonic
from typing import Any

from edge.tasks import Tasks
from routing.table.config import Config
from routing.table.provider import ECHO, Provider

STEP_S_MAX = 10.0
AT_ONCE = 16
_NO_SUCH_LIST = frozenset({400, 404, 405, 410, 415, 422, 501})


def ask_all(config: Config, secrets: dict[str, str], tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """One answer for each provider and key that is there: {provider, key, step, ms, problem}; told one by one as they come."""
    asked = [
        (provider, reference)
        for provider in config.providers.values()
        if provider.dialect != ECHO
        for reference in (provider.key_refs or ("",))
        if not reference or reference in secrets
    ]
    return asyncio.run(_ask_all(asked, secrets, tell))


async def _ask_all(
    asked: list[tuple[Provider, str]], secrets: dict[str, str], tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    bound, tasks = asyncio.Semaphore(AT_ONCE), Tasks()

    async def one(provider: Provider, reference: str) -> dict[str, Any]:
        async with bound:
            began_s = monotonic()
            step, problem = await _ask(provider, secrets.get(reference, ""))
            answer = {
                "provider": provider.name,
                "key": reference,
                "step": step,
                "ms": round((monotonic() - began_s) * 1000),
                "problem": problem,
            }
            state = f"fails at {step}: {problem}" if problem else "answers"
            tell(f"  {provider.name} {reference or '(no key)'}: {state} ({answer['ms']} ms)")
            return answer

    return list(await asyncio.gather(*(tasks.spawn(f"check {p.name}", one(p, ref)) for p, ref in asked)))


async def _ask(provider: Provider, secret: str) -> tuple[str, str]:
    """(the last step, what is wrong with it or "")."""
    url = provider.base_url
    loop = asyncio.get_running_loop()
    if provider.proxy is None:
        try:
            async with asyncio.timeout(STEP_S_MAX):
                await loop.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError, UnicodeError) as error:
            return "DNS", f"{url.host} has no address ({_of(error)})"
        try:
            async with asyncio.timeout(STEP_S_MAX):
                _, writer = await asyncio.open_connection(url.host, url.port)
                writer.close()
        except (OSError, TimeoutError) as error:
            return "TCP", f"port {url.port} of {url.host} does not answer ({_of(error)})"
    return await _list_models(provider, secret)


async def _list_models(provider: Provider, secret: str) -> tuple[str, str]:
    import httpx

    name, _, scheme = provider.auth_header.partition(":")
    headers = dict(provider.extra_headers)
    if secret:
        headers[name.strip()] = f"{scheme.strip()} {secret}".strip()
    try:
        verify = ssl.create_default_context(cafile=provider.ca_file) if provider.verify else False
        async with httpx.AsyncClient(verify=verify, proxy=provider.proxy, timeout=STEP_S_MAX) as client:
            answer = await client.get(f"{provider.base_url.text}/models", headers=headers)
    except (httpx.HTTPError, OSError, ssl.SSLError, ValueError) as error:
        step = "TLS" if "CERTIFICATE" in str(error).upper() or "SSL" in str(error).upper() else "GET /models"
        return step, _of(error).replace(secret, "…") if secret else _of(error)
    if answer.is_success or answer.status_code in _NO_SUCH_LIST:
        return "GET /models", ""
    if answer.status_code in (401, 403):
        return "GET /models", f"the key is refused with {answer.status_code}"
    return "GET /models", f"answered {answer.status_code}"


def _of(error: BaseException) -> str:
    return str(error) or type(error).__name__
