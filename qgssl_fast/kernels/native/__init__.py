"""Loads the compiled modules, ``qgssl_fast._C`` (C++) and ``qgssl_fast._cuda``, and says why one is not there.

The environment variable ``QGSSL_ISA`` (baseline, avx2 or avx512) fixes the instruction set of the C++ kernels; one that
is unknown, not built or not supported by this processor raises :class:`~qgssl_fast.errors.InputError`.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch

from ...errors import InputError

_PACKAGE = __package__.rsplit(".", 2)[0]


@functools.cache
def load(name: str) -> tuple[ModuleType | None, str]:
    """The module, or why it is not there."""
    try:
        module = importlib.import_module(f"{_PACKAGE}.{name}")
    except ModuleNotFoundError:
        return None, f"{_PACKAGE}.{name} is not built"
    except ImportError as error:
        return None, f"{_PACKAGE}.{name} cannot be loaded: {error}"
    if name == "_C" and (isa := os.environ.get("QGSSL_ISA")):
        try:
            module.set_isa(isa)
        except ValueError as error:
            raise InputError(f"QGSSL_ISA: {error}") from None
    return module, ""


def cpu() -> ModuleType:
    """``qgssl_fast._C``; raises InputError when it is not there."""
    module, why_not = load("_C")
    if module is None:
        raise InputError(why_not)
    return module


@contextmanager
def using_isa(name: str) -> Iterator[None]:
    """With the C++ kernels of that instruction set; ValueError where this processor does not have it."""
    before = cpu().isa()
    cpu().set_isa(name)
    try:
        yield
    finally:
        cpu().set_isa(before)


def refusal() -> str | None:
    """Why the C++ kernels cannot serve; None when they can."""
    module, why_not = load("_C")
    return why_not if module is None else None


def describe() -> str:
    """The instruction set in use, and those that this processor has."""
    return f"ISA {cpu().isa()} of {', '.join(cpu().isas())}"


LARGE = 4 << 20
"""Bytes from which a new tensor is worth a system call."""


def in_large_pages(fresh: torch.Tensor) -> torch.Tensor:
    """`fresh` itself: memory that nothing was written to yet, from now on in large pages where the system has some."""
    if fresh.nbytes >= LARGE and fresh.device.type == "cpu":
        cpu().large_pages(fresh.data_ptr(), fresh.nbytes)
    return fresh


def size_of(masks: torch.Tensor) -> tuple[int, int, int, int]:
    """batch, depth (1 for images), height, width."""
    shape = masks.shape
    return shape[0], shape[1] if len(shape) == 4 else 1, shape[-2], shape[-1]
