"""Augmentation in C++, for CPU tensors: gathered, moved and changed a sample at a time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ..reference.augment import Geometry, Look
from . import cpu, size_of


def augment(
    images: Tensor,
    masks: Tensor | None,
    index: Tensor,
    geometry: Geometry,
    looks: tuple[Look, ...],
    seed: int,
    sample_ids: Tensor,
) -> tuple[Tensor, ...]:
    images, index, sample_ids = images.contiguous(), index.contiguous(), sample_ids.contiguous()
    views = [torch.empty((len(index), *images.shape[1:])) for _ in looks]
    moved = None
    if masks is not None:
        masks = masks.contiguous()
        moved = torch.empty((len(index), *masks.shape[1:]), dtype=torch.uint8)
    table = np.array([*geometry[:4], *geometry.inverse], np.int64)
    numbers = np.array(looks, np.float64)
    pointers = (
        *(0 if tensor is None else tensor.data_ptr() for tensor in (images, masks, index, sample_ids)),
        views[0].data_ptr(),
        views[1].data_ptr() if len(views) > 1 else 0,
        0 if moved is None else moved.data_ptr(),
        table.ctypes.data,
        numbers.ctypes.data,
    )
    _, depth, height, width = size_of(images[:, 0])
    axes, channels = images.dim() - 2, images.shape[1]
    sizes = (len(index), depth, height, width)
    try:
        cpu().augment(pointers, seed, len(images), channels, axes, sizes, torch.get_num_threads())
    except ValueError as error:  # an index beyond the store: looked for there, where it costs nothing
        raise InputError(f"augment: {error}, of which there are {len(images)}") from None
    return (*views, *([] if moved is None else [moved]))
