"""What can be called and what it costs, as `GET /models` and `/models/{author}/{slug}/endpoints` tell it.

Source: OpenRouter's shapes; prices are decimal strings in dollars per token. Strategy: made once per table, as JSON.
Rule: a provider whose key is not in the environment is not offered, and the answer says so in `not_offered`.
"""

from typing import Any

import msgspec

from routing.config import Config
from routing.plan import is_offered, missing_keys
from routing.provider import Model, Provider
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


def _entry(model: Model, owner: str) -> dict[str, Any]:
    return {
        "id": model.id,
        "object": "model",
        "owned_by": owner,
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
        "supported_parameters": [],
        "links": {"details": f"/api/v1/models/{model.id}/endpoints"},
    }


def _endpoint(provider: Provider, model: Model) -> dict[str, Any]:
    return {
        "name": f"{provider.name} | {model.id}",
        "model_id": model.id,
        "model_name": model.display_name or model.id,
        "provider_name": provider.name,
        "tag": provider.name,
        "context_length": model.context_tokens,
        "max_completion_tokens": model.max_output_tokens,
        "max_prompt_tokens": None,
        "pricing": _pricing(model.rates),
        "quantization": None,
        "supported_parameters": [],
        "status": 0,
    }


class Catalog:
    """The offered models of one table: `listing` is the answer to `GET /models`."""

    def __init__(self, config: Config, offered: frozenset[str]) -> None:
        self._models: dict[str, tuple[Provider, Model]] = {}
        missing = []
        for provider in config.providers.values():
            if not is_offered(provider, offered):
                missing.append({"provider": provider.name, "reason": missing_keys(provider)})
                continue
            for model in provider.models.values():
                self._models[model.id] = (provider, model)
        entries = [_entry(model, provider.name) for provider, model in self._models.values()]
        for alias, targets in config.aliases.items():
            known = [self._models[target] for target in targets if target in self._models]
            if known:
                self._models[alias] = known[0]
                entries.append({**_entry(known[0][1], known[0][0].name), "id": alias, "name": alias})
        self.listing = _encode({"object": "list", "data": entries, "total_count": len(entries), "not_offered": missing})

    def endpoints(self, model_id: str) -> bytes | None:
        """The answer to `GET /models/{author}/{slug}/endpoints`; None when the model is not offered."""
        found = self._models.get(model_id)
        if found is None:
            return None
        provider, model = found
        return _encode({"data": {**_entry(model, provider.name), "id": model_id, "endpoints": [_endpoint(provider, model)]}})
