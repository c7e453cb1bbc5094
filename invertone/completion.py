"""`invertone completion SHELL`: a script for the shell, which asks this same program what may come next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from invertone.cluster.config.files import YAML_FILES, names
from invertone.cluster.config.loading import schema_of
from invertone.cluster.config.schema import choices_of, describe
from invertone.cluster.errors import UserError
from invertone.cluster_commands import COMMANDS, command_named
from invertone.stages import STAGES, Stage
from invertone.tools import AT_ONCE, TOOLS, tool_named

SCRIPTS = {
    "bash": """\
# For bash: eval "$(invertone completion bash)", for example in ~/.bashrc
_invertone() {
    local line=${COMP_LINE:0:COMP_POINT} word IFS=$'\\n'
    word=${line##*[[:space:]]}
    # what readline already has of the word, up to the last = or :
    local kept=${word%"${COMP_WORDS[COMP_CWORD]#[=:]}"}
    COMPREPLY=($(invertone completion words "$line" 2>/dev/null))
    if [ ${#COMPREPLY[@]} -eq 0 ]; then
        compopt -o filenames
        COMPREPLY=($(compgen -f -- "${word##*=}"))
        return
    fi
    COMPREPLY=("${COMPREPLY[@]#"$kept"}")
    case ${COMPREPLY[0]} in *=) compopt -o nospace ;; esac
}
complete -F _invertone invertone
""",
    "zsh": """\
# For zsh: eval "$(invertone completion zsh)", in ~/.zshrc after compinit
_invertone() {
    local -a found
    found=(${(f)"$(invertone completion words "$LBUFFER" 2>/dev/null)"})
    if (( ${#found} )); then compadd -S '' -U -- $found; else compset -P '*='; _files; fi
}
compdef _invertone invertone
""",
    "fish": """\
# For fish: invertone completion fish | source, for example in ~/.config/fish/config.fish
complete -c invertone -f -a '(set -l found (invertone completion words (commandline -cp) 2>/dev/null); \
if count $found >/dev/null; printf "%s\\n" $found; else; __fish_complete_path (commandline -ct); end)'
""",
}


def completion(words: Sequence[str]) -> None:
    """Prints the script for a shell, or (`words LINE`, what the scripts call) what the last word of LINE may become."""
    if len(words) == 2 and words[0] == "words":
        found = list(candidates(words[1]))
        print("\n".join(found), end="\n" * bool(found))
        return
    if len(words) != 1 or words[0] not in SCRIPTS:
        raise UserError("completion of which shell?", fix=f"give one of {', '.join(SCRIPTS)}")
    print(SCRIPTS[words[0]], end="")


def candidates(line: str) -> Iterator[str]:
    """What the last word of a command line that begins with the program's name may become: whole words, in order."""
    before, last = line.split()[1:], ""
    if line[-1:].strip():
        *before, last = before or [""]
    for each in _next(before, last):
        if each.startswith(last):
            yield each


def _next(before: Sequence[str], last: str) -> Iterator[str]:
    if before[:1] == ["submit"]:
        words = list(before[1:])
        while words and words[0].startswith("-"):
            words = words[2:] if words[0] in ("--address", "--shared") else words[1:]
        if words or not last.startswith("-"):
            yield from _next(words, last) if words else (stage.name for stage in STAGES if not stage.usual)
            return
    if not before or before == ["help"]:
        yield from (each.name for each in (*STAGES, *AT_ONCE, *TOOLS, *COMMANDS))
        yield from ("completion", "help") if not before else ()
        return
    if before == ["completion"]:
        yield from SCRIPTS
        return
    stage = next((each for each in STAGES if each.name == before[0]), None)
    if stage is not None:
        yield from _of_stage(stage, before[1:], last)
        return
    tool, command = tool_named(before[0]), command_named(before[0])
    if last.startswith("-"):
        options = tool.options if tool is not None else command.options if command is not None else ()
        yield from (*(option.split()[0] for option in options), "--help")
    elif tool is not None and tool.schema:
        yield from _settings(tool.settings(), before, last)


def _of_stage(stage: Stage, before: Sequence[str], last: str) -> Iterator[str]:
    if last.startswith("-"):
        yield from ("--dry-run", "--help")
    elif not before:
        yield from names(stage.name)
        yield from sorted(path.name for path in Path().glob("*.y*ml") if path.name.endswith(YAML_FILES))
    else:
        try:
            schema = schema_of(stage.catalogue, before[0])
        except UserError:
            return
        yield from _settings(schema, before, last)


def _settings(schema: type | None, before: Sequence[str], last: str) -> Iterator[str]:
    """`key=` for what is not given yet; after it, the key's choices."""
    assert schema is not None
    key, equals, _ = last.partition("=")
    if equals:
        yield from (f"{key}={choice}" for choice in choices_of(schema, key))
        return
    given = {word.partition("=")[0] for word in before}
    yield from (f"{row[0]}=" for row in describe(schema) if row[0] not in given)
