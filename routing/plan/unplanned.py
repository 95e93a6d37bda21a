"""Why no provider is asked for a model: each reason with its status, and with what would be right.

Rule: names of variables may be told, so that the operator knows what is missing; places of files and keys never.
"""

import math
from typing import Final

from routing.failures.cause import ABOUT_ACCOUNT, Cause
from routing.plan.health import Health
from routing.plan.preferences import Preferences, keeps_from_training, keeps_nothing
from routing.plan.refusal import Refusal
from routing.table.config import MODEL_ID_CHARS_MAX, Config, Found, NotFound
from routing.table.provider import Provider

LIKENESS_MIN: Final = 0.75


def not_allowed(model_id: str) -> Refusal:
    return Refusal(403, "model_not_allowed", f"this key may not use the model {model_id}", param="model")


def is_ours(health: Health) -> bool:
    """Whether it is closed for a reason that waiting does not mend, but the operator."""
    return health.cause in ABOUT_ACCOUNT or health.cause is Cause.MODEL_GONE


def unavailable(model_id: str, wait_s: float, closed: list[list[Health]]) -> Refusal:
    """All that leads to the model is closed, for the reasons in `closed`."""
    wait_s = float(math.ceil(wait_s))
    if all(any(map(is_ours, each)) for each in closed):
        message = f"no provider of {model_id} accepts this proxy's own credentials; its operator has to mend that"
        return Refusal(502, "provider_auth", message, is_hopeless=True)
    if all(each.cause is Cause.RATE_LIMITED for ill in closed for each in ill):
        message = f"the provider of {model_id} is limiting the rate of this proxy's requests; try again in {wait_s:g} s"
        return Refusal(429, "provider_rate_limited", message, retry_after_s=wait_s)
    message = f"no provider of {model_id} is available after repeated failures; try again in {wait_s:g} s"
    return Refusal(503, "provider_unavailable", message, retry_after_s=wait_s)


def missing_keys(provider: Provider) -> str:
    """Why a provider is not offered, without saying where files are."""
    names = [ref.partition(":")[2] for ref in provider.key_refs if ref.startswith("env:")]
    if not names:
        return "the file with its key cannot be read"
    return f"{' or '.join(names)} is not in the environment"


def not_offered(model_id: str, known: list[Found]) -> Refusal:
    why = "; ".join(f"the provider {each.provider.name} is not offered because {missing_keys(each.provider)}" for each in known)
    metadata = {"providers": sorted({each.provider.name for each in known})}
    return Refusal(404, "provider_not_configured", f"{model_id} cannot be used here: {why}", param="model", metadata=metadata)


def suggestions(config: Config, model_id: str) -> tuple[str, ...]:
    """Ids somebody who asked for `model_id` may have meant, at most three; none for what is no id at all."""
    if not 0 < len(model_id) <= MODEL_ID_CHARS_MAX:
        return ()
    ids = [*config.aliases, *(model.id for provider in config.providers.values() for model in provider.models.values())]
    ranked = sorted(((_likeness(model_id, each), each) for each in ids), key=lambda pair: -pair[0])
    return tuple(each for likeness, each in ranked[:3] if likeness >= LIKENESS_MIN)


def _likeness(asked: str, known: str) -> float:
    """From 0 to 1: what both share at their beginning and end. Without a provider, the rest is compared.

    One slip of the finger, in one place, is found; `difflib` would find more, at 10 ms of everybody's time.
    """
    if "/" not in asked:
        known = known.partition("/")[2]
    longest, shortest = max(len(asked), len(known)), min(len(asked), len(known))
    head = next((at for at in range(shortest) if asked[at] != known[at]), shortest)
    tail = next((at for at in range(shortest - head) if asked[-1 - at] != known[-1 - at]), shortest - head)
    return (head + tail) / longest


def no_target(model_id: str) -> Refusal:
    message = f"no target of {model_id} is for a request such as this one; its operator can add one without a condition"
    return Refusal(404, "no_target", message, param="model")


def none_admitted(config: Config, model_id: str, usable: list[Found], wishes: Preferences) -> Refusal:
    names = sorted({each.provider.name for each in usable})
    message = f"'provider' leaves nobody to ask for {model_id}, which is served by {' and '.join(names)} here"
    for asked, is_met, what in (
        (wishes.denies_collection, keeps_from_training, "does not train on what it is sent"),
        (wishes.demands_zdr, keeps_nothing, "keeps nothing of what it is sent"),
    ):
        if asked and not any(is_met(each.provider) for each in usable):
            known = [each.name for each in config.providers.values() if is_met(each)]
            message += f"; this proxy's table says of {' and '.join(known) or 'no provider'} that it {what}"
    return Refusal(404, "no_allowed_provider", message, param="provider", metadata={"providers": names})


def not_found(config: Config, model_id: str, reason: Found | NotFound) -> Refusal:
    near = suggestions(config, model_id)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    metadata = {"suggestions": list(near)} if near else None
    shown = model_id if len(model_id) <= MODEL_ID_CHARS_MAX else model_id[:MODEL_ID_CHARS_MAX] + "…"
    if isinstance(reason, NotFound) and reason.provider is not None:
        message = f"the provider {reason.provider.name} has no model {shown} here; GET /models lists those it has.{hint}"
        return Refusal(404, "model_not_found", message, param="model", metadata=metadata)
    message = f"there is no model {shown}; a model is named 'provider/model', and GET /models lists them.{hint}"
    return Refusal(404, "model_not_found", message, param="model", metadata=metadata)
