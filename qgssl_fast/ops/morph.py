"""Erosion, dilation, opening and closing of masks by a square (2D) or a cube (3D) of side 2 radius + 1.

What lies outside the image is ignored: a mask that touches the border is not eroded from there (as in OpenCV).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .. import backend as backends
from ..errors import InputError
from . import _check
from ._library import define, direct

_NAMES = ("erode", "dilate", "opening", "closing")


def erode(masks: Tensor, radius: int, *, out: Tensor | None = None, backend: str = "auto") -> Tensor:
    """1 where the whole window is 1.

    masks: uint8 or bool [B, H, W] or [B, D, H, W], any strides; nonzero counts as 1. radius: pixels, >= 0, may exceed
    the image. out: where the result goes, contiguous, shape, dtype and device of `masks`; `masks` itself may be given,
    no other tensor that shares memory with it. None: a new contiguous tensor, which for a large batch takes longer to
    come by than the erosion. Returns the result, 0 and 1. backend: see ``backend``.
    TypeError for other dtypes (floats are not thresholded); InputError for other shapes, radii, backends, outs.
    """
    return _call("erode", masks, radius, out, backend)


def dilate(masks: Tensor, radius: int, *, out: Tensor | None = None, backend: str = "auto") -> Tensor:
    """1 where any pixel of the window is 1. Arguments, result and errors as for :func:`erode`."""
    return _call("dilate", masks, radius, out, backend)


def opening(masks: Tensor, radius: int, *, out: Tensor | None = None, backend: str = "auto") -> Tensor:
    """Erosion, then dilation: drops what the window does not fit into. Arguments as for :func:`erode`."""
    return _call("opening", masks, radius, out, backend)


def closing(masks: Tensor, radius: int, *, out: Tensor | None = None, backend: str = "auto") -> Tensor:
    """Dilation, then erosion: fills what the window does not fit into. Arguments as for :func:`erode`."""
    return _call("closing", masks, radius, out, backend)


def _call(op: str, masks: Tensor, radius: int, out: Tensor | None, backend: str) -> Tensor:
    if direct(masks):
        return _serve(op, masks, radius, out, backend)
    _check.masks(op, "masks", masks)
    made: Tensor = _operators[op](masks, _check.integer(op, "radius", radius, 0), backend)
    return made if out is None else out.copy_(made)


def _serve(op: str, masks: Tensor, radius: int, out: Tensor | None, backend: str) -> Tensor:
    _check.masks(op, "masks", masks)
    _check.pixels(op, "masks", masks)
    radius = _check.integer(op, "radius", radius, 0)
    if out is not None:
        _check_out(op, masks, out)
    kernel = backends.kernel(op, masks.device, backend)
    if masks.shape[0] == 0:
        return torch.empty(masks.shape, dtype=masks.dtype, device=masks.device) if out is None else out
    made: Tensor = kernel(masks, radius, out)
    return made


def _check_out(op: str, masks: Tensor, out: Tensor) -> None:
    if not isinstance(out, Tensor):
        raise TypeError(f"{op}: out must be a Tensor, got {type(out).__name__}")
    if out.dtype is not masks.dtype:
        raise TypeError(f"{op}: out must be {masks.dtype} like masks, got {out.dtype}")
    if out.shape != masks.shape or out.device != masks.device:
        wanted = f"{list(masks.shape)} on {masks.device}"
        raise InputError(f"{op}: out must be {wanted} like masks, got {list(out.shape)} on {out.device}")
    if not out.is_contiguous():
        raise InputError(f"{op}: out must be contiguous, got strides {out.stride()}")
    apart = abs(out.data_ptr() - masks.data_ptr())
    if apart >= out.numel() and masks.is_contiguous():
        return
    same = apart == 0 and masks.is_contiguous()
    if not same and out.untyped_storage().data_ptr() == masks.untyped_storage().data_ptr():
        raise InputError(f"{op}: out must be masks itself or share no memory with it")


def _register(op: str):  # type: ignore[no-untyped-def]
    backends.register(op, stem="morph", backends=backends.NAMES)
    return define(
        f"{op}(Tensor masks, int radius, str backend='auto') -> Tensor",
        lambda masks, radius, backend="auto": _serve(op, masks, radius, None, backend),
        lambda masks, radius, backend="auto": torch.empty(masks.shape, dtype=masks.dtype, device=masks.device),
    )


_operators = {op: _register(op) for op in _NAMES}
