"""Where a key is to be had: `env:NAME`, `file:PATH` or `none`.

Rule: what was written is never repeated, for it may be the key itself; a name is, where it has the shape of a variable's and of
nothing else.
"""

import re
from typing import Any, Final

from routing.table.problem import Wrong

_SHELL_NAME: Final = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?\Z", re.ASCII)
_ENVIRONMENT_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]{1,16}){0,64}_(?:KEY|TOKEN|SECRET)(?:_[A-Z0-9]{1,8})?\Z")
"""What nobody would take for a key: several words, one of which says what it is."""
_SCHEME: Final = re.compile(r"\s*[\"']?\s*(\w{2,11})\s*[:=.]\s*[\"']?\$?\{?(.*?)\}?[\"']?\s*\Z", re.DOTALL)
_SCHEMES: Final = {
    "env": "env",
    "environ": "env",
    "environment": "env",
    "evn": "env",
    "nev": "env",
    "envvar": "env",
    "var": "env",
} | {
    "file": "file",
    "flie": "file",
    "fiel": "file",
    "path": "file",
}
_KEY: Final = re.compile(
    r"(?:(?:sk|pk|rk|gsk|csk|xai|pplx|nvapi|hf|fw|tgp|ghp|r8)[-_]|AIza)[A-Za-z0-9_-]*?"
    r"(?=[A-Za-z]*[0-9])(?=[A-Z0-9]*[a-z])[A-Za-z0-9]{16,}[A-Za-z0-9_-]*\Z"
)
"""What looks like a key and like no name: a vendor's mark, and many letters and digits in one piece."""
_PATH: Final = re.compile(r"[~.]{0,2}/[\w./-]+\Z", re.ASCII)
_SUCH: Final = 'such as "env:OPENAI_API_KEY" or "file:/run/secrets/openai"'


def key_ref(value: Any) -> str:
    """`env:NAME` or `file:PATH`."""
    if not isinstance(value, str):
        raise Wrong(
            "is not a reference, and a key itself does not belong in this file", 'write "env:NAME", "file:PATH" or "none"'
        )
    scheme, _, rest = value.partition(":")
    if scheme in ("env", "file") and _KEY.match(rest):
        raise Wrong(
            f"looks like a key itself behind {scheme}:, and none belongs in this file",
            'put the key into a variable or a file, and write the name of that: "env:NAME" or "file:PATH"',
        )
    if scheme == "file" and rest.startswith("~"):
        raise Wrong("begins with ~, which only a shell knows", "write the whole path, from / on")
    if (scheme == "env" and _ENVIRONMENT_NAME.match(rest)) or (scheme == "file" and rest and rest.isprintable()):
        return value
    raise _wrong(value, scheme, rest)


def _wrong(value: str, scheme: str, rest: str) -> Wrong:
    if scheme in ("env", "file") and rest != rest.strip():
        return Wrong(f"has a space at an end of its {scheme}: reference", "take it away")
    if value.strip() != value and value.strip().startswith(("env:", "file:")):
        return Wrong("has a space before its reference", "take it away")
    if found := _SHELL_NAME.match(value):
        return Wrong("is a shell's way to name a variable, which means nothing here", f'write "env:{found[1]}"')
    hint = _meant(value)
    if scheme in ("env", "file"):
        return Wrong(f"is no usable {scheme}: reference", hint or _SUCH)
    if value.strip().lower() in ("", "none", "null", "no", "-"):
        return Wrong("is no reference", 'write "none" if it needs no key, else "env:NAME" or "file:PATH"')
    return Wrong(
        "is not a reference, and a key itself does not belong in this file", hint or 'write "env:NAME", "file:PATH" or "none"'
    )


def _meant(value: str) -> str:
    """What to write instead, of what cannot be a key."""
    name, kind = value.strip(), "env"
    if found := _SCHEME.match(value):
        kind, name = _SCHEMES.get(found[1].lower(), ""), found[2]
    variable = name.upper().replace("-", "_")
    if kind == "env" and _VARIABLE.match(variable):
        return f'did you mean "env:{variable if name.isupper() else name.replace("-", "_")}"?'
    if _PATH.match(name) and not name.startswith("~") and (kind == "file" or name == value.strip()):
        return f'did you mean "file:{name}"?'
    return ""
