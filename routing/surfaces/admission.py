"""Which of a plan's attempts can serve a request on its surface, and how.

Rule: who cannot is left out; where nobody can, the refusal says what would have to be said otherwise, or on which surfaces the
model is offered.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from routing.plan.fit import AS_SENT, NO_FITS, Fit, fit, fit_attempts, is_billable
from routing.plan.plan import Attempt, Plan
from routing.plan.refusal import Refusal
from routing.request.envelope import Envelope
from routing.surfaces import CHAT, SURFACES, Entry, place_of
from routing.surfaces.adapter import Adapter, adapter_of
from routing.table.endpoint import CHAT as CHAT_ENDPOINT
from routing.table.provider import Model, Provider

Adapters = Mapping[str, Adapter]
Admitted = tuple[Sequence[Attempt], Mapping[str, Fit], Adapters]
NO_ADAPTERS: Final[Adapters] = {}  # all of them are Chat on Chat


def admit(entry: Entry, envelope: Envelope, plan: Plan) -> Admitted | Refusal:
    """The attempts that can serve a request on this surface, with what to change and how it goes, by the model's id; the first
    refusal when none can."""
    attempts = plan.attempts
    if entry is CHAT:
        if envelope.options is None and envelope.preferences is None and envelope.members.keys() <= plan.takes:
            return attempts, NO_FITS, NO_ADAPTERS
        for attempt in attempts:
            if not attempt.is_plain_chat:
                break
        else:
            fitted = fit_attempts(envelope, attempts)
            if isinstance(fitted, Refusal):
                return fitted
            return readers_of(entry, envelope, fitted[0], NO_ADAPTERS), fitted[1], NO_ADAPTERS
    fits: dict[str, Fit] = {}
    adapters: dict[str, Adapter] = {}
    refused: dict[str, Refusal] = {}
    for attempt in attempts:
        name = attempt.model.id
        if name in adapters or name in refused:
            continue
        found = adapter_of(entry, attempt.provider, attempt.model)
        if found is None:
            refused[name] = not_on_surface(entry, attempt)
            continue
        is_chat = entry.format == "chat" and found.upstream is None
        fitted_one = (fit if is_chat else is_billable)(envelope, attempt.provider, attempt.model)
        if isinstance(fitted_one, Refusal):
            refused[name] = fitted_one
        else:
            adapters[name] = found
            if fitted_one is not AS_SENT:
                fits[name] = fitted_one
    if not adapters:
        return next(iter(refused.values()))
    kept = attempts if not refused else [attempt for attempt in attempts if attempt.model.id in adapters]
    return readers_of(entry, envelope, kept, adapters), fits or NO_FITS, adapters


def readers_of(entry: Entry, envelope: Envelope, attempts: Sequence[Attempt], adapters: Adapters) -> Sequence[Attempt]:
    """Of several targets those that can read the signed thoughts which the conversation carries; all where none can."""
    first = attempts[0].model
    if all(attempt.model is first for attempt in attempts):
        return attempts
    from routing.request.signed import bound_to, can_read

    signed = bound_to(entry.format, envelope.members)
    if not signed:
        return attempts
    known = {
        model.id: can_read(signed, attempt.provider, model, adapters[model.id].endpoint if adapters else CHAT_ENDPOINT)
        for attempt in attempts
        if (model := attempt.model)
    }
    return [attempt for attempt in attempts if known[attempt.model.id]] or attempts


def surfaces_of(provider: Provider, model: Model) -> list[Entry]:
    """On which surfaces a model is offered."""
    return [entry for entry in SURFACES if adapter_of(entry, provider, model) is not None]


def not_on_surface(entry: Entry, attempt: Attempt) -> Refusal:
    offered = [place_of(each) for each in surfaces_of(attempt.provider, attempt.model)]
    where = f"; it is on {' and '.join(offered)}" if offered else ""
    message = f"{attempt.model.id} is not offered on {place_of(entry)} here{where}"
    return Refusal(404, "model_not_found", message, param="model", metadata={"surfaces": offered})
