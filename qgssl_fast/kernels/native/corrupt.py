"""Whole programs on bits, in C++, for CPU tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from ...recipes.tables import Tables
from ..reference.bank import BankTables
from ..reference.program import ISOTROPIC
from . import cpu, size_of

_KINDS = {torch.uint8: 0, torch.float32: 1, torch.float16: 2, torch.bfloat16: 3}  # csrc/task.h: OutKind
_NO_BANK = (0,) * 8


def corrupt(
    masks: Tensor,
    tables: Tables,
    seed: int,
    sample_ids: Tensor,
    bank: BankTables | None = None,
    image_ids: Tensor | None = None,
    rows: Tensor | None = None,
    out: Tensor | None = None,
    errors: bool = False,
    spacing: tuple[int, int] = ISOTROPIC,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    masks, sample_ids = masks.contiguous(), sample_ids.cpu().contiguous()
    batch = masks.shape[0]
    if out is None:
        out = torch.empty(masks.shape, dtype=torch.uint8)
    overlap = torch.empty((batch, 1, 3), dtype=torch.int32)
    quality = torch.empty(batch)
    drawn = torch.empty((batch, 3), dtype=torch.int32)
    changed = torch.empty(masks.shape, dtype=torch.uint8) if errors else None
    images = None if image_ids is None else image_ids.cpu().contiguous()
    given = None if rows is None else rows.to("cpu", torch.int32).contiguous()
    step = out.stride(0) * out.element_size()
    cpu().corrupt(
        (
            *(masks.data_ptr(), out.data_ptr(), _KINDS[out.dtype], step, _pointer(changed)),
            *(overlap.data_ptr(), quality.data_ptr(), drawn.data_ptr()),
        ),
        *(size_of(masks), (masks.dim() - 1, *spacing), *tables.address),
        (seed, sample_ids.data_ptr(), _pointer(images), _pointer(given)),
        *(_NO_BANK if bank is None else bank.numbers, torch.get_num_threads()),
    )
    return out, quality, overlap, drawn, changed


def _pointer(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()
