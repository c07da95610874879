"""The one training loop: every stage and every method runs in it."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..errors import InputError
from . import checkpoint
from .logging import Log, Meter
from .schedule import cosine, stable_seed


class Stage(ABC):
    """What is trained and how; the loop knows nothing else of it."""

    name: str
    """Its folder in the run and its name in the log."""
    model: nn.Module
    optimizer: torch.optim.Optimizer
    lr: float
    min_lr: float = 0.0
    warmup: int = 0
    constant_lr: bool = False
    clip: float | None = None
    epochs: int
    steps_per_epoch: int
    seed: int
    patience: int = 0
    patience_from: int = 0
    """Epoch from which `patience` counts."""
    validate_every: int = 1
    score: ClassVar[str]
    """Key of :meth:`validate` by which the best epoch is chosen (validation data only)."""
    higher_is_better: ClassVar[bool]

    @abstractmethod
    def loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of step `step` (a function of the step alone: a resumed run repeats it) and 0-dim tensors to log."""

    def after_step(self, step: int) -> None:
        """After the optimiser's step."""

    def after_epoch(self, epoch: int) -> None:
        """After epoch `epoch` (from 1)."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Figures on the validation data."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write the weights that :meth:`validate` judged."""

    def modules(self) -> dict[str, nn.Module]:
        """What a checkpoint holds."""
        return {"model": self.model}

    def clip_groups(self) -> list[list[nn.Parameter]]:
        """Parameters whose gradients are clipped by one norm."""
        return [list(self.model.parameters())]

    def learning_rate(self, step: int) -> float:
        if self.constant_lr:
            return self.lr
        return cosine(step, self.epochs * self.steps_per_epoch, self.lr, self.min_lr, self.warmup)


def adamw(model: nn.Module, lr: float, weight_decay: float = 0.0) -> torch.optim.AdamW:
    """AdamW in one fused pass over the parameters: a quarter of the time on a CPU too."""
    return torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)


@dataclass
class Fitted:
    """How a stage went."""

    best: float
    best_epoch: int
    epochs: int
    seconds: float


def fit(stage: Stage, accelerator: Accelerator, folder: Path, log: Log) -> Fitted:
    """Train `stage`, writing `best`, `last` and a checkpoint into `folder`; a checkpoint found there is resumed.

    Raises InputError when the loss is not finite; the last good checkpoint stays.
    """
    stage.model, stage.optimizer = accelerator.prepare(stage.model, stage.optimizer)
    saved = folder / "checkpoint.safetensors"
    worst = -math.inf if stage.higher_is_better else math.inf
    state: dict[str, Any] = {"epoch": 0, "best": worst, "best_epoch": 0, "seconds": 0.0}
    if saved.exists():
        state |= checkpoint.load(saved, stage.modules(), stage.optimizer)
        log.say(f"{stage.name}: goes on after epoch {state['epoch']} of {stage.epochs}")
    log.keep(stage.name, state["epoch"] * stage.steps_per_epoch)
    meter, began = Meter(), time.perf_counter() - state["seconds"]
    total = stage.epochs * stage.steps_per_epoch
    with log.progress(stage.name, total, state["epoch"] * stage.steps_per_epoch) as advance:
        for epoch in range(state["epoch"], stage.epochs):
            stage.model.train()
            for step in range(epoch * stage.steps_per_epoch, (epoch + 1) * stage.steps_per_epoch):
                # Dropout is a function of the step, so that resuming repeats it; it is the same for all methods.
                torch.manual_seed(stable_seed(stage.seed, "step", step))
                for group in stage.optimizer.param_groups:
                    group["lr"] = stage.learning_rate(step)
                with accelerator.autocast():
                    loss, values = stage.loss(step)
                stage.optimizer.zero_grad()
                accelerator.backward(loss)
                if stage.clip:
                    for parameters in stage.clip_groups():
                        accelerator.clip_grad_norm_(parameters, stage.clip)
                stage.optimizer.step()
                stage.after_step(step)
                meter.add({"loss": loss, **values})
                advance()
            stage.after_epoch(epoch + 1)
            means = meter.read()
            bad = ", ".join(key for key, value in means.items() if not math.isfinite(value))
            if bad:
                way = "lower the learning rate or use precision=no"
                raise InputError(f"{stage.name}: not finite in epoch {epoch + 1}: {bad}; {way}")
            done = (epoch + 1) * stage.steps_per_epoch
            row: dict[str, Any] = {"stage": stage.name, "step": done, "epoch": epoch + 1}
            row |= {"lr": stage.learning_rate(done - 1), **means}
            if (epoch + 1) % stage.validate_every == 0 or epoch + 1 == stage.epochs:
                stage.model.eval()
                with torch.no_grad():
                    row |= (figures := stage.validate())
                value = figures[stage.score]
                if value > state["best"] if stage.higher_is_better else value < state["best"]:
                    state |= {"best": value, "best_epoch": epoch + 1}
                    stage.save(folder / "best.safetensors")
                advance(0, f"{stage.score} {value:.3f}, best {state['best']:.3f}")
            log.write(row)
            state |= {"epoch": epoch + 1, "seconds": time.perf_counter() - began}
            checkpoint.save(saved, stage.modules(), stage.optimizer, state)
            waited = epoch + 1 - max(state["best_epoch"], stage.patience_from)
            if stage.patience and waited >= stage.patience:
                break
    stage.save(folder / "last.safetensors")
    return Fitted(state["best"], state["best_epoch"], state["epoch"], state["seconds"])
