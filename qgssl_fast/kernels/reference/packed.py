"""Masks as planes of bits, as stores keep them: a binary mask takes an eighth of its bytes."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class PackedMasks(NamedTuple):
    """Class numbers of N masks, bit by bit.

    bits uint8 [N, planes, ceil(pixels / 8)]: bit p % 8 of byte p // 8 of plane k is bit k of the class at pixel p of
    the flattened mask; shape: the sides of a mask.
    """

    bits: Tensor
    shape: tuple[int, ...]

    @property
    def device(self) -> torch.device:
        return self.bits.device

    def select(self, index: Tensor) -> PackedMasks:
        """The masks at `index`, int64 [B]."""
        return PackedMasks(self.bits.index_select(0, index), self.shape)

    def to(self, device: str | torch.device) -> PackedMasks:
        return PackedMasks(self.bits.to(device), self.shape)

    def unpacked(self, index: Tensor | None = None) -> Tensor:
        """uint8 [N, *shape], or of those at `index`."""
        bits = self.bits if index is None else self.bits.index_select(0, index)
        powers = torch.arange(8, device=bits.device, dtype=torch.uint8)
        flat = (bits[..., None] >> powers & 1).flatten(2)[..., : math.prod(self.shape)]
        labels = flat[:, 0]
        for plane in range(1, bits.shape[1]):
            labels = labels | flat[:, plane] << plane
        return labels.reshape(len(bits), *self.shape)


def pack_masks(masks: Tensor, classes: int) -> PackedMasks:
    """masks uint8 [N, *S] of classes below `classes`, which has to be 2 or more."""
    planes, size = max(1, (classes - 1).bit_length()), math.prod(masks.shape[1:])
    bits = torch.empty(len(masks), planes, -(-size // 8), dtype=torch.uint8, device=masks.device)
    powers = torch.arange(8, device=masks.device, dtype=torch.uint8)
    for row, mask in enumerate(masks):  # one at a time: eight times the memory of a mask, not of all
        flat = torch.nn.functional.pad(mask.flatten(), (0, -size % 8)).view(-1, 8)
        for plane in range(planes):
            bits[row, plane] = ((flat >> plane & 1) << powers).sum(1, dtype=torch.uint8)
    return PackedMasks(bits, tuple(masks.shape[1:]))
