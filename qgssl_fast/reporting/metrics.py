"""Dice, IoU and HD95 of predicted masks, per sample and class, and their means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qgssl_fast.errors import InputError

_MEASURES = ("dice", "iou", "hd95")
_VOXELS_AT_ONCE = 1 << 23  # distance maps are made for this many voxels at a time: 64 MB of float64


def segmentation_metrics(
    pred: Any, true: Any, num_classes: int = 2, spacing: Sequence[float] | None = None
) -> dict[str, Any]:
    """Dice, IoU and HD95 of every sample, and their means.

    `pred` and `true` are uint8, bool or integer masks [N, H, W] or [N, D, H, W] (tensors or arrays) with labels
    0..num_classes-1; in binary masks any non-zero value is foreground. `spacing` is the size of a voxel along each axis
    in mm; without it HD95 is in pixels.

    Returns float64 arrays "dice", "iou", "hd95", [N] when binary and [N, C-1] otherwise, and "summary", see
    :func:`summarise`. Both masks empty: Dice 1, IoU 1, HD95 0. One empty: Dice 0, IoU 0, HD95 the image's diagonal.
    """
    p, t = _masks("pred", pred, num_classes), _masks("true", true, num_classes)
    if p.shape != t.shape:
        raise InputError(f"segmentation_metrics: pred and true must have one shape, got {_size(p)} and {_size(t)}")
    t = t.to(p.device)
    steps = _steps(spacing, p.ndim - 1)
    columns: list[dict[str, np.ndarray]] = []
    for label in range(1, num_classes):
        a, b = (p != 0, t != 0) if num_classes == 2 else (p == label, t == label)
        both, size_a, size_b = (x.flatten(1).sum(1).double() for x in (a & b, a, b))
        dice = torch.where(size_a + size_b == 0, 1.0, 2 * both / (size_a + size_b).clamp(min=1))
        iou = torch.where(size_a + size_b == 0, 1.0, both / (size_a + size_b - both).clamp(min=1))
        columns.append({"dice": dice.cpu().numpy(), "iou": iou.cpu().numpy(), "hd95": hd95(a, b, steps)})
    found: dict[str, Any] = {}
    for name in _MEASURES:
        values = np.stack([column[name] for column in columns], 1)
        found[name] = values[:, 0] if num_classes == 2 else values
    found["summary"] = summarise(found)
    return found


def summarise(metrics: dict[str, Any]) -> dict[str, Any]:
    """Means and standard deviations over the samples, ready for JSON: "n", "dice", "dice_sd", "iou", "iou_sd", ...

    A sample's value is the mean over its classes; multi-class arrays also give "dice_per_class" and so on, lists of
    C-1 means. The standard deviation is that of a sample (n - 1), 0 for a single one. Without samples: {"n": 0}.
    """
    count = len(metrics["dice"])
    summary: dict[str, Any] = {"n": count}
    if count == 0:
        return summary
    for name in _MEASURES:
        values = np.asarray(metrics[name], dtype=np.float64)
        if values.ndim == 2:
            summary[f"{name}_per_class"] = values.mean(0).tolist()
            values = values.mean(1)
        summary[name] = float(values.mean())
        summary[f"{name}_sd"] = float(values.std(ddof=1)) if count > 1 else 0.0
    return summary


def plus_minus(mean: float, sd: float, digits: int = 3) -> str:
    """ "0.912 ± 0.034", for tables."""
    return f"{mean:.{digits}f} ± {sd:.{digits}f}"


def hd95(a: Tensor, b: Tensor, spacing: Sequence[float] | None = None) -> np.ndarray:
    """95th percentile of the Hausdorff distance of bool masks [N, *S]: float64 [N], in pixels or `spacing`'s unit.

    A mask's surface is its foreground with a face neighbour in the background or outside the image. The larger of the
    two directed percentiles counts, linearly interpolated, as in MONAI's `compute_hausdorff_distance(percentile=95)`,
    which needs SciPy. Both empty: 0; one empty: the diagonal of the image.
    """
    steps = _steps(spacing, a.ndim - 1)
    diagonal = math.sqrt(sum((n * s) ** 2 for n, s in zip(a.shape[1:], steps)))
    found = np.zeros(len(a))
    has_a, has_b = (x.flatten(1).any(1).cpu().numpy() for x in (a, b))
    found[has_a != has_b] = diagonal
    pairs = np.flatnonzero(has_a & has_b)
    stride = max(1, _VOXELS_AT_ONCE // max(1, 2 * a[0].numel())) if len(pairs) else 1
    for start in range(0, len(pairs), stride):
        chunk = torch.as_tensor(pairs[start : start + stride], device=a.device)
        near = _crop(torch.stack([a[chunk], b[chunk]]))
        surfaces = _surface(near.flatten(0, 1))
        far = _distance(surfaces, steps)
        n = len(chunk)
        for k in range(n):
            there, back = far[n + k][surfaces[k]], far[k][surfaces[n + k]]
            found[pairs[start + k]] = max(np.percentile(x.cpu().numpy(), 95) for x in (there, back))
    return found


def _crop(masks: Tensor) -> Tensor:
    """To the foreground's box over all masks [2, N, *S], with a margin of background where there is one."""
    for axis in range(2, masks.ndim):
        used = masks.flatten(0, 1).transpose(0, axis - 1).flatten(1).any(1).nonzero()
        low, high = max(int(used[0]) - 1, 0), min(int(used[-1]) + 2, masks.shape[axis])
        masks = masks.narrow(axis, low, high - low)
    return masks


