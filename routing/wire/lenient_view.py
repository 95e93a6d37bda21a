"""Foreign JSON as a struct of ours, whatever is wrong with a member of it.

Rule: what the strict decoder refuses (half of a surrogate pair, a member of another type than agreed, NaN, a number that is too
large) is read once more: a bad member voids itself and not its neighbours, and a text keeps the escapes that it came with.
Limits: the slow way; raw values are written anew there.
"""

import json
import math
from typing import Any, Final, TypeVar, cast, get_args, get_origin

import msgspec
from msgspec import Raw

from routing.wire.members import REFUSED
from routing.wire.repair import sound

ABSENT: Final = Raw(b"")
T = TypeVar("T", bound=msgspec.Struct)


def view(payload: bytes, kind: type[T], decode: Any) -> T | None:
    """The `kind` that a payload is, None when it is no JSON object. `decode` is the decoder of `kind`."""
    try:
        found: T = decode(payload)
    except REFUSED:
        value = loaded(payload)
        if value is None:
            # An escape that JSON does not know.
            try:
                value = loaded(sound(payload))
            except REFUSED:
                return None
        return cast(T, _built(value, kind)) if isinstance(value, dict) else None
    return found


def loaded(payload: bytes) -> Any:
    """A JSON document, read leniently; None when there is none."""
    try:
        return json.loads(payload.decode("utf-8", "replace"), strict=False, parse_constant=lambda _: None, parse_float=_finite)
    except (ValueError, RecursionError):
        return None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def dumped(value: Any) -> bytes:
    """In ASCII: half of a surrogate pair stays an escape."""
    try:
        return json.dumps(value, separators=(",", ":")).encode("ascii")
    except (ValueError, RecursionError):
        return b"null"


def _built(value: dict[str, Any], kind: Any) -> Any:
    found = {}
    for field in msgspec.structs.fields(kind):
        if field.encode_name in value:
            read = _fitting(value[field.encode_name], field.type)
            if read is not ABSENT:
                found[field.name] = read
    try:
        return kind(**found)
    except TypeError:
        return None


def _fitting(value: Any, kind: Any) -> Any:
    """The value as a field of that type; ABSENT when it is none."""
    for each in get_args(kind) if get_origin(kind) not in (list, dict) and get_args(kind) else (kind,):
        if each is Any:
            return value
        if each is Raw:
            return Raw(dumped(value))
        if each is type(None):
            if value is None:
                return None
        elif get_origin(each) is dict:
            if isinstance(value, dict):
                return value
        elif get_origin(each) is list:
            if isinstance(value, list):
                items = [_fitting(item, get_args(each)[0]) for item in value]
                return [item for item in items if item is not ABSENT and item is not None]
        elif isinstance(each, type) and issubclass(each, msgspec.Struct):
            if isinstance(value, dict):
                return _built(value, each)
        elif isinstance(value, each) and not (each is int and isinstance(value, bool)):
            return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
    return ABSENT
