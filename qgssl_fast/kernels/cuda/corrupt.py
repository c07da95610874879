"""Whole programs on bits, in CUDA."""

from __future__ import annotations

import torch
from torch import Tensor

from ...recipes.tables import Tables
from ..native.corrupt import NO_BANK, Results, numbers_of, pointer
from ..reference.bank import BankTables
from ..reference.program import ISOTROPIC
from . import copy_of, launch


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
    masks, sample_ids, device = masks.contiguous(), sample_ids.contiguous(), masks.device
    results = Results.empty(masks, tables, out, errors, num_classes)
    images = None if image_ids is None else image_ids.contiguous()
    given = None if rows is None else rows.to(torch.int32).contiguous()
    recipe = copy_of("corrupt", tables.flat, device)
    numbers = copy_of("corrupt", numbers_of(results.masks.dtype, tables.softness[0] > 0), device)
    there: tuple[int, ...] = NO_BANK
    if bank is not None:
        arrays = (bank.truth, bank.weak, bank.order, bank.rank, bank.low)
        there = (*(copy_of("corrupt", array, device).data_ptr() for array in arrays), *bank.numbers[5:])
    launch(
        "corrupt",
        "corrupt",
        results.pointers(masks, numbers.data_ptr()),
        *results.frame(masks, spacing, num_classes),
        *(*tables.address, recipe.data_ptr()),
        (seed, sample_ids.data_ptr(), pointer(images), pointer(given)),
        there,
        device=device,
    )
    return results.told()
