"""Pages of docs/ whose figures come from results: a table, on what it was measured, and a block between marks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [" | ".join(head), " | ".join(["---"] * len(head)), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def told(machine: dict[str, Any], command: str) -> str:
    """Device, instruction set, threads, versions, commit and command."""
    parts = [machine["processor"], machine.get("isa"), machine.get("threads") and f"{machine['threads']} thread(s)"]
    commit = str(machine["commit"])
    dirty = "+" if commit.endswith("+") else ""  # files differed from it
    parts += [f"torch {machine['torch']}", f"commit {commit[:7]}{dirty}"]
    return f"{', '.join(part for part in parts if part)}; `{command}`."


def replaced(page: Path, texts: dict[str, str]) -> str:
    """The page's text with each of `texts`, by name, between its marks "begin NAME" and "end NAME"."""
    made = page.read_text(encoding="utf-8")
    for name, text in texts.items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
        head, rest = made.split(begin)
        made = f"{head}{begin}{text}\n{end}{rest.split(end)[1]}"
    return made
