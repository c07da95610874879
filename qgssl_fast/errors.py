"""The one kind of error that a user's input may raise, and a collector for input that has several faults."""

from __future__ import annotations


class InputError(ValueError):
    """What the user gave cannot be used. The message names the thing, what was wanted and what came."""


class Faults:
    """Collects faults, so that all are told at once: ``faults.add(...)`` as they come, ``faults.check("...")`` at the end."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, text: str) -> None:
        self.found.append(text)

    def check(self, what: str) -> None:
        """Raise :class:`InputError` when there is any fault; `what` heads the list ("data/ph2: 3 faults" and so on)."""
        if len(self.found) == 1:
            raise InputError(f"{what}: {self.found[0]}")
        if self.found:
            raise InputError(f"{what}: {len(self.found)} faults\n" + "\n".join(f"  - {text}" for text in self.found))
