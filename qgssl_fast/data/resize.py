"""Pixels to another size or number of channels."""

from __future__ import annotations

import numpy as np
from PIL import Image


def to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], channels, axis=2) if channels == 3 else pixels[..., None]
    if channels == 3:
        return pixels
    return np.asarray(Image.fromarray(pixels).convert("L"))[..., None]  # ITU-R 601-2 luma


def resize_image(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[h, w, C] uint8 or float32 to [H, W, C]; bilinear, antialiased."""
    if pixels.shape[:2] == size:
        return pixels
    target = (size[1], size[0])
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return np.asarray(Image.fromarray(pixels).resize(target, Image.Resampling.BILINEAR))
    planes = (Image.fromarray(np.ascontiguousarray(pixels[..., c])) for c in range(pixels.shape[2]))
    return np.stack([np.asarray(plane.resize(target, Image.Resampling.BILINEAR)) for plane in planes], axis=2)


def nearest(labels: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Labels of any integers on another grid of the same extent: the value at each new pixel's centre."""
    for axis, (new, old) in enumerate(zip(size, labels.shape)):
        if new != old:
            labels = labels.take(((2 * np.arange(new) + 1) * old) // (2 * new), axis)
    return labels
