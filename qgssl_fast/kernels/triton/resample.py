"""The public `affine` and `elastic` in Triton: each pixel looks its source up."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..reference.program import ISOTROPIC
from ..reference.spline import spline_weights
from ..reference.warp import elastic_gain
from ..reference.warp3 import frame, gain

_BLOCK, _FIELD_BLOCK = 1024, 256  # an elastic field wants 32 to 192 loads a pixel, and registers for them
_HALF = tl.constexpr(1 << 15)


@triton.jit
def affine_kernel(
    src, dst, maps, width, height, depth, blocks, TRUNCATE: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr
):
    """dst = src != 0 at the nearest pixel of maps @ (x, y, z, 1), 0 outside; TRUNCATE: 1 where all pixels that linear
    interpolation weighs are 1, at coordinates rounded to 1/32 px.

    src, dst: uint8 [batch, depth, height, width]; maps: int64 [batch, 3, 4], Q16.16. WIDE: 64-bit offsets.
    """
    program = tl.program_id(0)
    sample, pixels = program // blocks, width * height * depth
    i = program % blocks * BLOCK + tl.arange(0, BLOCK)
    inside = i < pixels
    x, y, z = (i % width).to(tl.int64), (i // width % height).to(tl.int64), (i // (width * height)).to(tl.int64)
    first = sample.to(tl.int64) * pixels if WIDE else sample * pixels
    m = maps + sample * 12
    sx = tl.load(m) * x + tl.load(m + 1) * y + tl.load(m + 2) * z + tl.load(m + 3)
    sy = tl.load(m + 4) * x + tl.load(m + 5) * y + tl.load(m + 6) * z + tl.load(m + 7)
    sz = tl.load(m + 8) * x + tl.load(m + 9) * y + tl.load(m + 10) * z + tl.load(m + 11)
    if TRUNCATE:
        qx, qy, qz = (sx + 1024) >> 11, (sy + 1024) >> 11, (sz + 1024) >> 11
        found = tl.full([BLOCK], 1, tl.int32)
        for corner in tl.static_range(8):
            beyond_x, beyond_y, beyond_z = corner & 1, corner >> 1 & 1, corner >> 2
            px, py, pz = (qx >> 5) + beyond_x, (qy >> 5) + beyond_y, (qz >> 5) + beyond_z
            weighs = inside
            if beyond_x:
                weighs = weighs & ((qx & 31) != 0)
            if beyond_y:
                weighs = weighs & ((qy & 31) != 0)
            if beyond_z:
                weighs = weighs & ((qz & 31) != 0)
            there = (px >= 0) & (px < width) & (py >= 0) & (py < height) & (pz >= 0) & (pz < depth)
            at = tl.where(there, (pz * height + py) * width + px, 0).to(i.dtype)
            value = (tl.load(src + first + at, mask=weighs & there, other=0) != 0).to(tl.int32)
            found = found & (value | (weighs == 0).to(tl.int32))
    else:
        px, py, pz = (sx + _HALF) >> 16, (sy + _HALF) >> 16, (sz + _HALF) >> 16
        there = inside & (px >= 0) & (px < width) & (py >= 0) & (py < height) & (pz >= 0) & (pz < depth)
        at = tl.where(there, (pz * height + py) * width + px, 0).to(i.dtype)
        found = (tl.load(src + first + at, mask=there, other=0) != 0).to(tl.int32)
    tl.store(dst + first + i, found.to(tl.uint8), mask=inside)


@triton.jit
def byte_sum(word):
    """The sum of a word's four bytes, less 510."""
    return ((word & 255) + (word >> 8 & 255) + (word >> 16 & 255) + (word >> 24)).to(tl.int32) - 510


