"""What an operator reads of a machine with workers, and may do to it: one answer that says how it is with each of them.

Rule: the supervisor decides nothing about tables or requests: it asks every worker, side by side, and tells each one's answer
under its name. A worker that does not answer is told too, never left out.
Rule: `/reload` asks those that serve; one that drains keeps the table that its requests began with.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge.endpoints.control import CONTROL, NEEDS_CONTROL
from edge.workers.figures import add_up
from edge.workers.worker import Worker

RELOAD_S_MAX = 25.0
"""Longer than a file may take to settle, and shorter than `tollway reload` waits."""
Workers = Callable[[], Sequence[Worker]]
SILENT = "it does not answer: it has just ended, or begins"


def routes(running: Workers, serving: Workers, rests: Callable[[], dict[str, str]], restarts: Callable[[], int]) -> list[Route]:
    """`running`: all, those that drain among them; `serving`: those that callers are for; `rests`: why a place is empty."""

    async def healthz(request: Request) -> Response:
        return Response(b'{"status":"ok"}', media_type="application/json")

    async def readyz(request: Request) -> Response:
        query = "?verbose" if "verbose" in request.query_params else ""
        answers = await _ask_all(running(), f"/readyz{query}")
        told: dict[str, Any] = {name: answer or {"status": "not ready", "problems": [SILENT]} for name, _, answer in answers}
        told |= {name: {"status": "not ready", "problems": [why]} for name, why in rests().items()}
        return _json({"workers": told}, 200 if any(status == 200 for _, status, _ in answers) else 503)

    async def metrics(request: Request) -> Response:
        workers = running()
        answers = await asyncio.gather(*(worker.get("/metrics") for worker in workers))
        own = (
            f"# HELP tollway_workers Workers that run.\n# TYPE tollway_workers gauge\ntollway_workers {len(workers)}\n"
            "# HELP tollway_worker_restarts_total Workers that ended unasked and were started again.\n"
            f"# TYPE tollway_worker_restarts_total counter\ntollway_worker_restarts_total {restarts()}\n"
        )
        text = add_up([own, *(body.decode() for status, body in answers if status == 200)])
        return Response(text, media_type="text/plain; version=0.0.4")

    async def status(request: Request) -> Response:
        answers = await _ask_all(running(), "/status")
        told: dict[str, Any] = {name: answer or {"node": name, "error": SILENT} for name, _, answer in answers}
        told |= {name: {"node": name, "error": why} for name, why in rests().items()}
        return _json({"ready": any(each.get("ready") for each in told.values()), "workers": told}, 200)

    async def reload(request: Request) -> Response:
        if CONTROL not in request.headers:
            return _json({"error": NEEDS_CONTROL}, 403)
        path = "/reload" + ("?force" if "force" in request.query_params else "")
        headers = {CONTROL: "1"}
        answers = await _ask_all(serving(), path, "POST", headers=headers, within_s=RELOAD_S_MAX)
        told: dict[str, Any] = {name: answer or {"succeeded": False, "problem": SILENT} for name, _, answer in answers}
        told |= {name: {"succeeded": False, "problem": why} for name, why in rests().items()}
        succeeded = bool(told) and all(each.get("succeeded") is True for each in told.values())
        return _json({"succeeded": succeeded, "workers": told}, 200 if succeeded else 409)

    return [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
        Route("/status", status),
        Route("/reload", reload, methods=["POST"]),
    ]


async def _ask_all(
    workers: Sequence[Worker], path: str, method: str = "GET", **how: Any
) -> list[tuple[str, int, dict[str, Any] | None]]:
    """(name, status, what it said) of each; 0 and None of one that does not answer."""
    answers = await asyncio.gather(*(worker.get(path, method, **how) for worker in workers))
    return [
        (worker.name, status, _object(body) if status else None) for worker, (status, body) in zip(workers, answers, strict=True)
    ]


def _object(body: bytes) -> dict[str, Any] | None:
    import orjson

    try:
        told = orjson.loads(body)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _json(value: Any, status: int) -> Response:
    import orjson

    return Response(
        orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE), status, media_type="application/json"
    )
