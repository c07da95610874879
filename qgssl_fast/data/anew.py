"""Patches of volumes that are drawn anew in every step: whole volumes on the device, and where each sample may lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qgssl_fast.data.decode_volume import Grid
from qgssl_fast.data.layout import SPLITS, Case
from qgssl_fast.data.memory import free_bytes
from qgssl_fast.data.resize import nearest
from qgssl_fast.data.volumes import VolumePlan, to_classes
from qgssl_fast.kernels.reference.augment_draw import numbers

POOL = SPLITS[3]
SPLITS_ANEW = (SPLITS[0], POOL)
STREAM = 0x50000000  # of Philox counters; words 0 the voxel, 1 to 3 the corner
MOST_VOXELS = 1 << 16  # of a class in a volume that patches are centred on


@dataclass(frozen=True)
class Volumes:
    """Whole volumes, voxel behind voxel, and of each sample (a slot of a volume) where its patches are drawn.

    images uint8 or float16 [C, total], labels uint8 [total] or None; size: a patch's sides. Of N samples: base int64
    [N], the first voxel of its volume; sides int64 [N, 3] of the volume; first, count int64 [N]: the part of `voxels`
    (int64, numbers within the volume) that a patch is centred on; where count is 0 it lies anywhere.
    """

    images: Tensor
    labels: Tensor | None
    size: tuple[int, ...]
    base: Tensor
    sides: Tensor
    first: Tensor
    count: Tensor
    voxels: Tensor

    def cut(self, samples: Tensor, seed: int, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images [B, C, *size] and labels uint8 [B, *size] of `samples` int64 [B], drawn by (seed, ids) alone."""
        word = numbers(seed, ids, STREAM, 4)
        sides, count = self.sides.index_select(0, samples), self.count.index_select(0, samples)
        voxel = self.voxels.index_select(0, self.first.index_select(0, samples) + (word[:, 0] * count >> 32))
        flat, inside, rest = self.base.index_select(0, samples).view(-1, 1, 1, 1), None, voxel
        steps = torch.stack([sides[:, 1] * sides[:, 2], sides[:, 2], torch.ones_like(count)], 1)
        for axis, side in enumerate(self.size):
            place, rest = rest // steps[:, axis], rest % steps[:, axis]
            slack = sides[:, axis] - side
            anywhere = word[:, 1 + axis] * (slack.clamp(min=0) + 1) >> 32
            corner = torch.where(count > 0, place - side // 2, anywhere).clamp(min=0).minimum(slack.clamp(min=0))
            at = (corner + (slack.clamp(max=0) // 2))[:, None] + torch.arange(side, device=samples.device)
            held = (at >= 0) & (at < sides[:, axis, None])
            shape = (-1, *(side if k == axis else 1 for k in range(3)))
            flat = flat + (at * held * steps[:, axis, None]).view(shape)
            inside = held.view(shape) if inside is None else inside & held.view(shape)
        assert inside is not None
        images = torch.stack([channel.take(flat) * inside for channel in self.images], 1)
        return images, None if self.labels is None else self.labels.take(flat) * inside

    def select(self, samples: Tensor) -> Volumes:
        """With these samples alone, int64 where the volumes lie."""
        rows: dict[str, Any] = {
            name: getattr(self, name).index_select(0, samples) for name in ("base", "sides", "first", "count")
        }
        return replace(self, **rows)

    def to(self, device: str | torch.device) -> Volumes:
        return self.map(lambda tensor: tensor.to(device))

    def map(self, function: Callable[[Tensor], Tensor]) -> Volumes:
        """With `function` of each tensor."""
        changed: dict[str, Any] = {name: function(value) for name, value in self.tensors().items()}
        return replace(self, **changed)

    def tensors(self) -> dict[str, Tensor]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    @property
    def nbytes(self) -> int:
        return sum(value.nbytes for value in self.tensors().values())


def gathered(
    images: Sequence[np.ndarray], labels: Sequence[np.ndarray] | None, plan: VolumePlan, slots: Sequence[int]
) -> Volumes:
    """Of volumes [C, D, H, W] with class numbers uint8 [D, H, W]; slots: samples of each volume.

    Of a volume's slots the plan's share `foreground` is centred on voxels of its classes, in turns, as with patches
    that are cut once.
    """
    known, base, chance = 1, 0, np.random.default_rng(plan.options.seed)
    voxels, rows = [np.zeros(1, np.int64)], list[tuple[int, ...]]()  # base, sides, first, count
    for number, (image, several) in enumerate(zip(images, slots)):
        parts = []
        classes = labels[number] if labels is not None else np.empty(0, np.uint8)
        for value in range(1, len(plan.labels)):
            found = np.flatnonzero(classes == value)
            if len(found) > MOST_VOXELS:
                found = np.sort(chance.choice(found, MOST_VOXELS, replace=False))
            if len(found):
                parts.append((known, len(found)))
                voxels.append(found)
                known += len(found)
        centred = round(several * plan.options.foreground) if parts and several > 1 else 0
        rows += [
            (base, *image.shape[1:], *(parts[slot % len(parts)] if slot < centred else (0, 0)))
            for slot in range(several)
        ]
        base += image[0].size
    table = torch.tensor(rows, dtype=torch.int64)
    return Volumes(
        torch.from_numpy(np.concatenate([image.reshape(len(image), -1) for image in images], 1)),
        None if labels is None else torch.from_numpy(np.concatenate([one.ravel() for one in labels])),
        plan.size, table[:, 0].clone(), table[:, 1:4].clone(), table[:, 4].clone(), table[:, 5].clone(),
        torch.from_numpy(np.concatenate(voxels)),
    )  # fmt: skip


class Wholes:
    """Keeps whole volumes while a data set is read, those of the splits that are trained on."""

    def __init__(self, plan: VolumePlan, listed: Sequence[tuple[str, Case]], grids: list[Grid | None]) -> None:
        self.kept: dict[int, tuple[np.ndarray, np.ndarray | None]] = {}
        self.wanted: set[int] = set()
        self.notes: list[str] = []
        mine = [k for k, (split, _) in enumerate(listed) if split in SPLITS_ANEW]
        voxels = plan.wholes([grids[k] for k in mine]) if plan.options.anew else 0
        needed, free = voxels * (np.dtype(plan.dtype).itemsize + 1), free_bytes(torch.device("cpu"))
        if free is not None and 3 * needed > free:  # read, joined and placed side by side for a moment
            self.notes.append(f"patches stay where they were cut once: whole volumes take {needed / 1e9:.2f} GB")
        elif voxels:
            self.wanted = set(mine)
            self.notes.append("segmenters see other patches in each step")

    def keep(self, index: int, image: np.ndarray, labels: np.ndarray | None) -> None:
        """A volume [C, D, H, W] as stores keep it, and its labels as in the file."""
        if index in self.wanted:
            self.kept[index] = (image, None if labels is None else nearest(labels, image.shape[1:]))

    def of(self, cases: range, split: str, plan: VolumePlan, slots: Sequence[int]) -> Volumes | None:
        """Those of one split's cases, which have so many samples each; None where they are not kept."""
        if not cases or split not in SPLITS_ANEW or not self.wanted:
            return None
        images, labels = zip(*(self.kept.pop(k) for k in cases))
        known = split != POOL and all(values is not None for values in labels)
        return gathered(images, [to_classes(values, plan.labels) for values in labels] if known else None, plan, slots)