@triton.jit
def nodes_kernel(ids, nodes, count, key_low, key_high, blocks, AXES: tl.constexpr, BLOCK: tl.constexpr):
    """nodes int32 [batch, AXES, count]: what each moves by, by Philox4x32-10 with counter (block, 17, sample id) and
    the seed as its key. A block has the words of two nodes of an image, or of one of a volume."""
    program = tl.program_id(0)
    sample = program // blocks
    block = program % blocks * BLOCK + tl.arange(0, BLOCK)
    number = tl.load(ids + sample)
    c0, c1 = block.to(tl.uint32), tl.full([BLOCK], 17, tl.uint32)
    c2 = tl.full([BLOCK], 0, tl.uint32) + (number & 0xFFFFFFFF).to(tl.uint32)
    c3 = tl.full([BLOCK], 0, tl.uint32) + (number >> 32 & 0xFFFFFFFF).to(tl.uint32)
    k0 = tl.full([BLOCK], 0, tl.uint32) + (key_low & 0xFFFFFFFF).to(tl.uint32)
    k1 = tl.full([BLOCK], 0, tl.uint32) + (key_high & 0xFFFFFFFF).to(tl.uint32)
    factor0, factor1 = tl.full([BLOCK], 0xD2511F53, tl.uint32), tl.full([BLOCK], 0xCD9E8D57, tl.uint32)
    step0, step1 = tl.full([BLOCK], 0x9E3779B9, tl.uint32), tl.full([BLOCK], 0xBB67AE85, tl.uint32)
    for _ in tl.static_range(10):
        high0, high1 = tl.umulhi(factor0, c0), tl.umulhi(factor1, c2)
        low0, low1 = factor0 * c0, factor1 * c2
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = k0 + step0, k1 + step1
    to = nodes + sample * count * AXES
    if AXES == 2:
        tl.store(to + 2 * block, byte_sum(c0), mask=2 * block < count)
        tl.store(to + count + 2 * block, byte_sum(c1), mask=2 * block < count)
        tl.store(to + 2 * block + 1, byte_sum(c2), mask=2 * block + 1 < count)
        tl.store(to + count + 2 * block + 1, byte_sum(c3), mask=2 * block + 1 < count)
    else:
        tl.store(to + block, byte_sum(c0), mask=block < count)
        tl.store(to + count + block, byte_sum(c1), mask=block < count)
        tl.store(to + 2 * count + block, byte_sum(c2), mask=block < count)


@triton.jit
def spline(at, x, y, z, along_x, along_y, along_z, across, plane, spacing_x, spacing_y, spacing_z, AXES: tl.constexpr):
    """The field of the nodes at `at`, in 1/65536 (volumes: 16/65536 and rounded down) of a node's unit."""
    node = y // spacing_y * across + x // spacing_x
    if AXES == 3:
        node += z // spacing_z * plane
    field = tl.zeros_like(x)
    for i in tl.static_range(4):
        column = tl.zeros_like(x)
        for j in tl.static_range(4):
            here = node + j * across + i
            if AXES == 3:
                value = tl.zeros_like(x)
                for k in tl.static_range(4):
                    value += tl.load(at + here + k * plane) * tl.load(along_z + k * spacing_z + z % spacing_z)
                value = value >> 6
            else:
                value = tl.load(at + here)
            column += value * tl.load(along_y + j * spacing_y + y % spacing_y)
        if AXES == 3:
            column = column >> 2
        field += column * tl.load(along_x + i * spacing_x + x % spacing_x)
    return field


@triton.jit
def pixels_of(field, gain, AXES: tl.constexpr):
    """Whole pixels of a field; csrc/core/elastic.h has the same."""
    if AXES == 3:
        return (((field >> 12) * gain >> 4) + _HALF) >> 16
    return (((field >> 10) * gain >> 6) + _HALF) >> 16


