"""Checks of arguments that several operations share. Each error names the operation and the argument."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InputError
from ..recipes.operations import SPACING_ONE

MASK_DTYPES = (torch.uint8, torch.bool)


def masks(op: str, name: str, value: Tensor) -> None:
    """uint8 or bool, [B, H, W] or [B, D, H, W], no empty side but the batch."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{op}: {name} must be a Tensor, got {type(value).__name__}")
    if value.dtype not in MASK_DTYPES:
        raise TypeError(f"{op}: {name} must be uint8 or bool (threshold it first), got {value.dtype}")
    shape = value.shape
    if len(shape) not in (3, 4):
        raise InputError(f"{op}: {name} must be [B, H, W] or [B, D, H, W], got {list(shape)}")
    if 0 in shape[1:]:
        raise InputError(f"{op}: {name} must hold at least one pixel each, got {list(shape)}")


def same_shape(op: str, a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise InputError(f"{op}: both masks must have one shape, got {list(a.shape)} and {list(b.shape)}")
    if a.device != b.device:
        raise InputError(f"{op}: both masks must be on one device, got {a.device} and {b.device}")


def same_device(op: str, name: str, value: Tensor, masks: Tensor) -> None:
    if value.device != masks.device:
        raise InputError(f"{op}: {name} must be on {masks.device}, as masks are, got {value.device}")


def pixels(op: str, name: str, value: Tensor) -> None:
    """Kernels number the pixels of a mask by int32."""
    if math.prod(value.shape[1:]) > 2**31 - 1:
        raise InputError(f"{op}: {name} must have fewer than 2^31 pixels each, got {list(value.shape)}")


def within(op: str, name: str, values: Tensor, low: int, high: int, text: str) -> None:
    """All values are low .. high: seen at once on a CPU, elsewhere by an asynchronous assertion, so that the host need
    not wait. `text` says what is wanted."""
    if values.numel() == 0:
        return
    if values.device.type != "cpu":
        torch._assert_async(((values >= low) & (values <= high)).all(), f"{op}: {name} must be in {text}")
        return
    found = values.numpy()  # a small array's ends are found sooner than a small tensor's
    least, most = int(found.min()), int(found.max())
    if least < low or most > high:
        raise InputError(f"{op}: {name} must be in {text}, got {least} .. {most}")


def labels(op: str, name: str, value: Tensor, num_classes: int) -> None:
    """Labels below num_classes: at once on a CPU, elsewhere by an asynchronous assertion, so that the host need not
    wait."""
    if value.dtype == torch.bool or value.numel() == 0:
        return
    largest = value.amax()
    text = f"{op}: {name} must hold labels below num_classes = {num_classes}"
    if value.device.type != "cpu":
        torch._assert_async(largest < num_classes, text)
    elif (found := int(largest)) >= num_classes:
        raise InputError(f"{text}, got {found}")


def spacing(op: str, value: Sequence[float] | None, axes: int) -> tuple[int, int]:
    """Side of a voxel along z and y over that along x, in 1/4096, of (z, y, x) in any one unit; None: all equal."""
    if value is None:
        return SPACING_ONE, SPACING_ONE
    if axes != 3:
        raise InputError(f"{op}: spacing is for volumes [B, D, H, W]; the pixels of images are square")
    if len(value) != 3 or not all(isinstance(side, (int, float)) for side in value):
        raise InputError(f"{op}: spacing must be three numbers (z, y, x), got {value!r}")
    if not all(math.isfinite(side) and side > 0 for side in value):
        raise InputError(f"{op}: spacing must be finite and above 0, got {tuple(value)}")
    z, y, x = value
    if not all(1 / 16 <= side / x <= 64 for side in (z, y)):
        raise InputError(f"{op}: spacing along z and y must be 1/16 to 64 times that along x, got {tuple(value)}")
    return round(z / x * SPACING_ONE), round(y / x * SPACING_ONE)


def integer(op: str, name: str, value: int, least: int, most: int = 2**31 - 1) -> int:
    """`value` as int in [least, most]; floats and bools are refused."""
    if type(value) is not int:
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise TypeError(f"{op}: {name} must be an int, got {type(value).__name__}")
        value = operator.index(value)
    if value < least:
        raise InputError(f"{op}: {name} must be >= {least}, got {value}")
    if value > most:
        raise InputError(f"{op}: {name} must be <= {most}, got {value}")
    return value
