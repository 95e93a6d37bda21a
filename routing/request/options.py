"""What a request asks for beside a plain answer that costs more, or that is kept at the provider.

Rule: each of these is either priced by the target's entry in the table, or refused; see `routing.plan.fit`. Nothing passes
unpriced.
Rule: what no entry can price, and what refers to another router's affairs, is refused here, for every target alike.
"""

import re
from collections.abc import Set
from typing import Any, Final

import msgspec
from msgspec import Raw

from routing.request.invalid import Invalid
from routing.request.names import CAPS, COUNTS, STATE, check_name
from routing.request.parameters import OURS
from routing.request.prompt import read_prompt
from routing.table.tariff import PLAIN_TIERS
from routing.wire.members import Members
from routing.wire.objects import decode_objects, repeats_in_list, repeats_within

_decode = msgspec.json.Decoder().decode
TOOLS_MAX = 1_024
OPTION_BYTES_MAX = 65_536
_find_search = re.compile(r"(?:web|browser|google|x)_search").match
_FUNCTION_NAMES: Final = frozenset(("type", "function"))
_TOOL_NAMES: Final = frozenset(("type", "function", "custom", "name", "description", "parameters", "strict"))
_FUNCTIONS: Final = frozenset(("function", "custom"))
_FREE_PLUGINS: Final = frozenset(("response-healing", "context-compression"))
_VARIANTS: Final = ("service_tier", "speed", "inference_geo")
_UNPRICED: Final = "unpriced_option"


class Options(msgspec.Struct):
    """What was found. `state` and the others that are text or None are the path of the member that asks for it.

    `tier`: the service tier asked for, "" for the plain one. `searches_max`: how often the request lets the web be searched, None
    when it does not say. `extra_completion`: tokens that may be billed beside the output cap. `cache_lives`: ttl of cache marks.
    """

    tier: str = ""
    tier_param: str = "service_tier"
    state: str | None = None
    search: str | None = None
    searches_max: int | None = None
    audio_output: str | None = None
    image_output: str | None = None
    cache_lives: frozenset[str] = frozenset()
    extra_completion: int = 0
    ignored: tuple[str, ...] = ()


def _value(name: str, raw: bytes | Raw) -> Any:
    text = bytes(raw)
    if len(text) > OPTION_BYTES_MAX:
        raise Invalid(f"'{name}' must not have more than {OPTION_BYTES_MAX} bytes", name)
    try:
        value = _decode(text)
        if text.startswith((b"{", b"[")) and repeats_within(text, value):
            raise Invalid(f"'{name}' has the same member twice: send it once", name, "ambiguous_member")
    except (msgspec.DecodeError, RecursionError, ValueError) as problem:
        raise Invalid(f"'{name}' cannot be read: {problem}", name) from None
    return value


def read_options(members: Members, names: Set[str]) -> Options:
    """The options among `names`, which are those of the members that are not ordinary. Invalid."""
    options = Options()
    for name in names:
        raw = bytes(members[name])
        if raw == b"null" or name in OURS:
            continue
        reader = _READERS.get(name)
        if reader is not None:
            reader(options, name, raw)
        elif name in STATE:
            if name != "prompt" or raw.startswith(b"{"):
                options.state = options.state or name
        elif name in CAPS:
            raise Invalid(f"write 'max_tokens' instead of '{name}'", name, "unsupported_parameter")
        elif name in COUNTS:
            if raw != b"1":
                raise Invalid(f"write 'n' instead of '{name}'", name, "unsupported_parameter")
        else:
            check_name(name)
            if raw.startswith((b"{", b"[")):
                _look_into(options, name, raw)
    return options


def _look_into(options: Options, name: str, raw: bytes) -> None:
    """State and caches in a member that nobody here knows, such as Google's `extra_body`."""
    seen = read_prompt(raw, name)
    options.state = options.state or seen.state
    options.cache_lives |= seen.cache_lives


def _variant(options: Options, name: str, raw: bytes) -> None:
    value = _value(name, raw)
    if not isinstance(value, str):
        raise Invalid(f"'{name}' must be a string such as 'default'", name)
    if value in PLAIN_TIERS:
        return
    if options.tier:
        raise Invalid(f"'{name}' and '{options.tier_param}' together have no price: send one of the two", name, _UNPRICED)
    options.tier, options.tier_param = value, name


def _store(options: Options, name: str, raw: bytes) -> None:
    value = _value(name, raw)
    if not isinstance(value, bool):
        raise Invalid("'store' must be true or false", name)
    if value:
        options.state = options.state or name


def _background(options: Options, name: str, raw: bytes) -> None:
    if raw != b"false":
        options.state = options.state or name


def _search(options: Options, name: str, raw: bytes) -> None:
    value = _value(name, raw)
    if value is False or (isinstance(value, dict) and value.get("mode") == "off"):
        return
    options.search = options.search or name
    most = value.get("max_search_results") if isinstance(value, dict) else None
    if isinstance(most, int) and not isinstance(most, bool) and most > 0:
        options.searches_max = max(options.searches_max or 0, most)


