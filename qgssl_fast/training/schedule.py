"""What varies with time or chance, as pure functions of the step: nothing here has a state to save."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor


def stable_seed(*parts: object) -> int:
    """A 63-bit seed from `parts`, the same on every machine and run."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def cosine(step: int, steps: int, lr: float, minimum: float = 0.0, warmup: int = 0) -> float:
    """Learning rate at `step` of `steps`: from `lr` down to `minimum` along half a cosine.

    Times (step + 1) / warmup during the first `warmup` steps: Adam's first steps are as large as any, whatever the
    gradient, and can throw a network to where it predicts a constant for a long time.
    """
    rate = minimum + (lr - minimum) * 0.5 * (1 + math.cos(math.pi * step / max(1, steps)))
    return rate * min(1.0, (step + 1) / max(1, warmup))


def ramp(epoch: float, start: float, length: float, maximum: float) -> float:
    """0 until epoch `start`, then linear over `length` epochs up to `maximum`: lambda of the unlabelled loss."""
    if epoch < start:
        return 0.0
    return maximum if length == 0 else maximum * min(1.0, (epoch - start) / length)


class Order:
    """An endless sequence of shuffled passes over `n` items; item k is a function of (seed, k) alone."""

    def __init__(self, n: int, seed: int) -> None:
        self.n, self.seed = n, seed
        self._passes: dict[int, Tensor] = {}

    def batch(self, step: int, size: int, part: slice | None = None) -> tuple[Tensor, Tensor]:
        """Items and sample ids (positions in the sequence) of batch `step`, or of its `part`.

        Two int64 tensors on the CPU, `[size]` or as long as the part.
        """
        first, last = step * size, (step + 1) * size
        if part is not None:
            first, last = first + part.start, first + part.stop
        ids = torch.arange(first, last)
        wanted = range(first // self.n, (last - 1) // self.n + 1)
        self._passes = {k: self._passes[k] if k in self._passes else self._pass(k) for k in wanted}
        order = torch.cat([self._passes[k] for k in wanted])
        return order[ids - wanted[0] * self.n], ids

    def _pass(self, k: int) -> Tensor:
        generator = torch.Generator().manual_seed(stable_seed(self.seed, k))
        return torch.randperm(self.n, generator=generator)
