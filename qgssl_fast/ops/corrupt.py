"""Corrupts masks by a recipe, and says how good what came out still is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from .. import backend as backends
from ..errors import InputError
from ..recipes import Recipe
from ..recipes.operations import LONGEST_SIDE, OPERATIONS
from . import _check

backends.register("corrupt", stem="corrupt", backends=("cuda", "native", "reference"))

MOST_CLASSES = 256  # labels are bytes
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.uint8)
_BANK_OPS = frozenset(operation.name for operation in OPERATIONS.values() if operation.bank)
_LABEL_OPS = frozenset(name for name, operation in OPERATIONS.items() if operation.labels)
_OUT_DTYPES = (torch.uint8, torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Corruption:
    """What :func:`corrupt` made of masks [B, *S].

    masks: uint8 [B, *S], 0 and 1, or labels, or the `out` that was given; of a recipe that softens, probabilities,
    float32 [B, *S], or [B, C-1, *S] of several classes. quality: float32 [B], or [B, C-1] of several classes, the Dice
    of `masks` with what came in (soft: 2 Σ p t / (Σ p + Σ t)); both empty = 1. overlap: int32 [B, C-1, 3], pixels in
    both, in `masks`, in the input, before softening. rows: int32 [B, 3], numbers in ``recipe.rows`` of what was done,
    in order, -1 = nothing. errors: uint8 [B, *S], or [B, C-1, *S] of several classes, 1 where `masks`, before
    softening, and the input differ, if asked for.
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
    def num_classes(self) -> int: ...

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
    out: Tensor | None = None,
    spacing: Sequence[float] | None = None,
    num_classes: int = 2,
    backend: str = "auto",
) -> Corruption:
    """A corrupted copy of each mask with its Dice: a function of (seed, sample id), whatever the batch.

    masks: uint8 or bool [B, H, W] or [B, D, H, W], nonzero = 1; strided ones are copied first. seed: [0, 2**64).
    sample_ids: integers [B], default 0 .. B-1: give each draw its own. bank: donors for cross_image and weak masks,
    with image_ids, integers [B], the number of each mask's image in it; both kinds of ids on the device of `masks`.
    errors: also return where masks changed.
    out: where the masks go, [B, *S] uint8, float32, float16 or bfloat16 on the device of `masks`, each mask's pixels
    together, as in a channel of a network's input, ``inputs[:, 3]``; it gets what `masks` would hold and is the
    result's `masks`. Of several classes [B, C-1, *S], ``inputs[:, 3:]``, gets a plane for each.
    spacing: of volumes, the sides (z, y, x) of a voxel in any one unit, default equal: a recipe's pixels are those
    along x, and what is round stays round in space.
    num_classes: C > 2: masks hold labels 0 .. C-1. Each class goes through the sample's rows with chance of its own;
    where classes meet, the pixel's true class wins, else the lowest number.
    Raises TypeError for wrong types; InputError for wrong shapes and values, for a recipe that needs a bank where there
    is none (``recipe.without_bank()`` does not), and for a row that knows 2D masks only on volumes.
    """
    return _run(
        "corrupt", masks, recipe, seed, sample_ids, bank, image_ids, None, errors, out, spacing, num_classes, backend
    )


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
    out: Tensor | None = None,
    spacing: Sequence[float] | None = None,
    num_classes: int = 2,
    backend: str = "auto",
) -> Corruption:
    """Run the given rows, int32 [B, 3] as in ``Corruption.rows``, in place of drawn ones.

    With the seed and sample ids of the batch that they come from, the result is that batch again, byte for byte. Other
    arguments and errors as for :func:`corrupt`.
    """
    if not isinstance(rows, Tensor) or rows.dtype not in _INTEGERS:
        raise TypeError(f"replay: rows must be an int32 Tensor, got {getattr(rows, 'dtype', type(rows).__name__)}")
    return _run(
        "replay", masks, recipe, seed, sample_ids, bank, image_ids, rows, errors, out, spacing, num_classes, backend
    )


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
    out: Tensor | None,
    spacing: Sequence[float] | None,
    num_classes: int,
    backend: str,
) -> Corruption:
    _check.masks(op, "masks", masks)
    _check.pixels(op, "masks", masks)
    if max(masks.shape[1:]) > LONGEST_SIDE:
        raise InputError(f"{op}: sides must be up to {LONGEST_SIDE} px, got {list(masks.shape)}")
    if not isinstance(recipe, Recipe):
        raise TypeError(f"{op}: recipe must be a Recipe (see load_recipe), got {type(recipe).__name__}")
    seed = _check.integer(op, "seed", seed, 0, 2**64 - 1)
    ids = numbers(op, "sample_ids", sample_ids, masks)
    if rows is None:
        ops = recipe.reachable_ops
    else:
        _check_rows(rows, masks, recipe)
        ops = frozenset(recipe.rows[i].op for i in rows.unique().tolist() if i >= 0)  # sync
    num_classes = _check.integer(op, "num_classes", num_classes, 2, MOST_CLASSES)
    if num_classes > 2:
        _check.labels(op, "masks", masks, num_classes)
    elif not _LABEL_OPS.isdisjoint(ops):
        rows_of_labels = [row.name for row in recipe.rows if row.op in ops & _LABEL_OPS]
        raise InputError(
            f"{op}: {', '.join(rows_of_labels)}: label maps of two classes or more only (num_classes >= 3)"
        )
    images = None
    if not _BANK_OPS.isdisjoint(ops):
        images = _check_bank(op, masks, recipe, ops, bank, image_ids, num_classes)
    if out is not None:
        _check_out(op, masks, out, num_classes, recipe.softness is not None)
    sides = _check.spacing(op, spacing, masks.dim() - 1)
    kernel = backends.kernel("corrupt", masks.device, backend)
    tables = None if bank is None else bank.tables
    made, quality, overlap, drawn, changed = kernel(
        masks,
        recipe.tables,
        seed,
        ids,
        tables,
        images,
        rows,
        out=out,
        errors=errors,
        spacing=sides,
        num_classes=num_classes,
    )
    return Corruption(made, quality, overlap, drawn, changed)


