"""`like = "openai"`: a provider that has the models, prices and quirks of another, unless it says otherwise.

Rule: what leads to a place or into somebody's account (address, key, headers, certificates), what that account allows
(`rate_limits`) and what was promised about data is each provider's own: a key never goes where its owner did not send it.
Strategy: the text's values are merged before anything is checked, so what is inherited is checked like what is written.
"""

from typing import Any, Final

from routing.table.field import TomlTable
from routing.table.problem import Wrong, nearest

OWN: Final = frozenset(
    (
        "base_url",
        "api_key",
        "api_keys",
        "extra_headers",
        "data",
        "rate_limits",
        "proxy",
        "transport",
        "http2",
        "ca_file",
        "verify",
    )
) | {"dialect", "like"}
"""What is never inherited."""
LIKES_MAX: Final = 32
_WHERE: Final = ("base_url", "extra_headers")
"""Of an endpoint, what is never inherited."""


def with_inherited(providers: TomlTable) -> dict[str, Any]:
    """The members of `providers`, each with what it takes over. What leads nowhere, or back, is blamed."""
    return {name: _merged(providers, name, ()) for name in providers.values}


def _merged(providers: TomlTable, name: str, via: tuple[str, ...]) -> Any:
    own = providers.values[name]
    like = own.get("like") if isinstance(own, dict) else None
    if like is None:
        return own
    rest = {key: value for key, value in own.items() if key != "like"}
    wrong = _why_not(providers, name, like, via)
    if wrong is not None:
        if not via or like in (*via, name) or len(via) >= LIKES_MAX:
            # A circle is a problem of whoever is led into it; what leads nowhere is one of where that is written.
            providers.blame(wrong, (*via, name)[0], "like")
        return rest
    model = _merged(providers, like, (*via, name))
    if not isinstance(model, dict):
        return rest
    inherited = {key: value for key, value in model.items() if key not in OWN}
    if isinstance(endpoints := inherited.get("endpoints"), dict):
        inherited["endpoints"] = {key: _placeless(value) for key, value in endpoints.items()}
    return _over(inherited, rest)


def _why_not(providers: TomlTable, name: str, like: Any, via: tuple[str, ...]) -> Wrong | None:
    if not isinstance(like, str) or like not in providers.values:
        guess = nearest(like, providers.values) if isinstance(like, str) else None
        hint = f'did you mean "{guess}"?' if guess else "the name of another provider of this file"
        return Wrong("is not a provider of this file", hint)
    if like == name or like in via:
        return Wrong(f"leads back to itself: {' -> '.join((*via, name, like))}", "let one of them say its models itself")
    if len(via) >= LIKES_MAX:
        return Wrong(f"leads through more than {LIKES_MAX} others", "name the one that says the models")
    return None


def _placeless(endpoint: Any) -> Any:
    if not isinstance(endpoint, dict):
        return endpoint
    return {key: value for key, value in endpoint.items() if key not in _WHERE}


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """What is said above counts; models, endpoints and a model's fields are merged member by member."""
    merged = dict(below)
    for key, value in above.items():
        lower = merged.get(key)
        is_nested = key in ("models", "endpoints")
        if is_nested and isinstance(value, dict) and isinstance(lower, dict):
            value = _each_over(lower, value)
        merged[key] = value
    return merged


def _each_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        lower = merged.get(key)
        merged[key] = lower | value if isinstance(lower, dict) and isinstance(value, dict) else value
    return merged
