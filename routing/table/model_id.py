"""Which id of the table a caller means: in whatever case it is written, and with OpenRouter's suffixes.

Rule: an id that is written as in the table is that one, whatever is in it. Rule: a suffix is served where what it asks for is
true here, and refused with a sentence where it is not.
"""

from typing import Final

import msgspec

from routing.plan.refusal import Refusal
from routing.table.config import MODEL_ID_CHARS_MAX, Config, Found, find

_SERVED: Final = frozenset(("nitro", "floor", "default"))
"""They choose among a model's providers. An id of this table names one, so it is that one."""
_WHY_NOT: Final = {
    "free": "costs nothing elsewhere, here it has its price: call {id}",
    "online": "searches the web, which has no price here: call {id}, or a model that searches by itself",
    "thinking": "is no model of its own here: call {id} and send 'reasoning_effort'",
    "exacto": "chooses providers by how well they call tools, which this proxy does not measure: call {id}",
    "extended": "has a longer window elsewhere, here it is not known: call {id}",
}
_UNKNOWN: Final = "is not in this proxy's table. Did you mean {id}?"


class ResolvedId(msgspec.Struct, frozen=True):
    """The id of the table; `refusal` when it cannot be served in the way that was asked for."""

    id: str
    refusal: Refusal | None = None
    sorts_by_price: bool = False
    sorts_by_speed: bool = False


class Ids:
    """The ids of one table, by their lower case."""

    def __init__(self, config: Config) -> None:
        self._config = config
        models = [model.id for provider in config.providers.values() for model in provider.models.values()]
        self._by_fold: dict[str, str] = {}
        for each in dict.fromkeys((*config.aliases, *config.routes, *models)):
            # Two that differ in nothing but their case are each called as they are written.
            self._by_fold[each.lower()] = "" if each.lower() in self._by_fold else each
        self._providers = {name.lower(): name for name in config.providers}

    def meant(self, model_id: str) -> ResolvedId:
        """What is meant by an id; the id itself when nothing better is known."""
        if not 0 < len(model_id) <= MODEL_ID_CHARS_MAX or self._is_known(model_id):
            return ResolvedId(model_id)
        written = self._written(model_id)
        if written is not None:
            return ResolvedId(written)
        base, colon, suffix = model_id.rpartition(":")
        known = self._written(base) if colon else None
        if known is None:
            return ResolvedId(model_id)
        suffix = suffix.lower()
        if suffix in _SERVED:
            return ResolvedId(known, sorts_by_price=suffix == "floor", sorts_by_speed=suffix == "nitro")
        if suffix == "free" and self._is_free(known):
            return ResolvedId(known)
        code = "unpriced_option" if suffix == "online" else "model_not_found"
        status = 400 if suffix == "online" else 404
        message = f"{model_id} {_WHY_NOT.get(suffix, _UNKNOWN).format(id=known)}"
        return ResolvedId(known, Refusal(status, code, message, param="model", metadata={"suggestions": [known]}))

    def _is_known(self, model_id: str) -> bool:
        return (
            model_id in self._config.routes or model_id in self._config.aliases or isinstance(find(self._config, model_id), Found)
        )

    def _written(self, model_id: str) -> str | None:
        """The id as the table writes it."""
        if self._is_known(model_id):
            return model_id
        listed = self._by_fold.get(model_id.lower())
        if listed:
            return listed
        name, slash, key = model_id.partition("/")
        provider = self._providers.get(name.lower())
        if slash and provider is not None and isinstance(find(self._config, f"{provider}/{key}"), Found):
            return f"{provider}/{key}"
        return None

    def _is_free(self, model_id: str) -> bool:
        for target in self._config.targets_of(model_id):
            found = find(self._config, target)
            if not isinstance(found, Found) or found.model.rates.input or found.model.rates.output or found.model.rates.request:
                return False
        return True
