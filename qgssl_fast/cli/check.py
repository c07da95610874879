"""``qgssl-fast check``: everything that is wrong with a data set, at once, as a table."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from ..data import check_dataset, is_sharded, read_dataset, read_index
from ..data.cache import FileCache
from ..data.shards import check_shards
from ..errors import InputError


def configure(parser: ArgumentParser, words: list[str]) -> None:
    """Add the options."""
    parser.add_argument("data", type=str, help="data set folder, or folder or URL of shards")
    parser.add_argument(
        "--allow_empty_masks", type=bool, default=False, help="whether masks without foreground are well"
    )
    parser.add_argument(
        "--classes", type=int | None, default=None, help="values in the masks of images; 2 if not given"
    )
    parser.add_argument("--again", type=bool, default=False, help="look into files also where nothing has changed")


def run(settings: Namespace, words: list[str]) -> int:
    """Print the table; returns 1 where there is a fault, else 0."""
    console = Console()
    if is_sharded(settings.data):
        return _shards(console, settings.data)
    cache = None if settings.again else FileCache()
    try:
        dataset = read_dataset(settings.data, allow_empty_masks=settings.allow_empty_masks)
    except InputError as error:
        if not error.faults:
            raise
        return _table(console, settings.data, list(error.faults))
    count = len(dataset)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("files", total=count)
        found = check_dataset(
            dataset, allow_empty_masks=settings.allow_empty_masks, classes=settings.classes, cache=cache,
            progress=lambda done, total: progress.update(task, completed=done),
        )  # fmt: skip
    for note in dataset.notes:
        console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
    if found:
        return _table(console, settings.data, [str(fault) for fault in found])
    counts = ", ".join(f"{len(cases)} {split}" for split, cases in dataset.splits.items())
    console.print(f"{settings.data}: no faults; {counts}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _shards(console: Console, data: str) -> int:
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("shards", total=None)
        found = check_shards(data, lambda done, total: progress.update(task, completed=done, total=total))
    if found:
        return _table(console, data, [str(fault) for fault in found])
    counts = ", ".join(f"{len(shards)} {split}" for split, shards in read_index(data).items())
    console.print(f"{data}: no faults; {counts}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _table(console: Console, data: str, faults: list[str]) -> int:
    table = Table(title=f"{data}: {len(faults)} fault{'s' if len(faults) > 1 else ''}", title_justify="left")
    table.add_column("where", overflow="fold")
    table.add_column("what", overflow="fold")
    for fault in faults:
        where, _, what = fault.partition(": ")
        table.add_row(Text(where), Text(what))
    console.print(table)
    return 1
