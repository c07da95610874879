"""Masks as planes of bits, as stores keep them: a binary mask takes an eighth of its bytes."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
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
    """masks uint8 [N, *S] of classes below `classes`, up to 256."""
    planes, values = max(1, (classes - 1).bit_length()), masks.flatten(1).cpu().numpy()
    bits = np.empty((len(masks), planes, -(-values.shape[1] // 8)), np.uint8)
    for plane in range(planes):
        bits[:, plane] = np.packbits(values >> plane & 1, axis=1, bitorder="little")
    return PackedMasks(torch.from_numpy(bits).to(masks.device), tuple(masks.shape[1:]))


def bits_of(labels: Tensor | PackedMasks) -> Tensor:
    return labels.bits if isinstance(labels, PackedMasks) else labels


def like(labels: Tensor | PackedMasks, bits: Tensor) -> Tensor | PackedMasks:
    """Other rows, or the same elsewhere, of `labels`, which keep their shape."""
    return PackedMasks(bits, labels.shape) if isinstance(labels, PackedMasks) else bits
