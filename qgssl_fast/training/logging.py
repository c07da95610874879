"""What a run says: rich progress on the terminal, rows in log.jsonl, curves in TensorBoard and other trackers."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from ..errors import InputError, nearest
from ..files import write_text
from .ranks import mean_over_ranks


class NotFinite(ArithmeticError):
    """A value became NaN or infinite: `key` is what, `step` when."""

    def __init__(self, key: str, step: int) -> None:
        super().__init__(key)
        self.key, self.step = key, step


class Meter:
    """Means of logged values, kept on the device until they are looked at."""

    def __init__(self, state: dict[str, tuple[float, int]] | None = None) -> None:
        self._waiting: list[tuple[int, tuple[str, ...], Tensor]] = []
        self._sums = {key: (total, count) for key, (total, count) in (state or {}).items()}

    def add(self, step: int, values: dict[str, Tensor]) -> None:
        """Add 0-dim tensors of a step; no synchronisation."""
        self._waiting.append((step, tuple(values), torch.stack([value.detach().float() for value in values.values()])))

    def look(self) -> None:
        """Bring what was added to the host, in one transfer, as means over ranks; raises NotFinite."""
        if not self._waiting:
            return
        numbers = iter(mean_over_ranks(torch.cat([values for _, _, values in self._waiting])).tolist())  # sync
        waiting, self._waiting = self._waiting, []
        for step, keys, _ in waiting:
            for key, value in zip(keys, numbers):
                if not math.isfinite(value):
                    raise NotFinite(key, step)
                total, count = self._sums.get(key, (0.0, 0))
                self._sums[key] = (total + value, count + 1)

    def means(self) -> dict[str, float]:
        """Means of what was looked at since the last call."""
        sums, self._sums = self._sums, {}
        return {key: total / count for key, (total, count) in sums.items()}

    def state(self) -> dict[str, tuple[float, int]]:
        """What a checkpoint keeps of an epoch that has begun."""
        return dict(self._sums)


class Log:
    """log.jsonl, trackers and the terminal of one run; on ranks other than the first it says and writes nothing."""

    def __init__(
        self,
        folder: Path,
        console: Console | None = None,
        trackers: Sequence[str] = ("tensorboard",),
        main: bool = True,
    ) -> None:
        self.folder, self.main = folder, main
        self.console = (console or Console(stderr=False)) if main else Console(quiet=True)
        self.path = folder / "log.jsonl"
        self.names = list(trackers) if main else []
        self._trackers: list[Any] = []

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)

    def rows(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        rows = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(json.JSONDecodeError):  # the last line of a run that was cut may be half written
                rows.append(json.loads(line))
        return rows

    @contextlib.contextmanager
    def stage(self, name: str, step: int) -> Iterator[None]:
        """Around a stage that goes on after `step`: rows after it are dropped, a resumed stage writes them again."""
        if self.main:
            rows = [row for row in self.rows() if row["stage"] != name or row["step"] <= step]
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in rows))
        self._trackers = [self._open(tracker, name, step) for tracker in self.names]
        try:
            yield
        finally:
            self.close()

    def _open(self, tracker: str, stage: str, step: int) -> Any:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        cls = LOGGER_TYPE_TO_CLASS[tracker]
        known: dict[str, dict[str, Any]] = {
            "tensorboard": {"purge_step": step + 1},
            "wandb": {"name": f"{self.folder.name}/{stage}", "dir": str(self.folder)},
        }
        folder = [str(self.folder / tracker)] if cls.requires_logging_directory else []
        opened = cls(stage if tracker == "tensorboard" else "qgssl_fast", *folder, **known.get(tracker, {}))
        opened.start()
        return opened

    def write(self, row: dict[str, Any]) -> None:
        """Append a row ({"stage", "step", "epoch", ...}); numbers that are not finite become null."""
        if not self.main:
            return
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(clean) + "\n")
        numbers = {key: value for key, value in clean.items() if isinstance(value, float)}
        for tracker in self._trackers:
            tracker.log(numbers, step=row["step"])

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
        for tracker in self._trackers:
            tracker.finish()
        self._trackers = []


def check_trackers(names: Sequence[str]) -> None:
    """Raise InputError for a tracker that accelerate does not know or that is not installed."""
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    there = [str(tracker) for tracker in get_available_trackers()]
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            known = ", ".join(sorted(LOGGER_TYPE_TO_CLASS))
            raise InputError(f"trackers: wanted some of {known}, got {name!r}{nearest(name, LOGGER_TYPE_TO_CLASS)}")
        if name not in there:
            raise InputError(f"trackers: {name} is not installed; installed are: {', '.join(there)}")
