"""Whole programs on bits, in C++, for CPU tensors."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...recipes.tables import Tables
from ..reference.bank import BankTables
from ..reference.program import ISOTROPIC
from . import cpu, in_large_pages, size_of

_KINDS = {torch.uint8: 0, torch.float32: 1, torch.float16: 2, torch.bfloat16: 3}  # csrc/task.h: OutKind
NO_BANK = (0,) * 8


@dataclass
class Results:
    """What a kernel fills, on the device of the masks."""

    masks: Tensor
    quality: Tensor
    overlap: Tensor
    rows: Tensor
    errors: Tensor | None

    @classmethod
    def empty(cls, masks: Tensor, tables: Tables, out: Tensor | None, errors: bool, num_classes: int) -> Results:
        batch, classes = masks.shape[0], num_classes - 1
        planes = masks.shape if num_classes == 2 else (batch, classes, *masks.shape[1:])
        if out is None:
            is_soft = tables.softness[0] > 0
            shape, dtype = (planes, torch.float32) if is_soft else (masks.shape, torch.uint8)
            out = in_large_pages(torch.empty(shape, dtype=dtype, device=masks.device))
        new = out.new_empty  # a third sooner than torch.empty
        return cls(
            out,
            new(batch if num_classes == 2 else (batch, classes), dtype=torch.float32),
            new((batch, classes, 3), dtype=torch.int32),
            new((batch, 3), dtype=torch.int32),
            in_large_pages(new(planes, dtype=torch.uint8)) if errors else None,
        )

    def pointers(self, masks: Tensor, numbers: int) -> tuple[int, ...]:
        """csrc/validate.h: Masks."""
        out, size = self.masks, self.masks.element_size()
        steps = (out.stride(0) * size, out.stride(1) * size if out.dim() > masks.dim() else 0)
        return (
            *(masks.data_ptr(), out.data_ptr(), _KINDS[out.dtype], *steps, numbers, pointer(self.errors)),
            *(self.overlap.data_ptr(), self.quality.data_ptr(), self.rows.data_ptr()),
        )

    @staticmethod
    def frame(masks: Tensor, spacing: tuple[int, int], num_classes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """csrc/validate.h: Size and Frame."""
        return size_of(masks), (masks.dim() - 1, num_classes, *spacing)

    def told(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        return self.masks, self.quality, self.overlap, self.rows, self.errors


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
    results = Results.empty(masks, tables, out, errors, num_classes)
    images = None if image_ids is None else image_ids.cpu().contiguous()
    given = None if rows is None else rows.to("cpu", torch.int32).contiguous()
    cpu().corrupt(
        results.pointers(masks, _numbers_at(results.masks.dtype, tables.softness[0] > 0)),
        *results.frame(masks, spacing, num_classes),
        *tables.address,
        (seed, sample_ids.data_ptr(), pointer(images), pointer(given)),
        *(NO_BANK if bank is None else bank.numbers, torch.get_num_threads()),
    )
    return results.told()


@functools.cache
def numbers_of(dtype: torch.dtype, is_soft: bool) -> np.ndarray:
    """Bytes of 256 numbers of `dtype`: what stands for label k, or for the probability k / 255."""
    numbers = torch.arange(256, dtype=torch.float32)
    return (numbers / 255 if is_soft else numbers).to(dtype).view(torch.uint8).numpy()


@functools.cache
def _numbers_at(dtype: torch.dtype, is_soft: bool) -> int:
    return numbers_of(dtype, is_soft).ctypes.data  # NumPy takes as long to tell an address as two checks do


def pointer(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()
