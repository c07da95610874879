"""Draws a program for each mask and runs it: the definition of `corrupt`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ...recipes.operations import BY_CODE
from ...recipes.tables import Tables
from . import bank as banks
from . import edge, fill, morph, parts, shape, spots, warp
from .program import ISOTROPIC, POSITIONS, Draw, Program

Rowwise = Callable[[np.ndarray, np.ndarray, Draw], np.ndarray]


def corrupt(
    masks: Tensor,
    tables: Tables,
    seed: int,
    sample_ids: Tensor,
    bank: banks.BankTables | None = None,
    image_ids: Tensor | None = None,
    rows: Tensor | None = None,
    out: Tensor | None = None,
    errors: bool = False,
    spacing: tuple[int, int] = ISOTROPIC,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    """masks uint8 or bool [B, *S] -> (uint8 [B, *S], Dice float32 [B], overlap int32 [B, 1, 3], rows int32 [B, 3],
    errors or None).

    rows, where given, are run in place of drawn ones, with the words of (seed, sample id) all the same. out: takes the
    masks and is returned in their place. errors: whether to tell where masks changed, uint8 [B, *S]. spacing: as
    `Draw` has it.
    """
    truth = (masks != 0).to("cpu", torch.uint8).contiguous()
    ids = sample_ids.cpu().numpy()
    images = None if image_ids is None else image_ids.cpu().numpy()
    program = Program(tables, seed, ids, None if rows is None else rows.cpu().numpy(), spacing)
    made = truth.numpy().copy()
    for position in range(POSITIONS):
        drawn = program.rows[:, position]
        for row in np.unique(drawn[drawn >= 0]):
            chosen = np.flatnonzero(drawn == row)
            operation = BY_CODE[int(tables.rows[row, 0])]
            if operation.bank:
                assert bank is not None
                assert images is not None
                donor = getattr(banks, operation.name)
                made[chosen] = donor(bank, images[chosen], program.donor[chosen])
            else:
                function = ROWS[operation.name]
                made[chosen] = function(made[chosen], tables.rows[row, 1:], program.draw(position, chosen))
    device, counts, masks_made = masks.device, _overlap(made, truth.numpy()), torch.from_numpy(made)
    changed = (masks_made ^ truth).to(device) if errors else None
    result = masks_made.to(device) if out is None else out.copy_(masks_made)
    quality = _dice(counts.numpy()[:, 0])
    return (
        result,
        torch.from_numpy(quality).to(device),
        counts.to(device),
        torch.from_numpy(program.rows).to(device),
        changed,
    )


def _dice(counts: np.ndarray) -> np.ndarray:
    """float32 [B]: 2 both / (a + b), each rounded once; 1 where both masks are empty."""
    both, total = np.float32(counts[:, 0]), np.float32(counts[:, 1].astype(np.int64) + counts[:, 2])
    return np.where(total > 0, 2 * both / np.maximum(total, 1), np.float32(1))


def _overlap(out: np.ndarray, truth: np.ndarray) -> Tensor:
    # As overlap.overlap has it, four times as fast.
    count = np.count_nonzero
    counts = [[[count(a & b), count(a), count(b)]] for a, b in zip(out, truth)]
    return torch.tensor(counts, dtype=torch.int32).reshape(len(out), 1, 3)


def _morph(function: Callable[[Tensor, morph.Radius], Tensor]) -> Rowwise:
    def row(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
        return function(torch.from_numpy(masks), draw.radii(int(params[0]), masks.ndim - 1)).numpy()

    return row


ROWS: dict[str, Rowwise] = {name: _morph(getattr(morph, name)) for name in ("erode", "dilate", "opening", "closing")}
ROWS |= {
    name: getattr(family, name)
    for family, names in (
        (edge, ("jagged", "smooth")),
        (warp, ("shift", "affine", "grid", "elastic")),
        (spots, ("holes", "islands", "holes_and_islands", "rect_dropout")),
        (shape, ("ellipse", "polygon", "convex_hull", "bounding_box", "circular_blob", "gaussian_blob")),
        (parts, ("largest_only", "drop_component")),
        (fill, ("invert", "empty", "full", "random", "identity")),
    )
    for name in names
}
