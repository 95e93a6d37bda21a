"""Completion for bash, zsh and fish: a table of words, made from the parser of the commands as they are installed.

Rule: what is completed is what is parsed; nothing is listed twice by hand. What has names of its own in the books (accounts,
keys, nodes) is asked for with `tollway names`, so it is of the books that the command would work on, here or at a collector.
Strategy: zsh runs bash's function by bashcompinit, so it keeps to what both read alike: arrays from an offset, never by an
index, no name that zsh has taken (path, words), and no word that is to be split.
"""

import argparse
from collections.abc import Iterator
from typing import Final, NamedTuple

KINDS: Final = {"account": "account", "id": "key", "key": "key", "node": "node", "group": "group", "sink": "sink"}
"""What an argument is called → the kind of its names."""

_BASH = """# tollway: source this, or put it into /etc/bash_completion.d
_tollway() {
  local said="" each before choices="" kind="" url="" line="$COMP_LINE" at="$((COMP_CWORD - 1))"
  for each in "${COMP_WORDS[@]:1:$at}"; do
    case "$each" in -*) ;; *) case "$said $each" in %(paths)s) said="$said $each" ;; esac ;; esac
  done
  before="${COMP_WORDS[@]:$at:1}"
  if [ "$before" = "=" ]; then before="${COMP_WORDS[@]:$((at - 1)):1}"; fi
  case "$said $before" in
%(values)s
    *) case "$said" in
%(cases)s
    esac ;;
  esac
  if [ -n "$kind" ]; then
    case "$line" in *--collector*) url="${line#*--collector}"; url="${url#[= ]}"; url="${url%%%% *}" ;; esac
    choices="$choices $(command tollway ${url:+"--collector=$url"} names "$kind" 2>/dev/null)"
  fi
  COMPREPLY=($(compgen -W "$choices" -- "${COMP_WORDS[@]:$COMP_CWORD:1}"))
}
complete -o default -F _tollway tollway
"""
_ZSH = """#compdef tollway
# tollway: put this into a folder of $fpath as _tollway, or source it after compinit
autoload -U +X bashcompinit && bashcompinit
"""
_FISH = """# tollway: put this into ~/.config/fish/completions/tollway.fish
function __tollway_names
  set -l given (string match -r -- '--collector[= ](\\\\S+)' (commandline -p))
  set -q given[2]; and set -l where "--collector=$given[2]"
  command tollway $where names $argv[1] 2>/dev/null
end
"""


class Following(NamedTuple):
    """What may follow: `words`, and names of a `kind`."""

    words: list[str]
    kind: str = ""


def following(action: argparse.Action, path: str) -> Following:
    """What may be said for an argument of the command `path`."""
    if action.choices:
        return Following([str(choice) for choice in action.choices])
    is_new = path.endswith(" create") and not action.option_strings
    kind = "" if is_new else KINDS.get(action.dest, "")
    return Following([], "operator" if kind == "key" and path.startswith(" operators") else kind)


def commands_of(parser: argparse.ArgumentParser, path: str = "") -> Iterator[tuple[str, Following, dict[str, Following]]]:
    """(the commands so far, each after a space; what may follow; option → what may follow that), for every command there is."""
    words: list[str] = []
    kind = ""
    values: dict[str, Following] = {}
    deeper: list[tuple[str, argparse.ArgumentParser]] = []
    for action in parser._actions:
        names = [option for option in action.option_strings if option.startswith("--")]
        words += names
        if isinstance(action, argparse._SubParsersAction):
            words += list(action.choices)
            deeper += list(action.choices.items())
        elif not action.option_strings:
            own = following(action, path)
            words += own.words
            kind = kind or own.kind
        elif action.nargs != 0:
            values |= dict.fromkeys(names, following(action, path))
    yield path, Following(words, kind), values
    for name, child in deeper:
        yield from commands_of(child, f"{path} {name}")


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    """The completion of one shell, to be sourced."""
    found = list(commands_of(parser))
    if shell == "fish":
        return _FISH + "".join(f"{line}\n" for line in _fish(found))
    cases = "\n".join(f'      "{path}") {_given(after)} ;;' for path, after, _ in found)
    values = "\n".join(
        f'    "{path} {option}") {_given(after)} ;;' for path, _, values in found for option, after in values.items()
    )
    paths = "|".join(f'"{path}"' for path, _, _ in found if path)
    bash = _BASH % {"paths": paths, "cases": cases, "values": values}
    return bash if shell == "bash" else _ZSH + bash


def _given(after: Following) -> str:
    return f'choices="{" ".join(after.words)}"' + (f' kind="{after.kind}"' if after.kind else "")


def _fish(found: list[tuple[str, Following, dict[str, Following]]]) -> Iterator[str]:
    paths = [path for path, _, _ in found]
    for path, after, values in found:
        seen = path.split()
        deeper = [known.split()[-1] for known in paths if known.startswith(f"{path} ") and len(known.split()) == len(seen) + 1]
        condition = "__fish_use_subcommand" if not seen else "; and ".join(f"__fish_seen_subcommand_from {name}" for name in seen)
        if seen and deeper:
            condition += f"; and not __fish_seen_subcommand_from {' '.join(deeper)}"
        if said := _fish_words(Following([word for word in after.words if not word.startswith("-")], after.kind)):
            yield f"complete -c tollway -f -n '{condition}' -a '{said}'"
        for word in after.words:
            if word.startswith("--"):
                value = values.get(word)
                given = "" if value is None else f" -x -a '{said}'" if (said := _fish_words(value)) else " -r"
                yield f"complete -c tollway -n '{condition}' -l {word[2:]}{given}"


def _fish_words(after: Following) -> str:
    return " ".join([*after.words, *([f"(__tollway_names {after.kind})"] if after.kind else [])])
