"""The routing table: the text of providers.toml as one frozen value.

Rule: a table is either right or refused as a whole, with every problem named at once (`routing.problem.ConfigError`).
Rule: what is called must have a price. A model that is not listed has none, unless its provider says what unlisted ones cost.
Limits: nothing is read but the text; whether a key's reference leads anywhere is the caller's to find out.
"""

from typing import Final

import msgspec

from routing.provider import Model, Provider

MIB: Final = 1024 * 1024


class Limits(msgspec.Struct, frozen=True):
    """Bounds on what one caller, one provider and the whole process may take. What each means stands at the top of providers.toml."""

    body_bytes_max: int = 32 * MIB
    body_timeout_s: float = 15.0
    body_rate_min: int = 1024
    """Bytes per second at which a body may take longer than `body_timeout_s`."""
    header_count_max: int = 64
    reader_timeout_s: float = 30.0
    inflight_body_bytes_max: int = 256 * MIB
    keepalive_comment_s: float = 15.0
    response_bytes_max: int = 64 * MIB
    line_bytes_max: int = 16 * MIB


class Config(msgspec.Struct, frozen=True):
    """The routing table. `version` names the text it was read from; `aliases` lead straight to model ids, in fallback order."""

    version: str
    providers: dict[str, Provider]
    aliases: dict[str, tuple[str, ...]] = {}
    limits: Limits = Limits()


class Found(msgspec.Struct, frozen=True):
    provider: Provider
    model: Model
