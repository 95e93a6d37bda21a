"""What can be called and what it costs, as `GET /models`, `/models/{id}` and `/models/{author}/{slug}/endpoints` tell it.

Source: OpenAI's shapes (a list of ids) and OpenRouter's; prices are decimal strings in dollars per token. Strategy: made once per
table, as JSON.
Rule: a provider whose key is not in the environment is not offered, and the listing says so in `not_offered`.
"""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from routing.plan.plan import is_offered
from routing.plan.unplanned import missing_keys
from routing.surfaces import SURFACES
from routing.surfaces.adapter import adapter_of
from routing.table.config import Config
from routing.table.problem import nearest
from routing.table.provider import Model, Provider
from routing.views import listings
from usage.flavor import Flavor
from usage.pricing import PICO_PER_DOLLAR
from usage.record import Rates

_encode = msgspec.json.encode


def _per_unit(pico: int) -> str:
    """Pico-dollars as a decimal string of dollars."""
    whole, fraction = divmod(pico, PICO_PER_DOLLAR)
    return f"{whole}.{fraction:012d}".rstrip("0").rstrip(".")


def _pricing(rates: Rates) -> dict[str, str]:
    pricing = {"prompt": rates.input, "completion": rates.output, "request": rates.request}
    optional = {
        "input_cache_read": rates.cached,
        "input_cache_write": rates.cache_write,
        "internal_reasoning": rates.reasoning,
        "audio": rates.audio_prompt,
        "audio_output": rates.audio_completion,
        "image_token": rates.image_prompt,
        "image_output": rates.image_completion,
    }
    if rates.search:
        optional["web_search"] = rates.search
    pricing |= {name: rate for name, rate in optional.items() if rate is not None}
    return {name: _per_unit(rate) for name, rate in pricing.items()}


def _architecture(model: Model) -> dict[str, Any]:
    inputs, outputs = list(model.input_modalities), list(model.output_modalities)
    return {
        "modality": f"{'+'.join(inputs)}->{'+'.join(outputs)}",
        "input_modalities": inputs,
        "output_modalities": outputs,
        "tokenizer": "Other",
        "instruct_type": None,
    }


def _openai_entry(model_id: str, model: Model, owner: str) -> dict[str, Any]:
    return {"id": model_id, "object": "model", "created": model.created_s, "owned_by": owner}


def _entry(model: Model) -> dict[str, Any]:
    return {
        "id": model.id,
        "canonical_slug": model.id,
        "name": model.display_name or model.id,
        "created": model.created_s,
        "description": "",
        "context_length": model.context_tokens,
        "architecture": _architecture(model),
        "pricing": _pricing(model.rates),
        "top_provider": {
            "context_length": model.context_tokens,
            "max_completion_tokens": model.max_output_tokens,
            "is_moderated": False,
        },
        "per_request_limits": None,
        "default_parameters": None,
        "supported_voices": None,
        "supported_parameters": sorted(model.takes - {"messages", "model"}),
        "links": {"details": f"{Flavor.OPENROUTER.value}/models/{model.id}/endpoints"},
    }


def _endpoint(provider: Provider, model: Model) -> dict[str, Any]:
    return {
        "name": f"{provider.name} | {model.id}",
        "model_id": model.id,
        "model_name": model.display_name or model.id,
        "provider_name": provider.name,
        "tag": provider.name,
        "context_length": model.context_tokens or 0,
        "max_completion_tokens": model.max_output_tokens,
        "max_prompt_tokens": None,
        "pricing": _pricing(model.rates),
        "quantization": None,
        "supported_parameters": sorted(model.takes - {"messages", "model"}),
        "supports_tool_choice": dict.fromkeys(("auto", "function", "none", "required"), "tool_choice" in model.takes),
        "supports_implicit_caching": model.rates.cached is not None,
        "supports_diarization": False,
        "native_tools": {},
        "service_tier": None,
        "status": 0,
        **dict.fromkeys(_MEASURED),
    }


_MEASURED: Final = ("uptime_last_5m", "uptime_last_30m", "uptime_last_1d", "latency_last_30m", "throughput_last_30m")
"""What OpenRouter measures of an endpoint; here `/metrics` has it, for the operator."""


def _anthropic_entry(name: str, model: Model) -> dict[str, Any]:
    created = datetime.fromtimestamp(model.created_s, UTC).isoformat().replace("+00:00", "Z")
    return {
        "type": "model",
        "id": name,
        "display_name": model.display_name or name,
        "created_at": created,
        "max_input_tokens": model.context_tokens,
        "max_tokens": model.max_output_tokens,
    }


def _google_entry(name: str, provider: Provider, model: Model) -> dict[str, Any]:
    writes = adapter_of(_GEMINI, provider, model) is not None
    methods = {"generateContent": writes, "countTokens": writes}
    methods |= {name: provider.endpoint_of(model, at) is not None for at, name in _EMBEDS}
    return {
        "name": f"models/{name}",
        "version": "",
        "displayName": model.display_name or name,
        "description": "",
        **{at: limit for at, limit in zip(_LIMITS, (model.context_tokens, model.max_output_tokens), strict=True) if limit},
        "supportedGenerationMethods": [method for method, is_there in methods.items() if is_there],
    }


