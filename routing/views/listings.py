"""The lists that OpenRouter's clients ask for beside `/models`: who provides, who keeps nothing, and the models of two surfaces.

Source: OpenRouter's openapi.yaml; its SDK for Python 1.3 requires the members that are null here. What this table cannot tell
(where a provider's seat is, its terms) is null.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from routing.plan.preferences import keeps_nothing
from routing.table.provider import Model, Provider
from usage.flavor import Flavor
from usage.pricing import PICO_PER_DOLLAR

Models = Mapping[str, tuple[Provider, Model]]
"""Of a catalog: the offered ones by their ids and other names."""
_encode: Final = msgspec.json.encode
_UNKNOWN: Final = ("privacy_policy_url", "terms_of_service_url", "status_page_url", "headquarters", "datacenters")


def on_surface(models: Models, format: str) -> Models:
    """Those that a surface whose bytes pass is served by."""
    return {name: each for name, each in models.items() if each[0].endpoint_of(each[1], format) is not None}


def own(models: Models) -> Models:
    """Those that are no other name of one."""
    return {name: each for name, each in models.items() if name == each[1].id}


def providers(models: Models) -> bytes:
    """The answer to `GET /providers`."""
    names = dict.fromkeys(provider.name for provider, _ in models.values())
    return _encode({"data": [{"name": name, "slug": name, **dict.fromkeys(_UNKNOWN)} for name in names]})


def keepers_of_nothing(models: Models) -> Models:
    """For `GET /endpoints/zdr`: of providers that the table says of that they retain nothing."""
    return {name: each for name, each in own(models).items() if keeps_nothing(each[0])}


def images(models: Models) -> bytes:
    """The answer to `GET /images/models`."""
    return _encode({"data": [_picture_model(name, model) for name, (_, model) in on_surface(models, "images").items()]})


def image_endpoints(models: Models, name: str) -> bytes | None:
    """The answer to `GET /images/models/{author}/{slug}/endpoints`; None when it makes no pictures here."""
    if (found := on_surface(models, "images").get(name)) is None:
        return None
    provider, model = found
    endpoint: dict[str, Any] = {
        "provider_name": provider.name,
        "provider_slug": provider.name,
        "provider_tag": None,
        "allowed_passthrough_parameters": [],
        "pricing": _picture_prices(model),
        "supported_parameters": {},
        "supports_streaming": True,
    }
    return _encode({"id": name, "endpoints": [endpoint]})


def _picture_model(name: str, model: Model) -> dict[str, Any]:
    return {
        "id": name,
        "name": model.display_name or name,
        "created": model.created_s,
        "description": "",
        "architecture": {
            "input_modalities": list(model.input_modalities),
            "output_modalities": list(dict.fromkeys((*model.output_modalities, "image"))),
        },
        "endpoints": f"{Flavor.OPENROUTER.value}/images/models/{name}/endpoints",
        "supported_parameters": {},
        "supports_streaming": True,
    }


def _picture_prices(model: Model) -> list[dict[str, Any]]:
    """In dollars for each."""
    rates = model.rates
    output = rates.output if rates.image_completion is None else rates.image_completion
    found = [("input_text", "token", rates.input), ("output_image", "token", output), ("output_image", "image", rates.image)]
    if rates.image_prompt is not None:
        found.append(("input_image", "token", rates.image_prompt))
    return [{"billable": what, "unit": unit, "cost_usd": rate / PICO_PER_DOLLAR} for what, unit, rate in found if rate]
