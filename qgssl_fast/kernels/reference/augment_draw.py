"""What augmentation draws: Philox words as torch has integers, uniform numbers of them, cosines in fixed point."""

from __future__ import annotations

import torch
from torch import Tensor

M0, M1, W0, W1, MASK = 0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85, 0xFFFFFFFF
ONE = 1 << 16


def words(seed: int, sample_ids: Tensor, stream: int, first: Tensor) -> Tensor:
    """Philox4x32-10: int64 [B, blocks, 4] of words below 2**32; `first`: block numbers int64 [blocks]."""
    shape = (len(sample_ids), len(first))
    a, c = first.expand(shape).clone(), (sample_ids & MASK)[:, None].expand(shape)
    b, d = torch.full_like(a, stream), (sample_ids >> 32 & MASK)[:, None].expand(shape)
    k0, k1 = seed & MASK, seed >> 32 & MASK
    for _ in range(10):
        # Products beyond 63 bits wrap to the same low 64 bits, of which both halves are taken.
        p, q = a * M0, c * M1
        a, b, c, d = (q >> 32 & MASK) ^ b ^ k0, q & MASK, (p >> 32 & MASK) ^ d ^ k1, p & MASK
        k0, k1 = k0 + W0 & MASK, k1 + W1 & MASK
    return torch.stack([a, b, c, d], 2)


def numbers(seed: int, sample_ids: Tensor, stream: int, count: int) -> Tensor:
    """The first `count` words: int64 [B, count]."""
    blocks = torch.arange(-(-count // 4), device=sample_ids.device)
    return words(seed, sample_ids, stream, blocks).flatten(1)[:, :count]


def between(word: Tensor, low: int, high: int) -> Tensor:
    """A whole number in [low, high]; bounds below 2**30."""
    return low + (word * (high - low + 1) >> 32)


def cos_sin(degrees: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine, Q16.16, of Q16.16 degrees: quarter turns taken off, then Taylor polynomials in Q28."""
    quarter, one = 90 * ONE, 1 << 28
    turns = (degrees + quarter // 2) // quarter
    x = (degrees - turns * quarter) * 18740330 >> 18  # pi / 180 in Q30
    square = x * x >> 28
    s, c = torch.full_like(x, one), torch.full_like(x, one)
    for k in (9, 7, 5, 3):
        s = one - (square * s >> 28) // (k * (k - 1))
        c = one - (square * c >> 28) // ((k - 1) * (k - 2))
    s, c = (x * s >> 28) + 2048 >> 12, c + 2048 >> 12
    rolled = torch.stack([c, -s, -c, s])
    at = (turns & 3)[None]
    return rolled.gather(0, at)[0], rolled.gather(0, at + 3 & 3)[0]
