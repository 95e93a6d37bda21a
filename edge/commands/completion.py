"""Completion for bash, zsh and fish: a table of words, made from the parser of the commands as they are installed.

Rule: what is completed is what is parsed; nothing is listed twice by hand. Strategy: zsh runs bash's function by bashcompinit, so
it keeps to what both read alike: arrays from an offset, never by an index, and no name that zsh has taken (path, words).
"""

import argparse
from collections.abc import Iterator

_BASH = """# tollway: source this, or put it into /etc/bash_completion.d
_tollway() {
  local said="" each choices
  for each in "${COMP_WORDS[@]:1:$((COMP_CWORD - 1))}"; do
    case "$each" in -*) ;; *) case "$said $each" in %(paths)s) said="$said $each" ;; esac ;; esac
  done
  case "$said" in
%(cases)s
    *) choices="" ;;
  esac
  COMPREPLY=($(compgen -W "$choices" -- "${COMP_WORDS[@]:$COMP_CWORD:1}"))
}
complete -o default -F _tollway tollway
"""
_ZSH = """#compdef tollway
# tollway: put this into a folder of $fpath as _tollway, or source it after compinit
autoload -U +X bashcompinit && bashcompinit
"""


def words_by_path(parser: argparse.ArgumentParser, path: str = "") -> Iterator[tuple[str, list[str]]]:
    """(the commands so far, each after a space; what may follow), for every command there is."""
    words: list[str] = []
    deeper: list[tuple[str, argparse.ArgumentParser]] = []
    for action in parser._actions:
        words += [option for option in action.option_strings if option.startswith("--")]
        if isinstance(action, argparse._SubParsersAction):
            words += list(action.choices)
            deeper += list(action.choices.items())
        elif action.choices and not action.option_strings:
            words += [str(choice) for choice in action.choices]
    yield path, words
    for name, child in deeper:
        yield from words_by_path(child, f"{path} {name}")


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    """The completion of one shell, to be sourced."""
    table = dict(words_by_path(parser))
    if shell == "fish":
        return "".join(f"{line}\n" for line in _fish(table))
    cases = "\n".join(f'    "{path}") choices="{" ".join(words)}" ;;' for path, words in table.items())
    paths = "|".join(f'"{path}"' for path in table if path)
    bash = _BASH % {"paths": paths, "cases": cases}
    return bash if shell == "bash" else _ZSH + bash


def _fish(table: dict[str, list[str]]) -> Iterator[str]:
    yield "# tollway: put this into ~/.config/fish/completions/tollway.fish"
    for path, words in table.items():
        said = " ".join(word for word in words if not word.startswith("-"))
        seen = path.split()
        deeper = [known.split()[-1] for known in table if known.startswith(f"{path} ") and len(known.split()) == len(seen) + 1]
        condition = "__fish_use_subcommand" if not seen else "; and ".join(f"__fish_seen_subcommand_from {name}" for name in seen)
        if seen and deeper:
            condition += f"; and not __fish_seen_subcommand_from {' '.join(deeper)}"
        if said:
            yield f"complete -c tollway -f -n '{condition}' -a '{said}'"
        for word in words:
            if word.startswith("--"):
                yield f"complete -c tollway -n '{condition}' -l {word[2:]}"
