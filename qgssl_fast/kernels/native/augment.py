"""Augmentation in C++, for CPU tensors: gathered, moved and changed a sample at a time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ..reference.augment import Finish, Geometry, Look
from ..reference.packed import PackedMasks
from . import cpu, in_large_pages, size_of

KINDS = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}


def augment(
    images: Tensor,
    masks: Tensor | PackedMasks | None,
    index: Tensor,
    geometry: Geometry,
    looks: tuple[Look, ...],
    seed: int,
    sample_ids: Tensor,
    finish: Finish = Finish(),  # noqa: B008 (frozen)
) -> tuple[Tensor, ...]:
    images, index, sample_ids = images.contiguous(), index.contiguous(), sample_ids.contiguous()
    layout = finish.layout(images.dim())
    shape = (len(index), *images.shape[1:])
    views = [in_large_pages(torch.empty(shape, dtype=finish.dtype, memory_format=layout)) for _ in looks]
    moved, stored, planes = None, None, 0
    if masks is not None:
        stored = (masks.bits if isinstance(masks, PackedMasks) else masks).contiguous()
        planes = stored.shape[1] if isinstance(masks, PackedMasks) else 0
        moved = torch.empty((len(index), *images.shape[2:]), dtype=torch.uint8)
    channels = images.shape[1]
    table = np.array([*geometry[:4], *geometry.inverse], np.int64)
    numbers = np.array(looks, np.float64)
    scales = np.array([finish.scale or (1,) * channels, finish.bias or (0,) * channels], np.float32)
    pointers = (
        *(0 if tensor is None else tensor.data_ptr() for tensor in (images, stored, index, sample_ids)),
        views[0].data_ptr(),
        views[1].data_ptr() if len(views) > 1 else 0,
        0 if moved is None else moved.data_ptr(),
        *(array.ctypes.data for array in (table, numbers, scales)),
    )
    _, depth, height, width = size_of(images[:, 0])
    form = (
        channels, images.dim() - 2, planes, images.dtype == torch.float16, KINDS[finish.dtype], bool(finish.scale),
        finish.channels_last,
    )  # fmt: skip
    sizes = (len(index), depth, height, width)
    try:
        cpu().augment(pointers, seed, len(images), form, sizes, torch.get_num_threads())
    except ValueError as error:  # an index beyond the store: looked for there, where it costs nothing
        raise InputError(f"augment: {error}, of which there are {len(images)}") from None
    return (*views, *([] if moved is None else [moved]))
