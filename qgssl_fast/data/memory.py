"""Memory for decoded data: free bytes of a device, and arrays that go to a file where they would not fit."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qgssl_fast.data.cache import cache_folder
from qgssl_fast.errors import InputError


def free_bytes(device: torch.device) -> int | None:
    """Free memory of `device`; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if (table := Path("/proc/meminfo")).exists():
        rows = table.read_text().splitlines()
        return next((int(row.split()[1]) * 1024 for row in rows if "MemAvailable" in row), None)
    return None


def allocate(shape: tuple[int, ...], dtype: Any, needed: int) -> np.ndarray:
    """An array of `shape`, in memory where twice `needed` bytes are free, else in a file that has no name.

    Raises InputError where there is neither memory nor a cache folder for the file.
    """
    free = free_bytes(torch.device("cpu"))
    if free is None or 2 * needed <= free or not math.prod(shape):  # decoded and placed side by side for a moment
        return np.empty(shape, dtype)
    home, text = cache_folder(), f"the images need {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free"
    if home is None:
        raise InputError(f"{text}: lower the size, or let QGSSL_CACHE name a folder on disk")
    home.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=home) as file:
            file.truncate(math.prod(shape) * np.dtype(dtype).itemsize)
            return np.memmap(file, dtype, "r+", shape=shape)
    except (OSError, ValueError) as error:
        raise InputError(f"{text}, and {home} cannot hold them ({error})") from None
