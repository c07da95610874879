"""``qgssl-fast COMMAND``: finds the command's file; a fault of the input becomes one clear message and exit code 2."""

from __future__ import annotations

import importlib
import os
import re
import sys
from argparse import ArgumentError
from collections.abc import Sequence

from jsonargparse import ArgumentParser, set_parsing_settings

from .. import __version__
from ..errors import InputError, ToldElsewhere, nearest

COMMANDS = {
    "train": "train on a data set, or on built-in phantoms when none is given",
    "methods": "the methods and guides, their sources, and which go together",
    "check": "look into every file of a data set and list all faults",
    "import": "make a data set of a published one's folder",
    "shard": "write a data set as tar files for streaming",
    "preview": "picture a recipe's corruptions of a data set",
    "bench": "how fast operations are here, beside what people use",
    "doctor": "what this machine can use, and why not",
}
FILES = {"import": "import_set"}
"""Commands whose name no module can have."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 well, 2 input that cannot be used, 130 interrupted)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(_usage())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"qgssl-fast {__version__}")
        return 0
    _let_waiting_threads_sleep_soon()
    command = words.pop(0)
    if command not in COMMANDS:
        return _fail(f"no command {command!r}{nearest(command, list(COMMANDS))}; there are {', '.join(COMMANDS)}")
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    module = importlib.import_module(f"qgssl_fast.cli.{FILES.get(command, command)}")
    parser = ArgumentParser(
        prog=f"qgssl-fast {command}", description=COMMANDS[command], exit_on_error=False, allow_abbrev=False
    )
    try:
        module.configure(parser, words)
        try:
            settings = parser.parse_args(words)
        except ArgumentError as error:
            return _fail(_explain(str(error), parser))
        return module.run(settings, words)
    except ToldElsewhere:
        return 2
    except InputError as error:
        return _fail(str(error))
    except OSError as error:
        if error.errno is None:
            raise
        return _fail(f"{error.filename or 'writing'}: {error.strerror}")
    except KeyboardInterrupt:
        return 130


def _let_waiting_threads_sleep_soon() -> None:
    """Before torch starts its threads: those that wait for others look 20,000 times (some 50 us), then sleep.

    To look forever (the default) takes the core from another process that needs it, and a training step beside one
    then lasts three times as long; never to look (``passive``) pays a wake-up after each small operation, half as much
    again on a quiet machine. What the user has set stands.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")


def _fail(text: str) -> int:
    print(f"qgssl-fast: {text}", file=sys.stderr)
    return 2


def _usage() -> str:
    lines = [f"  {name:<10} {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        ["usage: qgssl-fast COMMAND [options]      (qgssl-fast COMMAND --help tells its options)", "", *lines]
    )


def _explain(text: str, parser: ArgumentParser) -> str:
    """jsonargparse's message on one line, with the nearest right name for each unknown one."""
    known = [
        option.lstrip("-") for action in parser._actions for option in action.option_strings if option.startswith("--")
    ]
    first = " ".join(line.strip() for line in text.splitlines() if line.strip())
    found = re.search(r"[Uu]nrecognized arguments: (.*)", first)
    if found:
        names = [word.lstrip("-").split("=")[0] for word in found[1].split() if word.startswith("--")]
        if names:
            return "; ".join(
                f"unknown option --{name}{nearest(name, known).replace('mean ', 'mean --')}" for name in names
            )
        return f"unexpected argument {found[1]}"
    section = re.search(r"Group '([\w.]+)' does not accept option '([\w.]+)'", first)
    key = f"{section[1]}.{section[2]}" if section else None
    if key is None and (
        found := re.search(r"(?:does not accept option|[Kk]ey|[Oo]ption) '([\w.]+)'(?: is not expected)?", first)
    ):
        key = found[1]
    return first + (nearest(key, known) if key and key not in known else "")