def _surface(masks: Tensor) -> Tensor:
    inside = masks.clone()
    for axis in range(1, masks.ndim):
        n = masks.shape[axis]
        for near, far in ((0, 1), (1, 0)):
            inside.narrow(axis, near, n - 1).logical_and_(masks.narrow(axis, far, n - 1))
        inside.select(axis, 0).zero_()
        inside.select(axis, n - 1).zero_()
    return masks & ~inside


def _distance(points: Tensor, steps: Sequence[float]) -> Tensor:
    """Exact Euclidean distance of every voxel to the nearest of `points`: one minimum of parabolas an axis.

    After Felzenszwalb and Huttenlocher 2012, but trying all n parabolas of an axis in place of their lower envelope.
    """
    squared = torch.where(points, 0.0, math.inf).double()
    for axis, step in enumerate(steps, start=1):
        n = squared.shape[axis]
        place = torch.arange(n, dtype=torch.float64, device=points.device) * step
        shape = [1] * squared.ndim
        shape[axis] = n
        best = torch.full_like(squared, math.inf)
        for j in range(n):
            torch.minimum(best, squared.narrow(axis, j, 1) + ((place - place[j]) ** 2).view(shape), out=best)
        squared = best
    return squared.sqrt()


def _masks(name: str, masks: Any, num_classes: int) -> Tensor:
    if num_classes < 2:
        raise InputError(f"segmentation_metrics: num_classes must be >= 2, got {num_classes}")
    tensor = torch.as_tensor(masks)
    if tensor.is_floating_point() or tensor.is_complex():
        raise TypeError(f"segmentation_metrics: {name} must hold labels (uint8, bool or integers), got {tensor.dtype}")
    if tensor.ndim not in (3, 4):
        raise InputError(f"segmentation_metrics: {name} must be [N, H, W] or [N, D, H, W], got {_size(tensor)}")
    if min(tensor.shape[1:]) == 0:
        raise InputError(f"segmentation_metrics: {name} has a side of 0: {_size(tensor)}")
    if num_classes > 2 and tensor.numel():
        low, high = int(tensor.min()), int(tensor.max())
        if low < 0 or high >= num_classes:
            raise InputError(f"segmentation_metrics: {name} must have labels 0..{num_classes - 1}, got {low}..{high}")
    return tensor


def _steps(spacing: Sequence[float] | None, dims: int) -> tuple[float, ...]:
    steps = (1.0,) * dims if spacing is None else tuple(float(s) for s in spacing)
    if len(steps) != dims or not all(math.isfinite(s) and s > 0 for s in steps):
        raise InputError(f"segmentation_metrics: spacing must be {dims} positive numbers, got {spacing}")
    return steps


def _size(tensor: Tensor) -> list[int]:
    return list(tensor.shape)