_GEMINI: Final = next(entry for entry in SURFACES if entry.format == "gemini")
_EMBEDS: Final = (("gemini_embeddings", "embedContent"), ("gemini_batch_embeddings", "batchEmbedContents"))
_LIMITS: Final = ("inputTokenLimit", "outputTokenLimit")


class Catalog:
    """The offered models of one table."""

    def __init__(self, config: Config, offered: frozenset[str]) -> None:
        self._models: dict[str, tuple[Provider, Model]] = {}
        missing = []
        for provider in config.providers.values():
            if not is_offered(provider, offered):
                missing.append({"provider": provider.name, "reason": missing_keys(provider)})
                continue
            for model in provider.models.values():
                self._models[model.id] = (provider, model)
        ways = {name: route.model_ids for name, route in config.routes.items() if name not in self._models}
        for alias, targets in {**config.aliases, **ways}.items():
            known = [self._models[target] for target in targets if target in self._models]
            if known:
                self._models[alias] = known[0]
        listed = {name: self._describe(name) for name in self._models}
        plain = [_openai_entry(name, model, provider.name) for name, (provider, model) in self._models.items()]
        self._listings = {
            Flavor.OPENAI: _encode({"object": "list", "data": plain, "not_offered": missing}),
            Flavor.OPENROUTER: _encode(
                {"data": [*listed.values()], "total_count": len(listed), "links": {"next": None}, "not_offered": missing}
            ),
        }
        self.count = _encode({"data": {"count": len(listed)}})
        self.providers = listings.providers(self._models)

    def embeddings_listing(self, limit: int, offset: int) -> bytes:
        """The answer to `GET /embeddings/models`, for OpenRouter's clients."""
        names = list(listings.on_surface(self._models, "embeddings"))
        page = [self._describe(name) for name in names[offset : offset + limit]]
        return _encode({"data": page, "total_count": len(names), "links": {"next": None}})

    def images_listing(self) -> bytes:
        """The answer to `GET /images/models`."""
        return listings.images(self._models)

    def image_endpoints(self, model_id: str) -> bytes | None:
        """The answer to `GET /images/models/{author}/{slug}/endpoints`; None when the model makes no pictures here."""
        return listings.image_endpoints(self._models, model_id)

    def zdr_endpoints(self) -> bytes:
        """The answer to `GET /endpoints/zdr`."""
        found = listings.keepers_of_nothing(self._models).values()
        return _encode({"data": [_endpoint(provider, model) for provider, model in found]})

    def _describe(self, model_id: str) -> dict[str, Any]:
        model = self._models[model_id][1]
        entry = _entry(model)
        return entry if model_id == model.id else {**entry, "id": model_id, "name": model_id}

    def listing(self, flavor: Flavor) -> bytes:
        """The answer to `GET /models`."""
        return self._listings[flavor]

    def model(self, model_id: str, flavor: Flavor) -> bytes | None:
        """The answer to `GET /models/{id}`; None when the model is not offered."""
        if model_id not in self._models:
            return None
        provider, model = self._models[model_id]
        if flavor is Flavor.OPENAI:
            return _encode(_openai_entry(model_id, model, provider.name))
        return _encode({"data": self._describe(model_id)})

    def anthropic_listing(self, limit: int = 20, after_id: str = "") -> bytes:
        """`GET /models` for Anthropic's clients: a page of the list, which begins behind `after_id`."""
        names = list(self._models)
        start = names.index(after_id) + 1 if after_id in self._models else 0
        page = names[start : start + limit]
        data = [_anthropic_entry(name, self._models[name][1]) for name in page]
        ends = {"first_id": page[0] if page else None, "last_id": page[-1] if page else None}
        return _encode({"data": data, "has_more": start + limit < len(names), **ends})

    def anthropic_model(self, model_id: str) -> bytes | None:
        """`GET /models/{id}` for Anthropic's clients; None when the model is not offered."""
        return _encode(_anthropic_entry(model_id, self._models[model_id][1])) if model_id in self._models else None

    def google_listing(self, limit: int = 50, after_id: str = "") -> bytes:
        """`GET /v1beta/models`, for Google's clients: a page of the list, which begins behind `after_id`."""
        names = list(self._models)
        start = names.index(after_id) + 1 if after_id in self._models else 0
        page = names[start : start + limit]
        more = {"nextPageToken": page[-1]} if start + limit < len(names) else {}
        return _encode({"models": [_google_entry(name, *self._models[name]) for name in page], **more})

    def google_model(self, model_id: str) -> bytes | None:
        """`GET /v1beta/models/{id}`; None when the model is not offered."""
        return _encode(_google_entry(model_id, *self._models[model_id])) if model_id in self._models else None

    def nearest(self, model_id: str) -> str | None:
        """The offered id that was probably meant."""
        return nearest(model_id, self._models)

    def endpoints(self, model_id: str) -> bytes | None:
        """The answer to `GET /models/{author}/{slug}/endpoints`; None when the model is not offered."""
        if model_id not in self._models:
            return None
        provider, model = self._models[model_id]
        return _encode({"data": {**self._describe(model_id), "endpoints": [_endpoint(provider, model)]}})
