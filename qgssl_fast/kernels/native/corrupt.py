"""Whole programs on bits, in C++, for CPU tensors."""

from __future__ import annotations

import functools

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
    num_classes: int = 2,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    masks, sample_ids = masks.contiguous(), sample_ids.cpu().contiguous()
    batch = masks.shape[0]
    planes = masks.shape if num_classes == 2 else (batch, num_classes - 1, *masks.shape[1:])
    is_soft = tables.softness[0] > 0
    if out is None:
        out = torch.empty(planes, dtype=torch.float32) if is_soft else torch.empty(masks.shape, dtype=torch.uint8)
    overlap = torch.empty((batch, num_classes - 1, 3), dtype=torch.int32)
    quality = torch.empty(batch if num_classes == 2 else (batch, num_classes - 1))
    drawn = torch.empty((batch, 3), dtype=torch.int32)
    changed = torch.empty(planes, dtype=torch.uint8) if errors else None
    images = None if image_ids is None else image_ids.cpu().contiguous()
    given = None if rows is None else rows.to("cpu", torch.int32).contiguous()
    steps = (out.stride(0) * out.element_size(), out.stride(1) * out.element_size() if out.dim() > masks.dim() else 0)
    numbers = numbers_of(out.dtype, is_soft)
    cpu().corrupt(
        (
            *(masks.data_ptr(), out.data_ptr(), _KINDS[out.dtype], *steps, numbers.data_ptr(), _pointer(changed)),
            *(overlap.data_ptr(), quality.data_ptr(), drawn.data_ptr()),
        ),
        *(size_of(masks), (masks.dim() - 1, num_classes, *spacing), *tables.address),
        (seed, sample_ids.data_ptr(), _pointer(images), _pointer(given)),
        *(_NO_BANK if bank is None else bank.numbers, torch.get_num_threads()),
    )
    return out, quality, overlap, drawn, changed


@functools.cache
def numbers_of(dtype: torch.dtype, is_soft: bool) -> Tensor:
    """[256]: what stands for label k, or for the probability k / 255."""
    numbers = torch.arange(256, dtype=torch.float32)
    return (numbers / 255 if is_soft else numbers).to(dtype)


def _pointer(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()
