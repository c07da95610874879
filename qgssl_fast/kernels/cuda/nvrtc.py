"""CUDA kernels compiled at run time: by NVRTC, through CuPy, which keeps what it has compiled in a folder
(``CUPY_CACHE_DIR``, else ``~/.cupy/kernel_cache``)."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch

from . import Launcher, Shape, source


def find(device: torch.device) -> tuple[Launcher | None, str | None]:
    """A launcher for `device`, or why there is none."""
    try:
        import cupy

        with cupy.cuda.Device(device.index):
            major, minor = cupy.cuda.nvrtc.getVersion()
            cupy.cuda.runtime.runtimeGetVersion()
        source.root()
    except Exception as error:  # what CuPy meets where its libraries do not fit the machine is of many types
        return None, f"CuPy cannot compile them: {type(error).__name__}: {error}"
    return Compiled(cupy, f"compiled by NVRTC {major}.{minor} through CuPy {cupy.__version__}"), None


class Compiled:
    """Launches kernels that are compiled when they are first asked for: 1 to 60 seconds each, once a machine."""

    def __init__(self, cupy: Any, detail: str) -> None:
        self._cupy, self.detail = cupy, detail
        self._kernel = functools.cache(self._compile)
        self.machine = functools.cache(self._machine)

    def _machine(self, device: torch.device) -> tuple[int, int, int]:
        found = self._cupy.cuda.Device(device.index).attributes
        names = ("MultiProcessorCount", "MaxSharedMemoryPerBlockOptin", "MaxSharedMemoryPerMultiprocessor")
        processors, per_block, per_processor = (int(found[name]) for name in names)
        return processors, per_block, per_processor

    def _compile(self, name: str, index: int | None) -> Any:
        """Of one device: CuPy's kernels keep the largest shared memory that they were given for each."""
        return self._cupy.RawModule(code=source.text_of(name), options=source.OPTIONS).get_function(name)

    def launch(self, shape: Shape, task: bytes, work: bytes, scratch: int, device: torch.device) -> None:
        cuda = self._cupy.cuda
        stream = torch.cuda.current_stream(device)
        with cuda.Device(device.index), cuda.ExternalStream(stream.cuda_stream, device.index):
            kernel = self._kernel(shape.kernel, device.index)
            if shape.shared > 48 << 10:  # more than that has to be asked for
                kernel.max_dynamic_shared_size_bytes = shape.shared
            kernel((shape.blocks,), (shape.threads,), parameters(task, work, scratch), shared_mem=shape.shared)


def parameters(task: bytes, work: bytes, scratch: int) -> tuple[np.ndarray, ...]:
    """A kernel's parameters as arrays of one structure each, which CuPy passes by value."""
    filled = np.frombuffer(work, np.uint8).copy()
    filled[:8] = np.frombuffer(np.uint64(scratch).tobytes(), np.uint8)  # csrc/cuda/work.h: its first member
    return tuple(np.frombuffer(piece, f"V{len(piece)}") for piece in (task, filled.tobytes()))
