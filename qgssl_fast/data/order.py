"""Which items a step takes: endless seeded passes, drawn where they are wanted, so that no step waits for the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from qgssl_fast.kernels.reference.augment_draw import words

STREAM = 0x4F000000  # of Philox counters, apart from those of augmentation and corruption
AT_ONCE = 4096  # items, at least, whose order is drawn at once: small sets begin a new pass in every other step


class AnyOrder(Protocol):
    """Gives the samples of steps."""

    def batch(self, step: int, size: int, part: slice | None = None) -> tuple[Tensor, Tensor]: ...


class Order:
    """An endless sequence of shuffled passes over `n` items; item k is a function of (seed, k) alone.

    A pass holds the items by their keys, 63 bits of Philox4x32-10 with the counter (pass, STREAM, item): a permutation
    that is uniform and, since keys and sorting are of whole numbers, the same on every device.
    """

    def __init__(self, n: int, seed: int, device: str | torch.device = "cpu") -> None:
        self.n, self.seed, self.device = n, seed, torch.device(device)
        self._passes = -(-AT_ONCE // n)  # of a block, which is drawn at once
        self._blocks: dict[int, Tensor] = {}

    def batch(self, step: int, size: int, part: slice | None = None) -> tuple[Tensor, Tensor]:
        """Items and sample ids (positions in the sequence) of batch `step`, or of its `part`.

        Two int64 tensors on the order's device, `[size]` or as long as the part.
        """
        first, last = step * size, (step + 1) * size
        if part is not None:
            first, last = first + part.start, first + part.stop
        length = self._passes * self.n
        wanted = range(first // length, (last - 1) // length + 1)
        self._blocks = {k: self._blocks[k] if k in self._blocks else self._block(k) for k in wanted}
        ids = torch.arange(first, last, device=self.device)
        blocks = list(self._blocks.values())
        order = blocks[0] if len(blocks) == 1 else torch.cat(blocks)
        return order.index_select(0, ids - wanted[0] * length), ids

    def _block(self, k: int) -> Tensor:
        passes = torch.arange(k * self._passes, (k + 1) * self._passes, device=self.device)
        drawn = words(self.seed, torch.arange(self.n, device=self.device), STREAM, passes)
        keys = drawn[..., 0] << 31 | drawn[..., 1] >> 1
        return keys.T.sort(dim=1, stable=True).indices.flatten()


@dataclass(frozen=True)
class StreamOrder:
    """Steps of a stream: the indices are numbers of this rank's samples, the ids those of the whole step."""

    rank: int = 0
    world: int = 1

    def batch(self, step: int, size: int, part: slice | None = None) -> tuple[Tensor, Tensor]:
        """As :meth:`Order.batch`, on the CPU; of `size` samples each rank takes an equal share."""
        share = size // self.world
        start, stop = (0, size) if part is None else (part.start, part.stop)
        first = step * share + max(0, start - self.rank * share)
        return torch.arange(first, first + stop - start), torch.arange(step * size + start, step * size + stop)
