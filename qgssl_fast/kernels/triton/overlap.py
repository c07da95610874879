"""Overlap counts in Triton: one program for each mask and class."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 4096


@triton.jit
def overlap_kernel(a, b, counts, pixels, classes, BINARY: tl.constexpr, BLOCK: tl.constexpr):
    """counts int32 [batch, classes - 1, 3] of a, b uint8 [batch, pixels]: pixels of the class in both, in a, in b."""
    program = tl.program_id(0)
    sample = (program // (classes - 1)).to(tl.int64)
    label = 1 + program % (classes - 1)
    both = tl.zeros([BLOCK], tl.int32)
    in_a = tl.zeros([BLOCK], tl.int32)
    in_b = tl.zeros([BLOCK], tl.int32)
    for start in range(0, pixels, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(a + sample * pixels + at, mask=at < pixels, other=0).to(tl.int32)
        y = tl.load(b + sample * pixels + at, mask=at < pixels, other=0).to(tl.int32)
        if BINARY:
            x = (x != 0).to(tl.int32)
            y = (y != 0).to(tl.int32)
        else:
            x = (x == label).to(tl.int32)
            y = (y == label).to(tl.int32)
        both += x & y
        in_a += x
        in_b += y
    tl.store(counts + program * 3, tl.sum(both))
    tl.store(counts + program * 3 + 1, tl.sum(in_a))
    tl.store(counts + program * 3 + 2, tl.sum(in_b))


def overlap(a: Tensor, b: Tensor, num_classes: int = 2) -> Tensor:
    batch = a.shape[0]
    counts = torch.empty((batch, num_classes - 1, 3), dtype=torch.int32, device=a.device)
    a, b = a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8)
    pixels = a.numel() // batch
    overlap_kernel[(batch * (num_classes - 1),)](a, b, counts, pixels, num_classes, num_classes == 2, _BLOCK)
    return counts
