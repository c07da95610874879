"""``qgssl-fast import``: a published data set's folder to a data set folder at one size."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.progress import Progress

from ..data.importing import import_set
from ..data.published import SETS
from ..errors import InputError


def configure(parser: ArgumentParser, words: list[str]) -> None:
    """Add the options."""
    layouts = "; ".join(f"{name}: {layout} (split: {split})" for name, (_, layout, split) in SETS.items())
    parser.add_argument("name", type=str, help=f"the set, as its publisher ships it. {layouts}")
    parser.add_argument("source", type=str, help="its folder; nothing is written there")
    parser.add_argument("target", type=str, help="data set folder to make")
    parser.add_argument("--size", type=str, default="224", help="side, or HEIGHTxWIDTH, in pixels")
    parser.add_argument("--seed", type=int, default=0, help="of the split, where the set has none of its own")
    parser.add_argument("--add", type=bool, default=False, help="put the images into the unlabelled pool of TARGET")


def run(settings: Namespace, words: list[str]) -> int:
    """Convert and say what there is now; returns 0."""
    console, sides = Console(), settings.size.split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise InputError(f"import: size must be like 224 or 224x320, got {settings.size!r}")
    size = (int(sides[0]), int(sides[-1]))
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(settings.name, total=None)
        counts = import_set(
            settings.name, settings.source, settings.target, size, seed=settings.seed, add=settings.add,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )  # fmt: skip
    text = ", ".join(f"{count} {split}" for split, count in counts.items())
    how = "added to its pool" if settings.add else f"split: {SETS[settings.name][2]}"
    console.print(f"{settings.target}: {text}; {size[0]}x{size[1]} px; {how}", highlight=False, soft_wrap=True)
    if not settings.add and not counts["train"]:
        console.print("it has no masks: import it with --add true into a set that has", highlight=False)
    return 0
