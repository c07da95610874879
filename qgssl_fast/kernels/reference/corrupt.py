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
from . import labels as label_maps
from .program import ISOTROPIC, POSITIONS, Draw, Program
from .soft import soft_dice, soften

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
    num_classes: int = 2,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    """masks uint8 or bool [B, *S] -> (uint8 [B, *S], Dice float32 [B], overlap int32 [B, 1, 3], rows int32 [B, 3],
    errors or None).

    rows, where given, are run in place of drawn ones, with the words of (seed, sample id) all the same. out: takes the
    masks and is returned in their place. errors: whether to tell where masks changed, uint8 [B, *S]. spacing: as
    `Draw` has it. With num_classes = C > 2, masks hold labels, and Dice is [B, C - 1], overlap [B, C - 1, 3], errors
    [B, C - 1, *S]; what comes out are labels [B, *S], or one plane a class if `out` is [B, C - 1, *S]. Where the recipe
    softens, probabilities come out, float32 where `out` does not say else, [B, C - 1, *S] for several classes.
    """
    labels = masks.cpu().numpy()
    truth = (labels != 0)[None] if num_classes == 2 else np.stack([labels == c for c in range(1, num_classes)])
    truth = truth.astype(np.uint8)
    ids = sample_ids.cpu().numpy()
    images = None if image_ids is None else image_ids.cpu().numpy()
    program = Program(tables, seed, ids, None if rows is None else rows.cpu().numpy(), spacing)
    made = truth.copy()
    for position in range(POSITIONS):
        drawn = program.rows[:, position]
        for row in np.unique(drawn[drawn >= 0]):
            chosen = np.flatnonzero(drawn == row)
            operation, params = BY_CODE[int(tables.rows[row, 0])], tables.rows[row, 1:]
            if operation.bank:
                assert bank is not None
                assert images is not None
                donor = getattr(banks, operation.name)
                made[:, chosen] = donor(bank, images[chosen], program.donor[chosen]).swapaxes(0, 1)
            elif operation.labels:
                made[:, chosen] = label_maps.ROWS[operation.name](
                    made[:, chosen], params, program.draw(position, chosen)
                )
            else:
                function = ROWS[operation.name]
                for c in range(num_classes - 1):
                    made[c, chosen] = function(made[c, chosen], params, program.draw(position, chosen, c + 1))
    if num_classes > 2:
        made = label_maps.settle(made, truth)
    made, truth = made.swapaxes(0, 1), truth.swapaxes(0, 1)  # [B, C - 1, *S]
    counts = np.stack([_overlap(m, t) for m, t in zip(made, truth)]) if len(made) else np.zeros((0, num_classes - 1, 3))
    counts = counts.astype(np.int32)
    quality = _dice(counts)
    planes = made
    if tables.softness[0]:
        planes = 255 * made
        for k, (radius, sharpness) in enumerate(program.softness(tables).tolist()):
            if radius:
                planes[k] = soften(made[k], radius, sharpness, program.draw(0, np.array([k])))
                quality[k] = [soft_dice(levels, t) for levels, t in zip(planes[k], truth[k])]
    device = masks.device
    result = _written(planes, bool(tables.softness[0]), out, num_classes == 2, device)
    changed = torch.from_numpy(made ^ truth).to(device) if errors else None
    return (
        result,
        torch.from_numpy(quality[:, 0] if num_classes == 2 else quality).to(device),
        torch.from_numpy(counts).to(device),
        torch.from_numpy(program.rows).to(device),
        changed[:, 0] if changed is not None and num_classes == 2 else changed,
    )


def _written(planes: np.ndarray, is_soft: bool, out: Tensor | None, is_binary: bool, device: torch.device) -> Tensor:
    """Planes [B, C - 1, *S] of 0 and 1, or of levels, as they are wanted."""
    values = torch.from_numpy(planes).float() / 255 if is_soft else torch.from_numpy(planes)
    by_class = out.dim() == planes.ndim if out is not None else is_soft and not is_binary
    if is_binary:
        values = values[:, 0]
    elif not by_class:
        numbers = torch.arange(1, planes.shape[1] + 1, dtype=torch.uint8).reshape(-1, *(1,) * (planes.ndim - 2))
        values = (values * numbers).sum(dim=1, dtype=torch.uint8)
    return values.to(device) if out is None else out.copy_(values)


def _dice(counts: np.ndarray) -> np.ndarray:
    """float32 [...]: 2 both / (a + b), each rounded once; 1 where both masks are empty."""
    both, total = np.float32(counts[..., 0]), np.float32(counts[..., 1].astype(np.int64) + counts[..., 2])
    return np.where(total > 0, 2 * both / np.maximum(total, 1), np.float32(1))


def _overlap(out: np.ndarray, truth: np.ndarray) -> np.ndarray:
    # As overlap.overlap has it, four times as fast.
    count = np.count_nonzero
    return np.array([[count(a & b), count(a), count(b)] for a, b in zip(out, truth)], np.int32)


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
