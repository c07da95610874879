"""A whole step as one CUDA graph: the host then sends one command a step instead of thousands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import InputError
from .stage import Batch, Stage

if TYPE_CHECKING:
    from .engine import Engine

WARM_UP = 3
"""Steps of each kind that run plainly before one is captured: they allocate what a capture must find."""

Step = Callable[[int], dict[str, Tensor]]


class Graphs:
    """One graph for each kind of step, that is for each set of keys and shapes that a stage draws."""

    def whole_step(self, engine: Engine, stage: Stage) -> Step:
        """A function that takes a step, from a graph after a few steps of its kind."""
        captured: dict[tuple[object, ...], Captured] = {}
        seen: dict[tuple[object, ...], int] = {}
        for group in stage.optimizer.param_groups:
            group["capturable"] = True
            group["lr"] = torch.full((), stage.lr, device=engine.device)
        side = torch.cuda.Stream()

        def take_step(step: int) -> dict[str, Tensor]:
            batch = stage.draw(step, engine.parts[0])
            kind = tuple((key, tuple(value.shape)) for key, value in sorted(batch.items()))
            for group in stage.optimizer.param_groups:
                group["lr"].fill_(stage.learning_rate(step))
            engine.begin_part(stage, step, engine.parts[0])
            if kind in captured:
                values = captured[kind].replay(batch)
            elif seen.setdefault(kind, 0) < WARM_UP:
                seen[kind] += 1
                side.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(side):
                    values = engine.compute(stage, batch)
                torch.cuda.current_stream().wait_stream(side)
            else:
                captured[kind] = Captured(engine, stage, batch)
                values = captured[kind].replay(batch)
            stage.after_step(step)
            return values

        return take_step


class Captured:
    """Forward, backward, clipping and optimiser of one kind of step."""

    def __init__(self, engine: Engine, stage: Stage, batch: Batch) -> None:
        self.batch = {key: value.clone() for key, value in batch.items()}
        self.graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(self.graph):
                self.values = engine.compute(stage, self.batch)
        except RuntimeError as error:
            first = str(error).splitlines()[0]
            raise InputError(f"cuda_graphs: a step of {stage.name} cannot be captured ({first}); turn it off") from None

    def replay(self, batch: Batch) -> dict[str, Tensor]:
        for key, value in batch.items():
            self.batch[key].copy_(value, non_blocking=True)
        self.graph.replay()
        return self.values
