"""What a run says: rich progress on the terminal, rows in log.jsonl, curves in TensorBoard."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from ..files import write_text


class Meter:
    """Means of logged values, kept on the device until they are read."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[Tensor, int]] = {}

    def add(self, values: dict[str, Tensor]) -> None:
        """Add 0-dim tensors; no synchronisation."""
        for key, value in values.items():
            total, count = self._sums.get(key, (torch.zeros((), device=value.device), 0))
            self._sums[key] = (total + value.detach().float(), count + 1)

    def read(self) -> dict[str, float]:
        """Means since the last reading, in one transfer."""
        if not self._sums:
            return {}
        means = torch.stack([total / count for total, count in self._sums.values()]).tolist()  # sync
        keys = list(self._sums)
        self._sums = {}
        return dict(zip(keys, means))


class Log:
    """log.jsonl, TensorBoard and the terminal of one run."""

    def __init__(self, folder: Path, console: Console | None = None) -> None:
        self.folder = folder
        self.console = console or Console(stderr=False)
        self.path = folder / "log.jsonl"
        self._board = SummaryWriter(str(folder / "tensorboard"))
        self._progress: Progress | None = None

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)

    def rows(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        rows = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(json.JSONDecodeError):  # the last line of a run that was cut may be half written
                rows.append(json.loads(line))
        return rows

    def keep(self, stage: str, steps: int) -> None:
        """Drop the rows of `stage` after step `steps`: a resumed stage writes them again."""
        rows = [row for row in self.rows() if row["stage"] != stage or row["step"] <= steps]
        write_text(self.path, "".join(json.dumps(row) + "\n" for row in rows))

    def write(self, row: dict[str, Any]) -> None:
        """Append a row ({"stage", "step", "epoch", ...}); numbers that are not finite become null."""
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(clean) + "\n")
        for key, value in clean.items():
            if isinstance(value, float):
                self._board.add_scalar(f"{row['stage']}/{key}", value, row["step"])

    @contextlib.contextmanager
    def progress(self, title: str, total: int, done: int = 0) -> Iterator[Any]:
        """A progress bar with rate and time left; gives a function ``advance(n, note)``."""
        columns = (
            TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as bar:
            task = bar.add_task(f"{title:<18}", total=total, completed=done, note="", rate="")

            def advance(n: int = 1, note: str | None = None) -> None:
                speed = bar.tasks[0].speed
                bar.update(task, advance=n, rate=f"{speed:.1f}/s" if speed else "")
                if note is not None:
                    bar.update(task, note=note)

            yield advance

    def close(self) -> None:
        self._board.close()
