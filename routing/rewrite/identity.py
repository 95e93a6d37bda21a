"""The names that an answer carries: ours instead of the provider's, whatever its format."""

from typing import Final

import msgspec
from msgspec import Raw

from usage.flavor import Flavor

_encode: Final = msgspec.json.encode


class Identity:
    """The names an answer carries: ours instead of the provider's, as JSON texts; and the API it is an answer of."""

    __slots__ = ("created_s", "flavor", "gen_id", "id_json", "model", "model_json", "provider")

    def __init__(self, gen_id: str, model: str, flavor: Flavor, provider: str, created_s: int = 0) -> None:
        self.created_s = created_s
        self.flavor = flavor
        self.provider = provider
        self.gen_id = gen_id
        self.model = model
        self.id_json = Raw(f'"{gen_id}"')
        self.model_json = Raw(_encode(model))

    @property
    def provider_json(self) -> Raw:
        """Read of one answer only, and of few."""
        return Raw(_encode(self.provider))