def numbers(op: str, name: str, values: Tensor | None, masks: Tensor) -> Tensor:
    """int64 [B] of an integer tensor with a number for each of the masks, on their device; None: 0 .. B-1."""
    batch = masks.shape[0]
    if values is None:
        return torch.arange(batch, device=masks.device)
    if not isinstance(values, Tensor) or values.dtype not in _INTEGERS:
        raise TypeError(f"{op}: {name} must be an int64 Tensor, got {getattr(values, 'dtype', type(values).__name__)}")
    if values.shape != (batch,):
        raise InputError(f"{op}: {name} must be [{batch}], as there are masks, got {list(values.shape)}")
    _check.same_device(op, name, values, masks)
    return values if values.dtype is torch.int64 else values.to(torch.int64)


def _check_rows(rows: Tensor, masks: Tensor, recipe: Recipe) -> None:
    batch = masks.shape[0]
    if rows.shape != (batch, 3):
        raise InputError(f"replay: rows must be [{batch}, 3], got {list(rows.shape)}")
    _check.same_device("replay", "rows", rows, masks)
    most = len(recipe.rows) - 1
    _check.within("replay", "rows", rows, -1, most, f"-1 .. {most} (rows of recipe {recipe.name})")


def _check_bank(
    op: str,
    masks: Tensor,
    recipe: Recipe,
    ops: frozenset[str],
    bank: Bank | None,
    image_ids: Tensor | None,
    num_classes: int,
) -> Tensor:
    if bank is None:
        needs = " and ".join(name for name in ("cross_image", "weak") if name in ops)
        way = "give bank= (a MaskBank) or take recipe.without_bank()"
        raise InputError(f"{op}: recipe {recipe.name} draws {needs} masks from a bank: {way}")
    if tuple(bank.size) != tuple(masks.shape[1:]):
        raise InputError(f"{op}: the bank's masks are {list(bank.size)}, but masks are {list(masks.shape[1:])}")
    if bank.num_classes != num_classes:
        raise InputError(f"{op}: the bank's masks have {bank.num_classes} classes, num_classes is {num_classes}")
    if "weak" in ops and bank.snapshots == 0:
        way = "bank.add(...) some or take recipe.replace(p_weak=0.0)"
        raise InputError(f"{op}: recipe {recipe.name} draws weak masks, but the bank has no snapshot: {way}")
    if image_ids is None:
        raise InputError(f"{op}: image_ids must say which image of the bank each mask is of, got None")
    images = numbers(op, "image_ids", image_ids, masks)
    _check.within(op, "image_ids", images, 0, len(bank) - 1, f"0 .. {len(bank) - 1}")
    return images


def _check_out(op: str, masks: Tensor, out: Tensor, num_classes: int, is_soft: bool) -> None:
    if not isinstance(out, Tensor):
        raise TypeError(f"{op}: out must be a Tensor, got {type(out).__name__}")
    dtypes = _OUT_DTYPES[1:] if is_soft else _OUT_DTYPES
    if out.dtype not in dtypes:
        names = [str(dtype).removeprefix("torch.") for dtype in dtypes]
        why = ", as the recipe softens" if is_soft else ""
        raise TypeError(f"{op}: out must be {', '.join(names[:-1])} or {names[-1]}{why}, got {out.dtype}")
    by_class = (masks.shape[0], num_classes - 1, *masks.shape[1:])
    if out.shape != masks.shape and (num_classes == 2 or out.shape != by_class):
        wanted = f"{list(masks.shape)}, as masks are" + (f", or {list(by_class)}" if num_classes > 2 else "")
        raise InputError(f"{op}: out must be {wanted}, got {list(out.shape)}")
    if is_soft and num_classes > 2 and out.shape == masks.shape:
        raise InputError(f"{op}: out must be {list(by_class)}, as the recipe softens, got {list(out.shape)}")
    _check.same_device(op, "out", out, masks)
    if out.requires_grad:
        raise InputError(f"{op}: out must not require a gradient")
    if out.numel() == 0:
        return
    if not out.is_contiguous():
        outer = out.dim() - masks.dim() + 1
        mask = out[(0,) * outer]
        apart, needed = True, mask.numel()
        for stride, side in sorted(zip(out.stride()[:outer], out.shape[:outer])):
            apart &= side == 1 or stride >= needed
            needed = max(stride * side, needed)
        if not mask.is_contiguous() or not apart:
            raise InputError(
                f"{op}: out must hold each mask's pixels together, as inputs[:, 3] does; strides {out.stride()}"
            )
    written, read = _span(out), _span(masks)
    if written[0] < read[1] and read[0] < written[1]:
        raise InputError(f"{op}: out must not share memory with masks")


def _span(tensor: Tensor) -> tuple[int, int]:
    """Addresses of a tensor's first byte and behind its last."""
    first = tensor.data_ptr()
    if tensor.is_contiguous():
        return first, first + tensor.nbytes
    last = sum((side - 1) * stride for side, stride in zip(tensor.shape, tensor.stride()))
    return first, first + (last + 1) * tensor.element_size()
