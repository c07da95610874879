"""Checks of arguments that several operations share. Each error names the operation and the argument."""

from __future__ import annotations

import operator

import torch
from torch import Tensor

from ..errors import InputError

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
