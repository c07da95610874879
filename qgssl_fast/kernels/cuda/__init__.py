"""CUDA kernels: the module ``qgssl_fast._cuda`` where nvcc built one for the device, else the same sources compiled by
NVRTC through CuPy at first use.

``qgssl_fast._C`` checks what a kernel is asked for and works out how it is launched (``csrc/plan.cpp``, by sizes
alone), a launcher launches it on torch's current stream. A call allocates through torch, never waits for the device
and reads nothing from it, so it can be captured in a CUDA graph once it has run.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from .. import native


class Shape(NamedTuple):
    """Of a launch: the kernel's name, blocks, threads a block, bytes of shared memory a block."""

    kernel: str
    blocks: int
    threads: int
    shared: int


class Launcher(Protocol):
    detail: str

    def machine(self, device: torch.device) -> tuple[int, int, int]:
        """Processors, and bytes of shared memory: the most for one block, and of a processor."""

    def launch(self, shape: Shape, task: bytes, work: bytes, scratch: int, device: torch.device) -> None:
        """On the device's current stream. scratch: the address that `work` lacks."""


def refusal(device: torch.device) -> str | None:
    """Why no CUDA kernel can serve on `device`; None when one can."""
    return _found(device)[1]


def describe() -> str:
    """What serves on the current device."""
    return launcher(torch.device("cuda", torch.cuda.current_device())).detail


def launcher(device: torch.device) -> Launcher:
    """What launches kernels on `device`; raises InputError when nothing can."""
    found, why_not = _found(device)
    if found is None:
        raise InputError(why_not)
    return found


def launch(op: str, plan: str, *arguments: Any, device: torch.device) -> None:
    """Run the kernel that ``_C.plan_<plan>`` plans for the arguments. Raises torch.OutOfMemoryError, in the operation's
    name, where there is no memory for its scratch; the device can be used on."""
    served = launcher(device)
    planned = getattr(native.cpu(), f"plan_{plan}")(*arguments, served.machine(device))
    *shape, words, in_turns, task, work = planned
    if shape[1] == 0:
        return
    scratch = _scratch(op, words, device) if words else None
    if scratch is not None and in_turns:
        scratch[:4].zero_()  # csrc/cuda/work.h: the counter of masks
    served.launch(Shape(*shape), task, work, 0 if scratch is None else scratch.data_ptr(), device)


def _scratch(op: str, words: int, device: torch.device) -> Tensor:
    try:
        return torch.empty(words, dtype=torch.int32, device=device)
    except torch.OutOfMemoryError as error:
        wanted = f"{op}: no memory on {device} for {4 * words / 2**20:.0f} MiB of scratch"
        raise torch.OutOfMemoryError(f"{wanted} (bit planes and lattices of the masks at work): {error}") from None


_copies: dict[tuple[int, torch.device], Tensor] = {}


def copy_of(op: str, array: np.ndarray, device: torch.device) -> Tensor:
    """`array` on `device`: copied once and kept as long as the array is. Nothing may write to either."""
    key = (id(array), device)
    found = _copies.get(key)
    if found is None:
        if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            raise InputError(
                f"{op}: call it once before it is captured in a CUDA graph: it has tables to bring to {device}"
            )
        found = _copies[key] = torch.from_numpy(array).to(device, copy=True)
        weakref.finalize(array, _copies.pop, key, None).atexit = False
    return found


@functools.cache
def _found(device: torch.device) -> tuple[Launcher | None, str | None]:
    if why_not := native.refusal():
        return None, f"{why_not}, and it plans every launch"
    if torch.version.hip is not None:
        return None, "torch is built for ROCm"
    reasons = []
    for find in (_Built.find, _compiled):
        found, why_not = find(device)
        if found is not None:
            return found, None
        reasons.append(str(why_not))
    return None, "; ".join(reasons)


def _compiled(device: torch.device) -> tuple[Launcher | None, str | None]:
    extra = f"cuda{(torch.version.cuda or '13').split('.')[0]}"
    if importlib.util.find_spec("cupy") is None:
        return None, f"CuPy, which could compile them, is not installed (pip install 'qgssl_fast[{extra}]')"
    return importlib.import_module(f"{__name__}.nvrtc").find(device)  # type: ignore[no-any-return]


class _Built:
    """Launches kernels of ``qgssl_fast._cuda``."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._machine: Callable[[int], tuple[int, int, int]] = functools.cache(module.machine)
        self.detail = f"qgssl_fast._cuda for {module.archs()}"

    @classmethod
    def find(cls, device: torch.device) -> tuple[Launcher | None, str | None]:
        module, why_not = native.load("_cuda")
        if module is None:
            note = native.cpu().CUDA_NOTE
            return None, f"{why_not} ({note})" if note else why_not
        major, minor = torch.cuda.get_device_capability(device)
        oldest = min(int(arch.split("-")[0].rstrip("af")) for arch in module.archs().split())
        if 10 * major + minor < oldest:
            wanted = f"built for sm_{oldest} and newer (QGSSL_CUDA_ARCHS), the device is sm_{major}{minor}"
            return None, f"qgssl_fast._cuda is {wanted}"
        return cls(module), None

    def machine(self, device: torch.device) -> tuple[int, int, int]:
        return self._machine(_index(device))

    def launch(self, shape: Shape, task: bytes, work: bytes, scratch: int, device: torch.device) -> None:
        with torch.cuda.device(device):
            stream = torch.cuda.current_stream().cuda_stream
            self._module.launch(*shape, task, work, scratch, stream, _index(device))


def _index(device: torch.device) -> int:
    return torch.cuda.current_device() if device.index is None else device.index
