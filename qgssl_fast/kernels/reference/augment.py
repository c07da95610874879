"""Augmentation as plain torch: a counter-based hash for chance, one inverse affine, one colour matrix, noise, blur.

Every parameter depends on (seed, sample id, index) alone, never on the batch around the sample. The hash is the
two-round multiply-xorshift of C. Wellons ("hash prospector", constants 21f0aaad 735a2d97, bias 0.107), which fits
int64 tensors without overflow on every device; the fused kernel will draw from Philox instead.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

M1, M2, MASK = 0x21F0AAAD, 0x735A2D97, 0xFFFFFFFF
LUMA = (0.299, 0.587, 0.114)  # ITU-R 601-2


@lru_cache(maxsize=64)
def count_up(size: int, device: torch.device) -> Tensor:
    """0 to size - 1, int64, made once: torch.arange wakes every thread for a handful of numbers. Not to be changed."""
    return torch.arange(size, device=device)


def mix(x: Tensor) -> Tensor:
    """Scramble 32-bit words held in int64, in place."""
    x ^= x >> 16
    x *= M1
    x &= MASK
    x ^= x >> 15
    x *= M2
    x &= MASK
    x ^= x >> 15
    return x


def sample_key(seed: int, sample_ids: Tensor, stream: int) -> Tensor:
    """One 32-bit word a sample, int64 [B]."""
    key = torch.full_like(sample_ids, (stream + 1) * 0x9E3779B1 & MASK)
    for word in (seed & MASK, seed >> 32 & MASK, sample_ids & MASK, sample_ids >> 32 & MASK):
        key = mix((key + word) & MASK)
    return key


def uniform(seed: int, sample_ids: Tensor, count: int, stream: int = 0) -> Tensor:
    """`count` numbers in [0, 1) a sample: float32 [B, count], multiples of 2^-24."""
    counters = count_up(count, sample_ids.device) * 0x85EBCA6B & MASK
    words = mix(mix((sample_key(seed, sample_ids, stream)[:, None] + counters) & MASK))
    return (words >> 8).to(torch.float32) * 2.0**-24


def noise(seed: int, sample_ids: Tensor, shape: tuple[int, ...], stream: int = 1) -> Tensor:
    """Nearly normal numbers, mean 0, deviation 1, float32 [B, *shape]: the sum of a hash's four bytes, centred."""
    size = math.prod(shape)
    counters = mix(count_up(size, sample_ids.device).clone()).to(torch.int32)  # wraps to two's complement
    keys = sample_key(seed, sample_ids, stream).to(torch.int32)
    x = counters[None] ^ keys[:, None]
    shifted = torch.empty_like(x)  # one scratch for all steps: fresh pages cost more than the arithmetic
    x *= M1
    x ^= torch.bitwise_right_shift(x, 15, out=shifted).bitwise_and_(0x1FFFF)
    x *= M2
    torch.bitwise_right_shift(x, 8, out=shifted).bitwise_and_(0x00FF00FF)
    x.bitwise_and_(0x00FF00FF).add_(shifted)
    x += torch.bitwise_right_shift(x, 16, out=shifted)
    total = x.bitwise_and_(0xFFFF).to(torch.float32)
    # Four bytes: mean 4 * 127.5, variance 4 * (256^2 - 1) / 12.
    return total.sub_(510.0).mul_(1 / math.sqrt((256**2 - 1) / 3)).view(len(sample_ids), *shape)


