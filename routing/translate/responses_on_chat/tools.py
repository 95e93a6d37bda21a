"""The tools of a Responses request → Chat's, and the way back for the calls.

Rule: a custom tool, whose input is text, becomes a function with one text in it; a namespace becomes its tools, their names
behind its own. `Tools.memo` tells what a call of them was. Tools that OpenAI runs itself are declined: the model may do without.
"""

from typing import Any, Final, NamedTuple

from msgspec import Raw

from routing.translate import tool_ids
from routing.translate.chat_tools import Choice
from routing.translate.reader import QUOTE, Object, Reader, encode, is_absent, kind_of

_FUNCTION: Final = frozenset(("type", "name", "description", "parameters", "strict"))
_CUSTOM: Final = frozenset(("type", "name", "description", "format"))
INPUT: Final = "input"
_SCHEMA: Final = Raw(
    b'{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}'
)


class Origin(NamedTuple):
    """What a function of ours is in the request."""

    name: str
    namespace: str = ""
    is_custom: bool = False


class Tools:
    """`memo`: name in Chat → what it was, of those that are not the same."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.memo: dict[str, Origin] = {}
        self._made: dict[str, dict[str, Any]] = {}

    def read(self, raw: Raw | None, path: str = "tools", namespace: str = "") -> None:
        reader = self._reader
        if raw is None or is_absent(raw):
            return
        for at, tool in enumerate(reader.objects(raw, path)):
            place = f"{path}[{at}]"
            match reader.text(tool.get("type"), f"{place}.type"):
                case "function":
                    self._function(tool, place, namespace)
                case "custom":
                    self._custom(tool, place, namespace)
                case "namespace" if not namespace:
                    reader.rest(tool, frozenset(("type", "name", "tools")), place)
                    self.read(tool.get("tools"), f"{place}.tools", reader.text(tool.get("name"), f"{place}.name"))
                case "namespace":
                    raise reader.unsupported(place, "a namespace within another is none that it knows")
                case _:
                    reader.decline(place)

    def name_of(self, name: str, namespace: str = "", *, is_custom: bool = False) -> str:
        """What a tool is called in Chat."""
        made = tool_ids.NAME(f"{namespace}__{name}" if namespace else name)
        if made != name or is_custom:
            self.memo[made] = Origin(name, namespace, is_custom)
        return made

    def _function(self, tool: Object, path: str, namespace: str) -> None:
        reader = self._reader
        reader.rest(tool, _FUNCTION, path.partition("[")[0] + "[]")
        name = self.name_of(reader.text(tool.get("name"), f"{path}.name"), namespace)
        function: dict[str, Any] = {"name": name}
        function |= {
            member: tool[member] for member in ("description", "parameters", "strict") if not is_absent(tool.get(member))
        }
        self._made[name] = {"type": "function", "function": function}

    def _custom(self, tool: Object, path: str, namespace: str) -> None:
        reader = self._reader
        reader.rest(tool, _CUSTOM, path)
        name = self.name_of(reader.text(tool.get("name"), f"{path}.name"), namespace, is_custom=True)
        words = [reader.text(tool.get("description"), f"{path}.description")]
        if not is_absent(tool.get("format")):
            form = reader.object(tool["format"], f"{path}.format")
            if grammar := reader.text(form.get("definition"), f"{path}.format.definition"):
                syntax = reader.text(form.get("syntax"), f"{path}.format.syntax")
                words.append(f"The text in '{INPUT}' must match this {syntax} grammar:\n{grammar}")
        description = "\n\n".join(filter(None, words))
        self._made[name] = {"type": "function", "function": {"name": name, "description": description, "parameters": _SCHEMA}}

    def members(self, choice: Raw | None) -> dict[str, Raw]:
        """`tools` and `tool_choice` of the Chat request. Invalid."""
        chosen = self._choice(choice)
        tools = [tool for name, tool in self._made.items() if chosen.allows(name)]
        if not tools:
            if chosen.mode in ("required", "function"):
                raise self._reader.unsupported("tool_choice", "none of the tools that it could choose is known there")
            return {}
        said: Any = {"type": "function", "function": {"name": chosen.name}} if chosen.mode == "function" else chosen.mode
        return {"tools": Raw(encode(tools))} | ({"tool_choice": Raw(encode(said))} if said else {})

    def _choice(self, raw: Raw | None) -> Choice:
        reader, path = self._reader, "tool_choice"
        if raw is None or is_absent(raw):
            return Choice()
        if kind_of(raw) == QUOTE:
            mode = reader.text(raw, path)
            if mode not in ("none", "auto", "required"):
                raise reader.wrong(path, "'none', 'auto', 'required' or an object that names a tool")
            return Choice(mode)
        asked = reader.object(raw, path)
        reader.rest(asked, frozenset(("type", "name", "namespace", "mode", "tools")), path)
        match reader.text(asked.get("type"), f"{path}.type"):
            case "function" | "custom":
                return Choice("function", self._known(asked, f"{path}.name"))
            case "allowed_tools":
                tools = reader.objects(asked.get("tools", Raw(b"[]")), f"{path}.tools")
                names = [self._known(tool, f"{path}.tools") for tool in tools if "name" in tool]
                return Choice(reader.text(asked.get("mode"), f"{path}.mode") or "auto", "", frozenset(names))
            case kind:
                raise reader.unsupported(path, f"it has no tool of type '{kind[:40]}'")

    def _known(self, holder: Object, path: str) -> str:
        name = self._reader.text(holder.get("name"), path)
        namespace = self._reader.text(holder.get("namespace"), path)
        return tool_ids.NAME(f"{namespace}__{name}" if namespace else name)
