"""Where a step's time goes: named spans, a table, a trace, NVTX ranges. Without --profile a span costs nothing."""

from __future__ import annotations

import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

from ..files import replacing, write_text

PARTS = ("data", "augmentation", "corruption", "networks", "losses", "optimiser", "host")
"""What a step consists of; backward passes count as networks, what is in no span as host."""
TIMED, TRACED = 10, 4
"""Steps of the table, and steps of the trace that follow it: a trace slows down what it looks at."""

_recorder: Recorder | None = None
_idle = contextlib.nullcontext()
_nvtx = "NSYS_PROFILING_SESSION_ID" in os.environ and torch.cuda.is_available()


def span(name: str) -> contextlib.AbstractContextManager[Any]:
    """Around a part of a step; of spans in each other the inner one counts."""
    if _recorder is None and not _nvtx:
        return _idle
    return _span(name)


@contextlib.contextmanager
def _span(name: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        if torch.cuda.is_available():
            stack.enter_context(torch.cuda.nvtx.range(name))
        if _recorder is not None:
            stack.enter_context(record_function(name))
            stack.enter_context(_recorder.inside(name))
        yield


class Recorder:
    """Time by span: by the host's clock, or by events in the stream of a GPU, which make nobody wait."""

    def __init__(self, cuda: bool) -> None:
        self.cuda = cuda
        self.stack = ["host"]
        self.marks: list[tuple[Any, str]] = []
        self._mark("host")

    def _mark(self, name: str) -> None:
        """The time since the mark before belongs to `name`."""
        if self.cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self.marks.append((event, name))
        else:
            self.marks.append((time.perf_counter(), name))

    @contextlib.contextmanager
    def inside(self, name: str) -> Iterator[None]:
        self._mark(self.stack[-1])
        self.stack.append(name)
        try:
            yield
        finally:
            self._mark(self.stack.pop())

    def seconds(self) -> dict[str, float]:
        """By span, up to now."""
        self._mark(self.stack[-1])
        if self.cuda:
            torch.cuda.synchronize()  # sync
        total: dict[str, float] = defaultdict(float)
        for (before, _), (after, name) in zip(self.marks, self.marks[1:]):
            total[name] += before.elapsed_time(after) / 1e3 if self.cuda else after - before
        return total


class Profile:
    """A step function that on the way writes NAME.txt, a table, and NAME.json, a trace for Perfetto, into `folder`."""

    def __init__(
        self,
        take_step: Callable[[int], Any],
        networks: list[nn.Module],
        start: int,
        folder: Path,
        name: str,
        cuda: bool,
    ) -> None:
        self.take_step, self.networks, self.start, self.cuda = take_step, networks, start, cuda
        self.path = folder / f"{name.replace('/', '-')}.txt"
        self.hooks: list[Any] = []
        self.trace: Any = None
        self.steps, self.table = 0, ""

    def __call__(self, step: int) -> Any:
        global _recorder
        if self.steps == 0 and step >= self.start and not self.table:
            _recorder = Recorder(self.cuda)
            self._watch_networks()
        elif self.steps == TIMED and self.trace is None:
            self._close_table()
            self.trace = profile(activities=[ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * self.cuda])
            self.trace.start()
        elif self.steps == TIMED + TRACED:
            self.close()
        self.steps += bool(self.hooks)
        return self.take_step(step)

    def close(self) -> None:
        """Write what there is, also where the stage had fewer steps."""
        global _recorder
        if not self.hooks:
            return
        if not self.table:
            self._close_table()
        for hook in self.hooks:
            hook.remove()
        self.hooks, _recorder = [], None
        if self.trace is not None:
            self.trace.stop()
            with replacing(self.path.with_suffix(".json")) as beside:
                self.trace.export_chrome_trace(str(beside))

    def _close_table(self) -> None:
        assert _recorder is not None
        self.table = table(_recorder.seconds(), self.steps)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.path, self.table + "\n")

    def _watch_networks(self) -> None:
        """A forward pass counts as networks wherever it is called."""
        open_spans: list[Any] = []

        def enter(*_: Any) -> None:
            open_spans.append(_span("networks"))
            open_spans[-1].__enter__()

        def leave(*_: Any) -> None:
            open_spans.pop().__exit__(None, None, None)

        for network in self.networks:
            self.hooks += [network.register_forward_pre_hook(enter), network.register_forward_hook(leave)]


def table(seconds: dict[str, float], steps: int) -> str:
    """The parts of a step in ms and percent."""
    whole = sum(seconds.values())
    lines = [f"{'part':<14}{'ms a step':>10}{'share':>8}"]
    for name in [*PARTS, *sorted(set(seconds) - set(PARTS))]:
        spent = seconds.get(name, 0.0)
        lines.append(f"{name:<14}{1e3 * spent / steps:>10.2f}{spent / whole:>8.1%}")
    return "\n".join([*lines, f"{'all':<14}{1e3 * whole / steps:>10.2f}"])
