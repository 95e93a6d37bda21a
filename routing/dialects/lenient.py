"""Reads of a JSON object what can be read, when some of its members are not of the type that was agreed.

Rule: a bad member voids itself and not its neighbours. Limits: the slow way, for what the typed decoder refused.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from routing.wire.members import REFUSED, decode_members

Inner = Mapping[str, Callable[[Raw], Any]]
"""Field → how to read what it holds when the field as a whole is not as agreed."""


def salvage(text: bytes | Raw, kind: type[msgspec.Struct], inner: Inner) -> Any:
    """A `kind` whose bad members have their defaults; one of `splice.REFUSED` when `text` is no JSON object."""
    members = decode_members(text)
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        raw = members.get(field.encode_name)
        if raw is None:
            continue
        try:
            found[field.name] = msgspec.json.decode(raw, type=field.type)
        except REFUSED:
            read = inner.get(field.name)
            if read is None:
                continue
            try:
                found[field.name] = read(raw)
            except REFUSED:
                continue
    return kind(**found)
