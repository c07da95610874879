"""The one kind of error that a user's input may raise, and a collector for input that has several faults."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """What the user gave cannot be used. The message names the thing, what was wanted and what came.

    faults: each of them, where the message lists several of a collected input.
    """

    faults: tuple[str, ...] = ()


class ToldElsewhere(InputError):
    """A fault that another process of the same run tells; this one only stops."""


def nearest(name: str, known: Iterable[str]) -> str:
    """ " (did you mean X?)", or nothing where no known name is near."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def unknown(what: str, got: str, known: Iterable[str]) -> InputError:
    """The error for a name that is none of `known`: it says the nearest one and lists them all."""
    known = sorted(known)
    listed = ", ".join(known) or "none"
    return InputError(f"{what}: no such name {got!r}{nearest(got, known)}; there are: {listed}")


class Faults:
    """Collects faults, so that all are told at once: ``add`` as they come, ``check`` at the end."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, text: str) -> None:
        self.found.append(text)

    def check(self, what: str) -> None:
        """Raise :class:`InputError` when there is any fault; `what` heads the list ("data/ph2: 3 faults" and so on)."""
        if not self.found:
            return
        listed = "\n".join(f"  - {text}" for text in self.found)
        one = len(self.found) == 1
        error = InputError(f"{what}: {self.found[0]}" if one else f"{what}: {len(self.found)} faults\n{listed}")
        error.faults = tuple(self.found)
        raise error
