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
            cupy.cuda.runtime.runtimeGetVersion()
        source.root()
    except Exception as error:  # what CuPy meets where its libraries do not fit the machine is of many types
        return None, f"CuPy cannot compile them: {_told(error)}"
    try:
        major, minor = cupy.cuda.nvrtc.getVersion()
    except Exception as error:
        wanted = "nvidia-cuda-nvrtc-cu12" if (torch.version.cuda or "13").startswith("12.") else "nvidia-cuda-nvrtc"
        return None, f"CuPy {cupy.__version__} has no NVRTC to compile them (pip install {wanted}): {_told(error)}"
    return Compiled(cupy, f"compiled by NVRTC {major}.{minor} through CuPy {cupy.__version__}"), None


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


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

    def _stream(self, pointer: int) -> Any:
        kinds = self._cupy.cuda
        adopt = getattr(kinds.Stream, "from_external", None)  # CuPy 14 and newer
        return kinds.ExternalStream(pointer) if adopt is None else adopt(_Foreign(pointer))

    def launch(self, shape: Shape, task: bytes, work: bytes, scratch: int, device: torch.device) -> None:
        stream = self._stream(torch.cuda.current_stream(device).cuda_stream)
        with self._cupy.cuda.Device(device.index), stream:
            kernel = self._kernel(shape.kernel, device.index)
            if shape.shared > 48 << 10:  # more than that has to be asked for
                kernel.max_dynamic_shared_size_bytes = shape.shared
            kernel((shape.blocks,), (shape.threads,), parameters(task, work, scratch), shared_mem=shape.shared)


class _Foreign:
    """A stream of torch's by the CUDA stream protocol, which older torch streams do not have."""

    def __init__(self, pointer: int) -> None:
        self._pointer = pointer

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self._pointer  # version of the protocol, address


def parameters(task: bytes, work: bytes, scratch: int) -> tuple[np.ndarray, ...]:
    """A kernel's parameters as arrays of one structure each, which CuPy passes by value."""
    filled = np.frombuffer(work, np.uint8).copy()
    filled[:8] = np.frombuffer(np.uint64(scratch).tobytes(), np.uint8)  # csrc/cuda/work.h: its first member
    return tuple(np.frombuffer(piece, f"V{len(piece)}") for piece in (task, filled.tobytes()))
