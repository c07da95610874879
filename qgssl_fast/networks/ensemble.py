"""Several networks trained side by side, as one module: one optimiser, one checkpoint, one wrapper for many GPUs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn


class Ensemble(nn.Module):
    """Networks of one task; `forward(images, member=k)` runs the k-th, with what it takes beside the images."""

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor, member: int = 0, **options: Any) -> Any:
        return self.members[member](images, **options)