def affine_matrices(angle: Tensor, scale: Tensor, shift: Tensor, flip: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Inverse maps for `grid_sample`, float32 [B, d, d + 1], from output to input coordinates in [-1, 1], x first.

    angle [B] in radians, in the plane of the last two axes, as pixels see it; scale [B] > 1 enlarges; shift [B, d] as a
    part of each side, flip [B, d] = -1 or 1, both in the order of the axes.
    """
    dims = len(shape)
    height, width = shape[-2:]
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    theta = torch.zeros(len(angle), dims, dims + 1, dtype=torch.float32, device=angle.device)
    theta[:, 0, 0], theta[:, 0, 1] = cosine, sine * (height / width)
    theta[:, 1, 0], theta[:, 1, 1] = -sine * (width / height), cosine
    if dims == 3:
        theta[:, 2, 2] = 1 / scale
    theta[:, :, dims] = -2 * shift.flip(1)
    return theta * flip.flip(1)[:, :, None]


def sampling_grid(theta: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Where each output pixel's centre comes from, float32 [B, *S, d], x first; `affine_grid` by separate axes."""
    dims = len(shape)
    grid = theta.new_empty(len(theta), *shape, dims)
    lines = []
    for axis, size in enumerate(shape):
        centres = ((2 * count_up(size, theta.device) + 1).to(torch.float32) / size - 1).view(
            *[1] * (1 + axis), size, *[1] * (dims - 1 - axis)
        )
        lines.append(centres)
    column = (-1, *[1] * dims)
    for out in range(dims):
        total = theta[:, out, dims].view(column)
        for axis, centres in enumerate(lines):
            total = total + theta[:, out, dims - 1 - axis].view(column) * centres
        grid[..., out] = total
    return grid


def warp(values: Tensor, grid: Tensor, mode: str) -> Tensor:
    """Sample float32 [B, C, *S] at a grid; what lies outside is the image's reflection."""
    return F.grid_sample(values, grid, mode=mode, padding_mode="reflection", align_corners=False)


def flip_axes(values: Tensor, flip: Tensor, first: int) -> Tensor:
    """Reverse axis `first + i` of the samples with flip[:, i] < 0."""
    for axis in range(flip.shape[1]):
        chosen = (flip[:, axis] < 0).view(-1, *[1] * (values.dim() - 1))
        values = torch.where(chosen, values.flip(first + axis), values)
    return values


def color(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor, gains: Tensor) -> Tensor:
    """Gains a channel, saturation, contrast about the sample's mean, brightness, as one matrix a sample.

    images float32 [B, C, *S]; brightness, contrast, saturation [B]; gains [B, C].
    """
    batch, channels = images.shape[:2]
    weights = images.new_tensor(LUMA) if channels == 3 else images.new_full((channels,), 1 / channels)
    identity = torch.eye(channels, device=images.device)
    blend = saturation[:, None, None] * identity + (1 - saturation)[:, None, None] * weights[None, None, :]
    matrix = blend * gains[:, None, :]
    flat = images.reshape(batch, channels, -1)
    mean = (matrix @ flat.mean(2, keepdim=True)).mean(1, keepdim=True)
    bias = (1 - contrast)[:, None, None] * mean + brightness[:, None, None]
    return torch.baddbmm(bias, contrast[:, None, None] * matrix, flat).view_as(images)


def blur(images: Tensor, sigma: Tensor, largest: float) -> Tensor:
    """Gaussian blur, sigma [B] in px (0 leaves a sample as it is), borders replicated; `largest` bounds sigma."""
    if not images.numel():
        return images
    radius = max(1, math.ceil(2.5 * largest))
    offsets = (count_up(2 * radius + 1, images.device) - radius).to(torch.float32)
    taps = torch.exp(-offsets.square() / (2 * sigma[:, None].clamp_min(1e-3).square()))
    taps = taps * (taps > 1e-6)  # products with denormal numbers take a hundred times as long
    taps = taps / taps.sum(1, keepdim=True)
    batch, channels, *shape = images.shape
    spatial = len(shape)
    convolve = F.conv2d if spatial == 2 else F.conv3d
    weights = taps.repeat_interleave(channels, 0)
    planes = images.reshape(1, batch * channels, *shape)  # every plane is a group with its own kernel
    for axis in range(spatial):
        pad = [0, 0] * (spatial - 1 - axis) + [radius, radius] + [0, 0] * axis
        kernel = weights.view(-1, 1, *[1] * axis, 2 * radius + 1, *[1] * (spatial - 1 - axis))
        planes = convolve(F.pad(planes, pad, mode="replicate"), kernel, groups=batch * channels)
    return planes.view_as(images)
