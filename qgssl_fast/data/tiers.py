"""Where a store lies: on the device, in (pinned) host memory, or in a memory-mapped file; chosen by size and said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from qgssl_fast.data.memory import free_bytes
from qgssl_fast.errors import InputError

TIERS = ("auto", "device", "host", "disk", "stream")
SHARE = 0.6  # of the free memory that a store may take, the rest being the networks'


@dataclass(frozen=True)
class Placement:
    """tier: one of TIERS. budget_gb: memory that the store may take there, 1e9 bytes; None: 0.6 of what is free."""

    tier: str = "auto"
    budget_gb: float | None = None

    def __post_init__(self) -> None:
        if self.tier not in TIERS:
            raise InputError(f"store: tier must be one of {', '.join(TIERS)}, got {self.tier!r}")
        if self.budget_gb is not None and not self.budget_gb > 0:
            raise InputError(f"store: budget_gb must be > 0, got {self.budget_gb}")

    def choose(self, needed: int, device: torch.device, filed: bool) -> tuple[str, str]:
        """(tier, what to say) for `needed` bytes; filed: whether a file is there that can be mapped."""
        if self.tier == "disk" and not filed:
            raise InputError("store: tier disk needs the cache, which is off (QGSSL_CACHE)")
        if self.tier == "stream":
            raise InputError("store: tier stream needs shards, which qgssl-fast shard makes of a data set")
        if self.tier != "auto":
            return self.tier, f"images lie in tier {self.tier}, as asked ({needed / 1e9:.2f} GB)"
        tiers = ["device", *(["host"] if device.type != "cpu" else []), *(["disk"] if filed else [])]
        for tier in tiers:
            budget = self.budget(device if tier == "device" else torch.device("cpu"))
            if tier == tiers[-1] or needed <= budget:
                why = f"{needed / 1e9:.2f} GB, {budget / 1e9:.2f} GB allowed" if tier != "disk" else "more than memory"
                return tier, f"images lie in tier {tier} ({why})"
        raise AssertionError("the last tier takes all")

    def budget(self, device: torch.device) -> float:
        """Bytes that may be taken there."""
        if self.budget_gb is not None:
            return self.budget_gb * 1e9
        free = free_bytes(device)
        return float("inf") if free is None else SHARE * free


def place(values: Tensor, tier: str, device: torch.device, mapped: bool = False) -> Tensor:
    """A tensor in host memory, or in a file (`mapped`), to its tier."""
    if tier == "disk":
        return values
    if tier == "host":
        held = values.clone() if mapped else values
        return held.pin_memory() if torch.cuda.is_available() else held
    return values.clone() if mapped and device.type == "cpu" else values.to(device)


def newest_first(folder: Path) -> list[Path]:
    """Folders of the cache by the time of their last use."""
    found = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
