"""What a stage gives the loop: networks, an optimiser, settings, a step's loss, a validation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..data import DeviceStore
from ..data.order import AnyOrder
from ..errors import InputError
from .schedule import cosine

Batch = dict[str, Tensor]
"""All of a step that depends on its number, as tensors on the device; a key that is absent is not used in this step."""


@dataclass(frozen=True)
class Part:
    """The `index`-th of `count` equal parts of a step's samples: what one rank computes at once.

    own: parts of a step that a rank computes, one after the other.
    """

    index: int = 0
    count: int = 1
    own: int = 1

    def of(self, size: int) -> slice:
        """Its samples among the `size` of the step; InputError where they cannot be shared out evenly."""
        if size % self.count:
            raise InputError(f"batch: wanted a multiple of {self.count} (ranks times accumulate), got {size}")
        each = size // self.count
        return slice(self.index * each, (self.index + 1) * each)

    def following(self) -> tuple[int, Part]:
        """What this rank computes next: how many steps later, and which part of that step."""
        at = self.index % self.own
        later = at + 1 == self.own
        return int(later), replace(self, index=self.index - at if later else self.index + 1)


class Stage(ABC):
    """What is trained and how; the loop knows nothing else of it."""

    name: str
    """Its folder in the run and its name in the log."""
    networks: dict[str, nn.Module]
    """What the optimiser trains, by names that a checkpoint uses."""
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
    """Epoch from which `patience` counts: that where every lambda has reached its last value."""
    validate_every: int = 1
    score: ClassVar[str]
    """Key of :meth:`validate` by which the best epoch is chosen (validation data only)."""
    higher_is_better: ClassVar[bool]
    memory_settings: ClassVar[str] = "the batch"
    """Which settings to lower where the memory does not do."""
    trained: dict[str, nn.Module]
    """`networks` as the loop has prepared them (ranks, compilation): those that :meth:`loss` must call."""

    @abstractmethod
    def draw(self, step: int, part: Part) -> Batch:
        """This part's samples of step `step`: a function of both alone, so that a resumed run repeats it.

        Sample ids are those of the whole step: what is drawn for a sample does not depend on how steps are shared out.
        """

    @abstractmethod
    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The part's loss and 0-dim tensors to log, each a mean over its samples. No number of the device is read."""

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

    def told(self) -> list[str]:
        """What is to be said now, once."""
        return []

    def modules(self) -> dict[str, nn.Module]:
        """What a checkpoint holds."""
        return self.networks

    def clip_groups(self) -> list[list[nn.Parameter]]:
        """Parameters whose gradients are clipped by one norm."""
        return [[parameter for network in self.networks.values() for parameter in network.parameters()]]

    def helpers(self) -> list[nn.Module]:
        """Networks that :meth:`loss` calls beside those of :meth:`modules`."""
        return []

    def describe(self, batch: Batch) -> str:
        """Which samples a batch holds, for the message about a loss that is not finite."""
        return "; ".join(f"{key} {value.tolist()}" for key, value in batch.items() if key.endswith("ids"))  # sync

    def learning_rate(self, step: int) -> float:
        if self.constant_lr:
            return self.lr
        return cosine(step, self.epochs * self.steps_per_epoch, self.lr, self.min_lr, self.warmup)


def adamw(networks: Iterable[nn.Module], lr: float, weight_decay: float = 0.0) -> torch.optim.AdamW:
    """AdamW in one fused pass over the parameters: a quarter of the time on a CPU too."""
    parameters = [parameter for network in networks for parameter in network.parameters()]
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=True)


def take(store: DeviceStore, order: AnyOrder, step: int, size: int, part: Part) -> tuple[Tensor, Tensor]:
    """Items (where the store wants them) and sample ids (on its device) of a part of a step.

    A store that has to bring its samples from elsewhere begins with these, then with what comes next.
    """
    index, ids = order.batch(step, size, part.of(size))
    if store.fed:
        later, following = part.following()
        store.prefetch(index)
        store.prefetch(order.batch(step + later, size, following.of(size))[0])
    return to_device(index, store.images.device), to_device(ids, store.device)


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """A small tensor on the device; from the CPU through pinned memory, so that the host does not wait for the copy."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" != values.device.type else values
