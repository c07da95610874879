"""Times contenders in turns: what a shared machine does to one of them, it does to the next one too."""

from __future__ import annotations

import ctypes
import functools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .case import Case, Missing, Run, Work, Wrong

MOST_ROUNDS, FEWEST_ROUNDS = 60, 5
SHORTEST = 2e-3
"""Seconds: a run that takes less is repeated within a round until it lasts so long."""


@dataclass(frozen=True)
class Row:
    """What was measured of one contender: seconds for one thing, of which 20, 50 and 80 % of the rounds were faster.

    why_not: the reason where there is no time: a package that is missing, a result that is wrong.
    """

    case: str
    contender: str
    kind: str
    p20: float | None = None
    p50: float | None = None
    p80: float | None = None
    rounds: int = 0
    why_not: str = ""
    wrong: bool = False

    @property
    def per_second(self) -> float | None:
        return None if self.p50 is None else 1 / self.p50


@functools.cache
def keep_memory() -> None:
    """glibc gives freed memory back to the system and takes it again page by page, which at these sizes costs any
    contender more than its arithmetic; a training process has long come to keep it. Here it is told to."""
    trim_threshold, mmap_threshold = -1, -3
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(trim_threshold, 1 << 30)
        libc.mallopt(mmap_threshold, 1 << 25)


def measure(
    case: Case,
    seconds: float = 1.0,
    kinds: Sequence[str] = ("ours", "peer", "limit"),
    fewest: int = FEWEST_ROUNDS,
) -> list[Row]:
    """Check every contender of those kinds, then time those that are right, some `seconds` for each.

    Where ours is wrong, nothing of the case is timed.
    """
    keep_memory()
    rows: dict[str, Row] = {}
    ready: dict[str, Work] = {}
    for contender in case.contenders:
        if contender.kind not in kinds:
            continue
        row = functools.partial(Row, case.name, contender.name, contender.kind)
        try:
            work = contender.make()
            work.check(work.run())
        except Missing as missing:
            rows[contender.name] = row(why_not=str(missing))
        except Wrong as wrong:
            rows[contender.name] = row(why_not=f"wrong: {wrong}", wrong=True)
        except Exception as error:  # a package of a version that was not tried: told, the rest goes on
            text = " ".join(str(error).split())[:200]
            rows[contender.name] = row(why_not=f"{type(error).__name__}: {text}", wrong=contender.kind == "ours")
        else:
            rows[contender.name], ready[contender.name] = row(), work
        if contender.kind == "ours" and rows[contender.name].wrong:
            return list(rows.values())
    times = in_turns({name: work.run for name, work in ready.items()}, seconds, fewest)
    for name, found in times.items():
        each = [value / ready[name].count for value in found]
        cuts = statistics.quantiles(each, n=5, method="inclusive")
        known = rows[name]
        rows[name] = Row(known.case, known.contender, known.kind, cuts[0], statistics.median(each), cuts[3], len(each))
    return list(rows.values())


def in_turns(
    runs: dict[str, Run], seconds: float, fewest: int = FEWEST_ROUNDS, timer: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of a run of each, round by round: at most 60 rounds, at least `fewest`, about `seconds` of each."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    repeats = {name: _repeats(run, timer) for name, run in runs.items()}
    spent = dict.fromkeys(runs, 0.0)
    active = list(runs)
    while active:
        for name in active:
            run, began = runs[name], timer()
            for _ in range(repeats[name]):
                run()
            took = timer() - began
            spent[name] += took
            times[name].append(took / repeats[name])
        active = [
            name
            for name in active
            if len(times[name]) < fewest or (spent[name] < seconds and len(times[name]) < MOST_ROUNDS)
        ]
    return times


def _repeats(run: Run, timer: Callable[[], float]) -> int:
    run()
    began = timer()
    run()
    return max(1, round(SHORTEST / max(timer() - began, 1e-7)))
