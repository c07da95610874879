"""Erosion, dilation, opening and closing of masks by a square (2D) or a cube (3D) of side 2 radius + 1.

What lies outside the image is ignored: a mask that touches the border is not eroded from there (as in OpenCV).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .. import backend as backends
from . import _check
from ._library import define, direct

_NAMES = ("erode", "dilate", "opening", "closing")


def erode(masks: Tensor, radius: int, *, backend: str = "auto") -> Tensor:
    """1 where the whole window is 1.

    masks: uint8 or bool [B, H, W] or [B, D, H, W], any strides; nonzero counts as 1. radius: pixels, >= 0, may exceed
    the image. Returns a new contiguous tensor of the same shape and dtype with 0 and 1. backend: see ``backend``.
    TypeError for other dtypes (floats are not thresholded); InputError for other shapes, radii, backends.
    """
    return _call("erode", masks, radius, backend)


def dilate(masks: Tensor, radius: int, *, backend: str = "auto") -> Tensor:
    """1 where any pixel of the window is 1. Arguments, result and errors as for :func:`erode`."""
    return _call("dilate", masks, radius, backend)


def opening(masks: Tensor, radius: int, *, backend: str = "auto") -> Tensor:
    """Erosion, then dilation: drops what the window does not fit into. Arguments as for :func:`erode`."""
    return _call("opening", masks, radius, backend)


def closing(masks: Tensor, radius: int, *, backend: str = "auto") -> Tensor:
    """Dilation, then erosion: fills what the window does not fit into. Arguments as for :func:`erode`."""
    return _call("closing", masks, radius, backend)


def _call(op: str, masks: Tensor, radius: int, backend: str) -> Tensor:
    if direct(masks):
        return _serve(op, masks, radius, backend)
    _check.masks(op, "masks", masks)
    out: Tensor = _operators[op](masks, _check.integer(op, "radius", radius, 0), backend)
    return out


def _serve(op: str, masks: Tensor, radius: int, backend: str) -> Tensor:
    _check.masks(op, "masks", masks)
    _check.pixels(op, "masks", masks)
    radius = _check.integer(op, "radius", radius, 0)
    kernel = backends.kernel(op, masks.device, backend)
    if masks.shape[0] == 0:
        return torch.empty(masks.shape, dtype=masks.dtype, device=masks.device)
    out: Tensor = kernel(masks, radius)
    return out


def _register(op: str):  # type: ignore[no-untyped-def]
    backends.register(op, stem="morph", backends=backends.NAMES)
    return define(
        f"{op}(Tensor masks, int radius, str backend='auto') -> Tensor",
        lambda masks, radius, backend="auto": _serve(op, masks, radius, backend),
        lambda masks, radius, backend="auto": torch.empty(masks.shape, dtype=masks.dtype, device=masks.device),
    )


_operators = {op: _register(op) for op in _NAMES}
