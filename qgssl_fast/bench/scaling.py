"""Time for one mask against the size of the batch, of the image and of the volume, on one thread and on two."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..ops.corrupt import corrupt
from ..ops.losses import consistency
from ..ops.morph import erode
from ..ops.warp import elastic
from ..recipes import load_recipe
from .case import Run
from .measure import in_turns, keep_memory
from .shapes import ellipsoids, lesions
from .warp import AMPLITUDE, SMOOTHNESS

BATCHES = (1, 4, 16, 64, 256, 1024, 4096)
SIDES = (64, 128, 256, 512, 1024)
VOLUMES = (32, 64, 96, 128, 192)
SIDE, PIXELS = 224, 64 * 224**2
"""Side of the masks of a growing batch; pixels in a batch of masks of growing side, or one mask where it is larger."""
FEWEST = 9
"""Rounds."""
MOST_PIXELS = 2**25
"""Of a loss, whose logits are floats and whose gradient is kept: larger batches are left out."""


@dataclass(frozen=True)
class Scaled:
    """run: does all masks of a batch. check: None where right, else what is wrong."""

    run: Run
    check: Callable[[], str | None]


def _erode(masks: Tensor) -> Scaled:
    few, out = masks[:1], torch.empty_like(masks)

    def run() -> Tensor:
        return erode(masks, 3, out=out)

    return Scaled(run, lambda: _differ(erode(few, 3), erode(few, 3, backend="reference"), run()[:1]))


def _elastic(masks: Tensor) -> Scaled:
    def warp(of: Tensor, backend: str = "auto") -> Tensor:
        return elastic(of, AMPLITUDE, SMOOTHNESS, backend=backend)

    few = masks[:1]
    return Scaled(lambda: warp(masks), lambda: _differ(warp(few), warp(few, "reference"), warp(masks)[:1]))


def _mix(masks: Tensor) -> Scaled:
    recipe, ids = load_recipe("default").without_bank(), torch.arange(len(masks))
    out = torch.empty_like(masks)

    def run(masks: Tensor = masks, ids: Tensor = ids, out: Tensor = out, backend: str = "auto") -> Tensor:
        return corrupt(masks, recipe, sample_ids=ids, out=out, backend=backend).masks

    def check() -> str | None:
        alone, truth = (run(masks[:1], ids[:1], out[:1], name).clone() for name in ("auto", "reference"))
        return _differ(alone, truth, run()[:1])

    return Scaled(run, check)


def _loss(masks: Tensor) -> Scaled:
    logits = (masks[:, None].float() * 4 - 2).requires_grad_()
    weights = torch.ones(len(masks))

    def run(count: int | None = None, backend: str = "auto") -> Tensor:
        some = logits[:count]
        loss = consistency(some, masks[:count, None], weights[:count], "bce_dice", backend=backend)
        return torch.autograd.grad(loss, some)[0].detach()

    def check() -> str | None:
        mine, truth = run(1), run(1, "reference")
        worst = (mine - truth).abs().max().item() / truth.abs().max().item()
        return None if worst < 1e-4 else f"the gradient differs from the reference's by {worst:.1g}"

    return Scaled(run, check)


def _differ(mine: Tensor, truth: Tensor, of_batch: Tensor) -> str | None:
    for what, found in (("alone", mine), ("in its batch", of_batch)):
        if differ := int((found != truth).sum()):
            return f"the first mask {what} differs from the reference in {differ} pixels"
    return None


WORK: dict[str, Callable[[Tensor], Scaled]] = {
    "erode": _erode, "mix": _mix, "elastic": _elastic, "bce_dice": _loss,
}  # fmt: skip


def axes(quick: bool) -> dict[str, Iterator[tuple[int, Callable[[], Tensor]]]]:
    """By what grows: its sizes, and the masks of each."""
    batches, sides, volumes = (x[:-2] if quick else x for x in (BATCHES, SIDES, VOLUMES))

    return {
        "batch": ((n, functools.partial(_tiled, SIDE, 64, n)) for n in batches),
        "side": ((n, functools.partial(_tiled, n, min(64, PIXELS // n**2), max(PIXELS // n**2, 1))) for n in sides),
        "volume": ((n, functools.partial(ellipsoids, n, 2)) for n in volumes),
    }


def _tiled(side: int, different: int, count: int) -> Tensor:
    """`count` masks, of which so many are different."""
    masks = lesions(side, max(different, 1))
    return masks.repeat(-(-count // len(masks)), 1, 1)[:count].contiguous()


def scaling(
    threads: int, seconds: float, quick: bool, told: Callable[[str], None] = lambda text: None
) -> list[dict[str, Any]]:
    """Rows of axis, size, work, threads, batch, seconds for one mask, and `times`: how many times faster than on one
    thread. `times_machine` is what the threads bring to arithmetic in the cache, in the same minute: two cores of a
    shared machine may be one. Both are medians over rounds, each beside its neighbour in time. Rows of a wrong result
    have `why_not`.

    threads: 1 and this number are measured, in turns.
    """
    keep_memory()
    arithmetic = _arithmetic()
    rows: list[dict[str, Any]] = []
    for axis, sizes in axes(quick).items():
        for size, make in sizes:
            told(f"{axis} {size}")
            masks = make()
            for name, work in WORK.items():
                row = {"axis": axis, "size": size, "work": name, "batch": len(masks)}
                if name == "bce_dice" and masks.numel() > MOST_PIXELS:
                    continue
                scaled = work(masks)
                if why_not := scaled.check():
                    absent = dict.fromkeys(("seconds", "times", "times_machine"))
                    rows.append(row | {"threads": threads, **absent, "why_not": why_not})
                    continue
                counts = sorted({1, threads})
                works = {"ours": scaled.run, "machine": arithmetic}
                runs = {f"{what} {n}": _on(n, does) for what, does in works.items() for n in counts}
                found = in_turns(runs, seconds, fewest=FEWEST)
                for n in counts:
                    each = statistics.median(found[f"ours {n}"]) / len(masks)
                    ours, machine = (_times(found[f"{what} 1"], found[f"{what} {n}"]) for what in works)
                    told_of = {"seconds": each, "times": ours, "times_machine": machine, "why_not": ""}
                    rows.append(row | {"threads": n, **told_of})
    return rows


def _arithmetic() -> Run:
    """Work of nothing but arithmetic, on numbers in the second-level cache: the most that threads can bring."""
    numbers = torch.linspace(0, 6, 2**16)
    out = torch.empty_like(numbers)

    def run() -> None:
        for _ in range(10):
            torch.sin(numbers, out=out)

    return run


def _times(one: list[float], many: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(one, many))


def _on(threads: int, run: Run) -> Run:
    def on() -> Any:
        torch.set_num_threads(threads)
        return run()

    return on


def wrong(rows: list[dict[str, Any]]) -> list[str]:
    return [f"{row['work']}, {row['axis']} {row['size']}: {row['why_not']}" for row in rows if row["why_not"]]
