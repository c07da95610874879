"""What a store may take: free memory of its device, compared before and while it is filled."""

from __future__ import annotations

import threading
from pathlib import Path

import torch

from qgssl_fast.errors import InputError


def free_bytes(device: torch.device) -> int | None:
    """Free memory of `device`; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if (table := Path("/proc/meminfo")).exists():
        rows = table.read_text().splitlines()
        return next((int(row.split()[1]) * 1024 for row in rows if "MemAvailable" in row), None)
    return None


def check_memory(needed: int, device: torch.device) -> None:
    """Raise InputError where images of `needed` bytes do not fit."""
    free = free_bytes(device)
    wanted = needed if device.type == "cuda" else 2 * needed  # decoded array and tensor live side by side for a moment
    if free is not None and wanted > free:
        raise InputError(
            f"the images need {wanted / 1e9:.1f} GB of memory on {device}, {free / 1e9:.1f} GB are free: lower the size"
        )


class Budget:
    """Counts bytes as they come; from several threads."""

    def __init__(self, device: torch.device) -> None:
        # Samples wait in host memory until all are there, whatever the device.
        found = [free_bytes(kind) for kind in {torch.device("cpu"), torch.device(device.type)}]
        self.free = min((free for free in found if free is not None), default=None)
        self.used, self._lock = 0, threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self.used += count
            if self.free is not None and 2 * self.used > self.free:
                raise InputError(
                    f"the volumes need more than half of the {self.free / 1e9:.1f} GB of free memory: "
                    "lower the size or the number of patches"
                )