@triton.jit
def elastic_kernel(
    src, dst, nodes, along_x, along_y, along_z, width, height, depth, across, plane, count,
    spacing_x, spacing_y, spacing_z, gain_x, gain_y, gain_z, blocks,
    AXES: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """dst = src != 0 at the pixel that the field of cubic B-splines points to, nearest to the image where outside.

    src, dst: uint8 [batch, depth, height, width]; nodes int32 [batch, AXES, count]; along_*: int32 [4, spacing],
    weights in 1/256; gain_*: Q16.16 px a unit of a node.
    """
    program = tl.program_id(0)
    sample, pixels = program // blocks, width * height * depth
    i = tl.minimum(program % blocks * BLOCK + tl.arange(0, BLOCK), pixels - 1)
    x, y, z = i % width, i // width % height, i // (width * height)
    first = sample.to(tl.int64) * pixels if WIDE else sample * pixels
    at = nodes + sample * count * AXES
    moved_x = pixels_of(
        spline(at, x, y, z, along_x, along_y, along_z, across, plane, spacing_x, spacing_y, spacing_z, AXES),
        gain_x,
        AXES,
    )
    moved_y = pixels_of(
        spline(at + count, x, y, z, along_x, along_y, along_z, across, plane, spacing_x, spacing_y, spacing_z, AXES),
        gain_y,
        AXES,
    )
    px = tl.minimum(tl.maximum(x + moved_x, 0), width - 1)
    py = tl.minimum(tl.maximum(y + moved_y, 0), height - 1)
    pz = z
    if AXES == 3:
        at = at + 2 * count
        moved_z = pixels_of(
            spline(at, x, y, z, along_x, along_y, along_z, across, plane, spacing_x, spacing_y, spacing_z, AXES),
            gain_z,
            AXES,
        )
        pz = tl.minimum(tl.maximum(z + moved_z, 0), depth - 1)
    found = tl.load(src + first + (pz * height + py) * width + px) != 0
    tl.store(dst + first + i, found.to(tl.uint8))


def affine(masks: Tensor, matrices: Tensor, truncate: bool) -> Tensor:
    maps = matrices.new_zeros((len(masks), 3, 4), dtype=torch.int64)
    axes = masks.dim() - 1
    maps[:, :axes, :axes] = matrices[:, :, :axes]
    maps[:, :axes, 3] = matrices[:, :, axes]
    return _look_up(affine_kernel, masks, lambda source, out: (source, out, maps), (), truncate, _BLOCK)


def elastic(
    masks: Tensor,
    amplitude: int,
    smoothness: int,
    seed: int,
    sample_ids: Tensor,
    spacing: tuple[int, int] = ISOTROPIC,
) -> Tensor:
    axes, device = masks.dim() - 1, masks.device
    amplitudes, apart = frame(amplitude, smoothness, spacing)
    weights = [spline_weights(h) for h in apart]
    gains = [elastic_gain(amplitude, apart[2])] * 3 if axes == 2 else [gain(a, weights) for a in amplitudes]
    counts = [(side - 1) // h + 4 for side, h in zip((1, *masks.shape[1:])[-3:], apart)]
    count = math.prod(counts[-axes:])
    nodes = torch.empty((len(masks), axes, count), dtype=torch.int32, device=device)
    per_block = 2 if axes == 2 else 1
    blocks = triton.cdiv(triton.cdiv(count, per_block), _BLOCK)
    # Beyond 32 bits, so that the compiler has one kernel for all; the kernel takes the lower 32.
    keys = (half + (1 << 40) for half in (seed & 0xFFFFFFFF, seed >> 32))
    if len(masks):
        nodes_kernel[(len(masks) * blocks,)](sample_ids.contiguous(), nodes, count, *keys, blocks, axes, _BLOCK)
    tables = [_weights(h, device) for h in apart[::-1]]
    numbers = (counts[2], counts[1] * counts[2], count, *apart[::-1], *gains[::-1])
    return _look_up(
        elastic_kernel, masks, lambda source, out: (source, out, nodes, *tables), numbers, axes, _FIELD_BLOCK
    )


def _look_up(kernel: Any, masks: Tensor, pointers: Any, numbers: tuple[int, ...], constant: int, block: int) -> Tensor:
    source = masks.contiguous().view(torch.uint8)
    out = torch.empty(masks.shape, dtype=torch.uint8, device=masks.device)
    depth, height, width = (1, *masks.shape[1:])[-3:]
    blocks = triton.cdiv(depth * height * width, block)
    wide = out.numel() + block > 2**31
    if len(masks):
        arguments = (*pointers(source, out), width, height, depth, *numbers, blocks)
        kernel[(len(masks) * blocks,)](*arguments, constant, wide, block)
    return out


@functools.cache
def _weights(spacing: int, device: torch.device) -> Tensor:
    return torch.from_numpy(spline_weights(spacing)).to(device)
