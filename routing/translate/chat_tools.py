"""Chat's tools and the choice between them, as every pair that has Chat on one side reads them."""

from typing import Final, NamedTuple

from msgspec import Raw

from routing.translate.reader import QUOTE, Object, Reader, kind_of
from routing.wire.members import REFUSED, decode_members


class Choice(NamedTuple):
    """`mode`: "", "none", "auto", "required" or "function" (then `name` is which). `allowed`: None where all are."""

    mode: str = ""
    name: str = ""
    allowed: frozenset[str] | None = None

    def allows(self, name: str) -> bool:
        return self.allowed is None or name in self.allowed


def choice_of(raw: Raw | None, reader: Reader) -> Choice:
    """Of `tool_choice`. Invalid."""
    path = "tool_choice"
    if raw is None or bytes(raw) == b"null":
        return Choice()
    if kind_of(raw) == QUOTE:
        mode = reader.text(raw, path)
        if mode not in ("none", "auto", "required"):
            raise reader.wrong(path, "'none', 'auto', 'required' or an object that names a function")
        return Choice(mode)
    asked = reader.object(raw, path)
    match reader.text(asked.get("type"), f"{path}.type"):
        case "function":
            reader.rest(asked, frozenset(("type", "function")), path)
            return Choice("function", _name(asked, path, reader))
        case "allowed_tools":
            reader.rest(asked, frozenset(("type", "allowed_tools")), path)
            inner = reader.object(asked.get("allowed_tools", Raw(b"{}")), f"{path}.allowed_tools")
            reader.rest(inner, frozenset(("mode", "tools")), f"{path}.allowed_tools")
            tools = reader.objects(inner.get("tools", Raw(b"[]")), f"{path}.allowed_tools.tools")
            names = frozenset([_name(tool, f"{path}.allowed_tools.tools", reader) for tool in tools])
            return Choice(reader.text(inner.get("mode"), f"{path}.allowed_tools.mode") or "auto", "", names)
        case kind:
            raise reader.unsupported(path, f"a choice of type '{kind[:40]}' is none that it knows")


def _name(holder: Object, path: str, reader: Reader) -> str:
    function = reader.object(holder.get("function", Raw(b"{}")), f"{path}.function")
    reader.rest(function, frozenset(("name",)), f"{path}.function")
    name = reader.text(function.get("name"), f"{path}.function.name")
    if not name:
        raise reader.wrong(f"{path}.function.name", "the name of a tool")
    return name


def function_of(tool: Object, path: str, reader: Reader) -> Object | None:
    """The function that a tool is; None, and reported, for one that the provider of the request would have run itself."""
    match reader.text(tool.get("type"), f"{path}.type"):
        case "function":
            return reader.object(tool.get("function", Raw(b"{}")), f"{path}.function")
        case "custom":
            raise reader.unsupported(path, "a custom tool's input is no JSON; send a function instead")
        case _:
            reader.decline(path)
            return None


class Form(NamedTuple):
    """The form that an answer is asked for in: `kind` is "text", "json_object", "json_schema" or another word; `schema` are the
    members of the last."""

    kind: str
    schema: Object


def form_of(raw: Raw, reader: Reader, known: frozenset[str] = frozenset()) -> Form:
    """Of `response_format`. `known`: which of a schema's `description` and `strict` the format has a place for; a name is but a
    label, and strict is what is asked of everybody. Invalid."""
    path = "response_format"
    asked = reader.object(raw, path)
    reader.rest(asked, frozenset(("type", "json_schema")), path)
    kind = reader.text(asked.get("type"), f"{path}.type")
    if kind != "json_schema":
        return Form(kind, {})
    schema = reader.object(asked.get("json_schema", Raw(b"{}")), f"{path}.json_schema")
    reader.rest(schema, _SCHEMA | known, f"{path}.json_schema")
    if "schema" not in schema:
        raise reader.wrong(f"{path}.json_schema.schema", "a JSON schema")
    return Form(kind, schema)


_SCHEMA: Final = frozenset(("name", "schema", "strict"))


def arguments_of(raw: Raw | None, path: str, reader: Reader) -> bytes:
    """The object that the arguments of a call are: a JSON text in a string. Invalid."""
    text = reader.text(raw, path).strip()
    if not text:
        return b"{}"
    try:
        decode_members(text)
    except REFUSED:
        raise reader.wrong(path, "a string with a JSON object in it") from None
    return text.encode()
