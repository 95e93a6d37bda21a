"""providers.toml: there, readable, right, and with the secrets that it names."""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge.doctor.finding import Finding, fail, ok, warn
from edge.doctor.variables import look_at_quotes
from edge.providers.secrets import resolve
from edge.settings import Settings
from routing.table.config import Config, ConfigError, parse
from routing.table.provider import ECHO
from routing.views.advice import advise

NAMED_MAX = 5
REMEDY = "`tollway check` explains it line by line"


def look_at_table(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    path, subject = settings.providers, f"table {settings.providers}"
    try:
        text = path.read_text(encoding="utf-8")
        config = parse(text)
    except FileNotFoundError:
        yield fail(subject, "does not exist", "copy providers.toml there, or TOLLWAY_PROVIDERS says where it is")
        return
    except (OSError, UnicodeDecodeError) as error:
        yield fail(subject, f"cannot be read: {error}", "it is a text in UTF-8 that this user may read")
        return
    except ConfigError as error:
        first, *others = str(error).splitlines()
        yield fail(subject, first + (f" (and {len(others)} more lines)" if others else ""), REMEDY)
        return
    dangers = [one for one in advise(config, text) if one.level == "danger"]
    if dangers:
        more = f" (and {len(dangers) - 1} more)" if len(dangers) > 1 else ""
        yield warn(subject, f"line {dangers[0].line}, {dangers[0].path}: {dangers[0].message}{more}", dangers[0].hint)
    yield from _secrets(config, subject, environ)


def _secrets(config: Config, subject: str, environ: Mapping[str, str]) -> Iterator[Finding]:
    asked = {name: one for name, one in config.providers.items() if name != ECHO}
    references = frozenset(reference for one in asked.values() for reference in one.key_refs)
    found = resolve(references, environ)
    offered = [name for name, one in asked.items() if not one.key_refs or any(ref in found for ref in one.key_refs)]
    if not offered:
        said = "no provider is offered but the built-in echo" if asked else "names no provider but the built-in echo"
        remedy = "set the keys of those that are meant, such as OPENAI_API_KEY=…" if asked else "add one: README.md shows how"
        yield warn(subject, said, remedy)
    else:
        yield ok(subject, f"right; {len(offered)} of {len(asked)} providers are offered: {_some(offered)}")
    yield from look_at_quotes(environ, frozenset(one.removeprefix("env:") for one in references))
    for reference in sorted(references):
        kind, _, place = reference.partition(":")
        if kind == "file":
            yield from _file(place, is_found=reference in found)
    for name in sorted(offered):
        missing = [ref for ref in asked[name].key_refs if ref not in found]
        if missing:
            said = f"{len(missing)} of its {len(asked[name].key_refs)} keys are not there: {_some(missing)}"
            yield warn(f"provider {name}", said, "set them, or take them out of api_keys")


def _file(place: str, *, is_found: bool) -> Iterator[Finding]:
    path = Path(place)
    if not is_found:
        try:
            said = "is empty" if not path.read_bytes().strip() else "holds no text in ASCII"
        except OSError as error:
            said = f"cannot be read: {error.strerror}"
        yield fail(f"key file {place}", said, f"mount the secret there for user {os.geteuid()}, or correct the path")
    elif stat.S_IMODE(path.stat().st_mode) & 0o007:
        yield warn(f"key file {place}", "everybody on this machine may read it", f"chmod o= {place}")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return ", ".join(names[:NAMED_MAX]) + more
