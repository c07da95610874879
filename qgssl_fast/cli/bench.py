"""``qgssl-fast bench``: how fast operations are here, beside what people use and beside a copy of the same bytes."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace
from rich.console import Console

from ..errors import Faults
from ..files import write_text

SECONDS, QUICK = (0.5, 5), (0.05, 3)
"""About so many seconds for each contender, and at least so many rounds."""


def configure(parser: ArgumentParser, words: list[str]) -> None:
    """Add the options."""
    parser.add_argument("--only", type=str, nargs="+", default=None, help="families or cases; all when not given")
    parser.add_argument("--threads", type=int, default=1, help="threads of ours and of peers that can use them")
    parser.add_argument("--quick", action="store_true", help="a tenth of the time, so that figures are rougher")
    parser.add_argument("--out", type=str, default="bench", help="folder for bench.json, bench.csv and pictures")
    parser.add_argument("--compare", type=str | None, default=None, help="a bench.json to show what changed since")
    parser.add_argument(
        "--scaling", action="store_true", help="also time against batch, side and volume, on one thread and on two"
    )


def run(settings: Namespace, words: list[str]) -> int:
    """Measure, print and write; 1 where a result was wrong, else 0."""
    before = torch.get_num_threads()
    try:
        return bench(
            settings.only, settings.threads, settings.quick, Path(settings.out),
            Path(settings.compare) if settings.compare else None, settings.scaling,
            " ".join(["qgssl-fast bench", shlex.join(words)]).strip(),
        )  # fmt: skip
    finally:
        torch.set_num_threads(before)


def bench(
    only: list[str] | None = None,
    threads: int = 1,
    quick: bool = False,
    out: Path = Path("bench"),
    compare: Path | None = None,
    scale: bool = False,
    command: str = "qgssl-fast bench",
    console: Console | None = None,
) -> int:
    """Returns 1 where a result was wrong (it is not timed), else 0. InputError before anything is measured."""
    from ..bench import pictures, report, scaling, suite

    console = console or Console()
    faults = Faults()
    cores = os.cpu_count() or 1
    if not 1 <= threads <= cores:
        faults.add(f"threads must be 1 to {cores}, the cores of this machine, got {threads}")
    if out.exists() and not out.is_dir():
        faults.add(f"out must be a folder, {out} is a file")
    faults.check("bench")
    cases = suite.select(only)
    earlier = report.read(compare) if compare else None
    torch.set_num_threads(threads)
    seconds, fewest = QUICK if quick else SECONDS
    with console.status("") as status:
        results = list(suite.run(cases, seconds, fewest, lambda case: status.update(case.title)))
        pair = min(2, cores)
        rows = scaling.scaling(pair, seconds / 3, quick, status.update) if scale else []
    torch.set_num_threads(threads)
    about: dict[str, Any] = {"machine": report.machine(), "command": command, "seconds": seconds}
    console.print(report.table(results))
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "bench.json", report.as_json(about, results, rows))
    write_text(out / "bench.csv", report.as_csv(about["machine"], results))
    told = report.told(about["machine"])
    pictures.roofline(out / "roofline.png", report.records(results), told)
    if scale:
        pictures.scaling(out / "scaling.png", rows, told)
    if earlier is not None:
        changes, notes = report.compare({**about, "rows": report.records(results)}, earlier)
        console.print(changes)
        for note in notes:
            console.print(note, highlight=False, markup=False)
    wrong = [f"{row.case}, {row.contender}: {row.why_not}" for result in results for row in result.wrong]
    wrong += scaling.wrong(rows)
    for text in wrong:
        console.print(text, style="red", highlight=False, markup=False)
    console.print(f"{told}; {out}: {', '.join(sorted(p.name for p in out.iterdir()))}", highlight=False, markup=False)
    return 1 if wrong else 0
