"""Whole programs on bits, in C++, for CPU tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...recipes.tables import Tables
from . import cpu, size_of

_NO_BANK = (0,) * 8


def corrupt(
    masks: Tensor,
    tables: Tables,
    seed: int,
    sample_ids: Tensor,
    bank: Any = None,
    image_ids: Tensor | None = None,
    rows: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    masks = masks.contiguous()
    batch = masks.shape[0]
    out = torch.empty(masks.shape, dtype=torch.uint8)
    overlap = torch.empty((batch, 1, 3), dtype=torch.int32)
    drawn = torch.empty((batch, 3), dtype=torch.int32)
    ids = sample_ids.to("cpu", torch.int64).contiguous()
    images = None if image_ids is None else image_ids.to("cpu", torch.int64).contiguous()
    given = None if rows is None else rows.to("cpu", torch.int32).contiguous()
    table = tables.flat
    step = out.stride(0) if batch else 0
    cpu().corrupt(
        (masks.data_ptr(), out.data_ptr(), 0, step, 0, overlap.data_ptr(), drawn.data_ptr()),
        *(size_of(masks), table.ctypes.data, len(table)),
        (seed, ids.data_ptr(), 0 if images is None else images.data_ptr(), 0 if given is None else given.data_ptr()),
        _NO_BANK if bank is None else _pointers(bank),
        torch.get_num_threads(),
    )
    return out, overlap, drawn


def _pointers(bank: Any) -> tuple[int, ...]:
    arrays = (bank.truth, bank.weak, bank.order, bank.rank, bank.low)
    return (*(array.ctypes.data for array in arrays), bank.donors, len(bank.weak), len(bank.truth))
