"""Images as stores keep them, uint8 or float16 in [0, 1], and as networks take them, floats in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor


def in_unit(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Floats in [0, 1] of uint8 images (a new tensor), or of floats that are in [0, 1] already."""
    return images.to(dtype).div_(255) if images.dtype == torch.uint8 else images.to(dtype)


def kept_as(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Floats in [0, 1] as a store of `dtype` keeps them."""
    return (images * 255).round().to(torch.uint8) if dtype == torch.uint8 else images.to(dtype)
