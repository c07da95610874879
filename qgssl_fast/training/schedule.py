"""What varies with time or chance, as pure functions of the step: nothing here has a state to save."""

from __future__ import annotations

import hashlib
import math


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
