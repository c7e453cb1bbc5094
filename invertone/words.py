"""The words of a command line: options begin with a dash, everything else is an operand or a setting `key=value`."""

from __future__ import annotations

from collections.abc import Sequence

from invertone.cluster.errors import UserError, did_you_mean

HELP = ("--help", "-h")


def parsed(
    command: str, words: Sequence[str], options: Sequence[str], *, settings: bool = False
) -> tuple[dict[str, list[str]], list[str]]:
    """Options by name, each with the values it was given (none for one that takes none), and the other words, in order.

    options: as help writes them, `--name` or `--name VALUE`; `--help` is always one. settings: the command has `key=value`
    words, which a refusal then names. Raises UserError for an option that is none of these, or lacks its value.
    """
    valued = {option.split()[0] for option in options if " " in option}
    plain = {option for option in options if " " not in option}
    found: dict[str, list[str]] = {}
    rest, left = [], list(words)
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if name in valued:
            if not equals and (not left or left[0] in HELP):
                raise UserError(f"{name} needs a value", fix=f"see invertone {command} --help")
            found.setdefault(name, []).append(value if equals else left.pop(0))
        elif word in plain:
            found[word] = []
        elif word in HELP:
            found["--help"] = []
        elif word.startswith("-"):
            raise _unknown(word, [*options, "--help"], settings)
        else:
            rest.append(word)
    return found, rest


def _unknown(word: str, options: Sequence[str], settings: bool) -> UserError:
    name, equals, value = word.lstrip("-").partition("=")
    known = options[0] if len(options) == 1 else f"{', '.join(options[:-1])} and {options[-1]}"
    if settings and equals:
        return UserError(f"unknown option {word!r}", fix=f"write {name.replace('-', '_')}={value}")
    fix = f"the option is {known}" if len(options) == 1 else f"the options are {known}"
    fix += "; settings are key=value" * settings
    near = did_you_mean(word, [option.split()[0] for option in options])
    return UserError(f"unknown option {word!r}", fix=fix + near)
