"""Corrupts masks by a recipe, and says how good what came out still is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from .. import backend as backends
from ..errors import InputError
from ..recipes import Recipe
from ..recipes.operations import LONGEST_SIDE
from . import _check

# QGSSL_NATIVE_CORRUPT=1 lets the C++ kernels serve while not every row is written.
_native = ("native",) if os.environ.get("QGSSL_NATIVE_CORRUPT") else ()
backends.register("corrupt", stem="corrupt", backends=(*_native, "reference"))

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.uint8)


@dataclass(frozen=True)
class Corruption:
    """What :func:`corrupt` made of masks [B, *S].

    masks: uint8 [B, *S], 0 and 1. quality: float32 [B], the Dice of `masks` with what came in; both empty = 1.
    overlap: int32 [B, 1, 3], pixels in both, in `masks`, in the input. rows: int32 [B, 3], numbers in
    ``recipe.rows`` of what was done, in order, -1 = nothing. errors: uint8 [B, *S], 1 where `masks` and the input
    differ, if asked for.
    """

    masks: Tensor
    quality: Tensor
    overlap: Tensor
    rows: Tensor
    errors: Tensor | None = None


class Bank(Protocol):
    """What `corrupt` wants of a :class:`~qgssl_fast.corruption.MaskBank`."""

    def __len__(self) -> int: ...

    @property
    def size(self) -> tuple[int, ...]: ...

    @property
    def snapshots(self) -> int: ...

    @property
    def tables(self) -> Any: ...


def corrupt(
    masks: Tensor,
    recipe: Recipe,
    *,
    seed: int = 0,
    sample_ids: Tensor | None = None,
    bank: Bank | None = None,
    image_ids: Tensor | None = None,
    errors: bool = False,
    backend: str = "auto",
) -> Corruption:
    """A corrupted copy of each mask with its Dice: a function of (seed, sample id), whatever the batch.

    masks: uint8 or bool [B, H, W] or [B, D, H, W], nonzero = 1. seed: [0, 2**64). sample_ids: integers [B], default
    0 .. B-1: give each draw its own. bank: donors for cross_image and weak masks, with image_ids, integers [B], the
    number of each mask's image in it. errors: also return where masks changed.
    Raises TypeError for wrong types; InputError for wrong shapes and values, for a recipe that needs a bank where there
    is none (``recipe.without_bank()`` does not), and for a row that knows 2D masks only on volumes.
    """
    return _run("corrupt", masks, recipe, seed, sample_ids, bank, image_ids, None, errors, backend)


def replay(
    masks: Tensor,
    recipe: Recipe,
    rows: Tensor,
    *,
    seed: int = 0,
    sample_ids: Tensor | None = None,
    bank: Bank | None = None,
    image_ids: Tensor | None = None,
    errors: bool = False,
    backend: str = "auto",
) -> Corruption:
    """Run the given rows, int32 [B, 3] as in ``Corruption.rows``, in place of drawn ones.

    With the seed and sample ids of the batch that they come from, the result is that batch again, byte for byte. Other
    arguments and errors as for :func:`corrupt`.
    """
    if not isinstance(rows, Tensor) or rows.dtype not in _INTEGERS:
        raise TypeError(f"replay: rows must be an int32 Tensor, got {getattr(rows, 'dtype', type(rows).__name__)}")
    return _run("replay", masks, recipe, seed, sample_ids, bank, image_ids, rows, errors, backend)


def _run(
    op: str,
    masks: Tensor,
    recipe: Recipe,
    seed: int,
    sample_ids: Tensor | None,
    bank: Bank | None,
    image_ids: Tensor | None,
    rows: Tensor | None,
    errors: bool,
    backend: str,
) -> Corruption:
    _check.masks(op, "masks", masks)
    if max(masks.shape[1:]) > LONGEST_SIDE:
        raise InputError(f"{op}: sides must be up to {LONGEST_SIDE} px, got {list(masks.shape)}")
    if not isinstance(recipe, Recipe):
        raise TypeError(f"{op}: recipe must be a Recipe (see load_recipe), got {type(recipe).__name__}")
    seed = _check.integer(op, "seed", seed, 0, 2**64 - 1)
    batch = masks.shape[0]
    ids = torch.arange(batch) if sample_ids is None else numbers(op, "sample_ids", sample_ids, batch)
    if rows is None:
        used = recipe.reachable()
    else:
        _check_rows(rows, batch, recipe)
        used = tuple(recipe.rows[i] for i in rows.unique().tolist() if i >= 0)
    if masks.dim() == 4 and (planar := [row.name for row in used if row.operation.planar]):
        raise InputError(f"{op}: {', '.join(planar)}: 2D masks only, got {list(masks.shape)}")
    images = None
    if any(row.operation.bank for row in used):
        images = _check_bank(op, masks, recipe, {row.op for row in used}, bank, image_ids)
    kernel = backends.kernel("corrupt", masks.device, backend)
    tables = None if bank is None else bank.tables
    out, overlap, drawn = kernel(masks, recipe.tables, seed, ids, tables, images, rows)
    changed = (out != masks.to(torch.bool)).to(torch.uint8) if errors else None
    return Corruption(out, dice_of(overlap)[:, 0], overlap, drawn, changed)


def dice_of(overlap: Tensor) -> Tensor:
    """float32 [B, C-1] from int32 [B, C-1, 3]: 2 tp / (|a| + |b|), 1 where both are empty."""
    both = overlap[..., 1] + overlap[..., 2]
    dice = (2 * overlap[..., 0]).float() / both.clamp(min=1).float()
    return torch.where(both == 0, torch.ones_like(dice), dice)


def numbers(op: str, name: str, values: Tensor, batch: int) -> Tensor:
    """int64 [batch] of an integer tensor of that length."""
    if not isinstance(values, Tensor) or values.dtype not in _INTEGERS:
        raise TypeError(f"{op}: {name} must be an int64 Tensor, got {getattr(values, 'dtype', type(values).__name__)}")
    if values.shape != (batch,):
        raise InputError(f"{op}: {name} must be [{batch}], as there are masks, got {list(values.shape)}")
    return values.to(torch.int64)


def _check_rows(rows: Tensor, batch: int, recipe: Recipe) -> None:
    if rows.shape != (batch, 3):
        raise InputError(f"replay: rows must be [{batch}, 3], got {list(rows.shape)}")
    if batch and not -1 <= int(rows.min()) <= int(rows.max()) < len(recipe.rows):  # sync
        wanted = f"-1 .. {len(recipe.rows) - 1} (rows of recipe {recipe.name})"
        raise InputError(f"replay: rows must be in {wanted}, got {int(rows.min())} .. {int(rows.max())}")


def _check_bank(
    op: str, masks: Tensor, recipe: Recipe, ops: set[str], bank: Bank | None, image_ids: Tensor | None
) -> Tensor:
    if bank is None:
        needs = " and ".join(name for name in ("cross_image", "weak") if name in ops)
        way = "give bank= (a MaskBank) or take recipe.without_bank()"
        raise InputError(f"{op}: recipe {recipe.name} draws {needs} masks from a bank: {way}")
    if tuple(bank.size) != tuple(masks.shape[1:]):
        raise InputError(f"{op}: the bank's masks are {list(bank.size)}, but masks are {list(masks.shape[1:])}")
    if "weak" in ops and bank.snapshots == 0:
        way = "bank.add(...) some or take recipe.replace(p_weak=0.0)"
        raise InputError(f"{op}: recipe {recipe.name} draws weak masks, but the bank has no snapshot: {way}")
    if image_ids is None:
        raise InputError(f"{op}: image_ids must say which image of the bank each mask is of, got None")
    images = numbers(op, "image_ids", image_ids, masks.shape[0])
    if len(images) and not 0 <= int(images.min()) <= int(images.max()) < len(bank):  # sync
        raise InputError(
            f"{op}: image_ids must be in 0 .. {len(bank) - 1}, got {int(images.min())} .. {int(images.max())}"
        )
    return images