def _plugins(options: Options, name: str, raw: bytes) -> None:
    value = _value(name, raw)
    if not isinstance(value, list):
        raise Invalid("'plugins' must be a list", name)
    ignored = []
    for index, each in enumerate(value):
        plugin = each.get("id") if isinstance(each, dict) else None
        if isinstance(each, dict) and each.get("enabled") is False:
            continue
        if not isinstance(plugin, str) or plugin not in _FREE_PLUGINS:
            raise Invalid(
                f"the plugin {str(plugin)[:64]!r} has no price here: leave it out, or call a model that searches by itself",
                f"plugins[{index}]",
                _UNPRICED,
            )
        ignored.append(f"plugins[{index}]")
    options.ignored += tuple(ignored[:16])


def _tools(options: Options, name: str, raw: bytes) -> None:
    try:
        tools = decode_objects(raw)
    except (msgspec.DecodeError, RecursionError):
        raise Invalid(f"'{name}' must be a list of tools", name) from None
    if len(tools) > TOOLS_MAX:
        raise Invalid(f"'{name}' must not have more than {TOOLS_MAX} tools", name)
    if repeats_in_list(raw, tools):
        raise Invalid(f"'{name}' has a tool with the same member twice: send it once", name, "ambiguous_member")
    for index, members in enumerate(tools):
        if members.keys() != _FUNCTION_NAMES or bytes(members["type"]) != b'"function"':
            _tool(options, f"{name}[{index}]", members)


def _tool(options: Options, path: str, members: Members) -> None:
    for member in members:
        if member not in _TOOL_NAMES:
            check_name(member, in_prompt=path)
    mark = members.get("cache_control")
    if mark is not None:
        options.cache_lives |= read_prompt(b'{"cache_control":%b}' % bytes(mark), path).cache_lives
    kind = members.get("type")
    if kind is None and "function" in members:
        return
    shown = "" if kind is None else _value(path, kind)
    is_text = isinstance(shown, str)
    if not (is_text and shown in _FUNCTIONS):
        if is_text and _find_search(shown):
            options.search = options.search or path
            return
        raise Invalid(
            f"'{path}' is no function but {str(shown)[:64]!r}, which runs at the provider and has no price here",
            path,
            _UNPRICED,
        )


def _prediction(options: Options, name: str, raw: bytes) -> None:
    # What was predicted and did not come true is billed as output: each token of it is at least a byte.
    options.extra_completion += len(raw)


def _modalities(options: Options, name: str, raw: bytes) -> None:
    value = _value(name, raw)
    if not isinstance(value, list):
        raise Invalid("'modalities' must be a list such as ['text']", name)
    for each in value:
        if each == "audio":
            options.audio_output = options.audio_output or name
        elif each == "image":
            options.image_output = options.image_output or name
        elif each != "text":
            raise Invalid(f"'modalities' must be of 'text', 'audio' and 'image', not {str(each)[:64]!r}", name)


def _audio(options: Options, name: str, raw: bytes) -> None:
    options.audio_output = options.audio_output or name
    _look_into(options, name, raw)


def _cache_control(options: Options, name: str, raw: bytes) -> None:
    options.cache_lives |= read_prompt(b'{"cache_control":%b}' % raw, name).cache_lives


def _cache_options(options: Options, name: str, raw: bytes) -> None:
    value = _value(name, raw)
    life = value.get("ttl") if isinstance(value, dict) else None
    if life is not None:
        options.cache_lives |= {str(life)[:16]}


def _budget(options: Options, name: str, raw: bytes) -> None:
    """Tokens to think with, which some providers bill beside the output cap."""
    value = _value(name, raw)
    if isinstance(value, dict):
        value = next((value[each] for each in ("budget_tokens", "max_tokens", "thinking_budget") if each in value), None)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        options.extra_completion += min(value, 2**40)


def _elsewhere(options: Options, name: str, raw: bytes) -> None:
    raise Invalid(f"'{name}' is not known here: send 'models' with the ids to fall back to", name, "unsupported_parameter")


_READERS: Final = (
    dict.fromkeys(_VARIANTS, _variant)
    | dict.fromkeys(("web_search_options", "search_parameters", "enable_search"), _search)
    | dict.fromkeys(("tools",), _tools)
    | dict.fromkeys(("thinking", "thinking_budget", "max_reasoning_tokens"), _budget)
    | dict.fromkeys(("fallbacks", "preset"), _elsewhere)
    | {
        "store": _store,
        "background": _background,
        "plugins": _plugins,
        "prediction": _prediction,
        "modalities": _modalities,
        "audio": _audio,
        "cache_control": _cache_control,
        "prompt_cache_options": _cache_options,
    }
)
