"""The public `augment` in Triton: one kernel moves images and masks, one does all that a look asks of single pixels.

What is drawn for a sample (a map, a matrix) is a handful of numbers and comes from the reference; so does blur, two or
three convolutions between the kernels where a look asks for it.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..reference.augment import (
    NOISE,
    Drawn,
    Finish,
    Geometry,
    Look,
    blur,
    color_matrix,
    drawn_look,
    source_matrices,
    zoom_table,
)  # fmt: skip
from ..reference.packed import PackedMasks

_BLOCK = {2: 512, 3: 256}  # pixels that a program moves; a voxel's eight neighbours want registers
_DRAWS = 256  # blocks of noise, of 8 values each, that a program looks after
_HALF, _PART = tl.constexpr(1 << 15), tl.constexpr(0xFFFF)


@triton.jit
def reflected(place, side):
    """A place (Q16.16) on an axis that is mirrored at -1/2 and side - 1/2, + 1/2: in [0, side)."""
    end = side.to(tl.int64) << 16
    t = (place + _HALF) % (2 * end)
    t = tl.where(t < 0, t + 2 * end, t)
    return tl.where(t >= end, 2 * end - 1 - t, t)


@triton.jit
def move_kernel(
    images, masks, index, maps, out, out_masks, channels, depth, height, width, blocks, planes, scale,
    AXES: tl.constexpr, MASKS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out fp32 [batch, channels, depth, height, width]: linear interpolation by weights of 1/256, times `scale`.

    images: uint8 or fp16, a store's; maps int64 [batch, 3, 4], Q16.16, axes z, y, x of a source by (z, y, x, 1).
    MASKS: 0 none, 1 bytes, 2 `planes` planes of bits.
    """
    program = tl.program_id(0)
    sample = program // blocks
    i = program % blocks * BLOCK + tl.arange(0, BLOCK)
    pixels = depth * height * width
    inside = i < pixels
    x, y, z = (i % width).to(tl.int64), (i // width % height).to(tl.int64), (i // (width * height)).to(tl.int64)
    m = maps + sample * 12
    tx = reflected(tl.load(m + 8) * z + tl.load(m + 9) * y + tl.load(m + 10) * x + tl.load(m + 11), width)
    ty = reflected(tl.load(m + 4) * z + tl.load(m + 5) * y + tl.load(m + 6) * x + tl.load(m + 7), height)
    tz = reflected(tl.load(m + 0) * z + tl.load(m + 1) * y + tl.load(m + 2) * x + tl.load(m + 3), depth)
    source = tl.load(index + sample)
    to = sample.to(tl.int64)
    if MASKS:
        nearest = ((tz >> 16) * height + (ty >> 16)) * width + (tx >> 16)
        if MASKS == 1:
            label = tl.load(masks + source * pixels + nearest, mask=inside, other=0).to(tl.int32)
        else:
            size = (pixels + 7) // 8
            label = tl.zeros([BLOCK], tl.int32)
            for k in range(planes):
                byte = tl.load(masks + (source * planes + k) * size + (nearest >> 3), mask=inside, other=0).to(tl.int32)
                label += (byte >> (nearest & 7).to(tl.int32) & 1) << k
        tl.store(out_masks + to * pixels + i, label.to(tl.uint8), mask=inside)
    qx, qy, qz = tx - _HALF, ty - _HALF, tz - _HALF
    part_x, part_y, part_z = (qx & _PART) >> 8, (qy & _PART) >> 8, (qz & _PART) >> 8
    for c in range(channels):
        plane = images + (source * channels + c) * pixels
        total = tl.zeros([BLOCK], tl.float32) if images.dtype.element_ty == tl.float16 else tl.zeros([BLOCK], tl.int64)
        for corner in tl.static_range(1 << AXES):
            right, lower, deeper = corner & 1, corner >> 1 & 1, corner >> 2
            px = tl.minimum(tl.maximum((qx >> 16) + right, 0), width - 1)
            py = tl.minimum(tl.maximum((qy >> 16) + lower, 0), height - 1)
            weight = (part_x if right else 256 - part_x) * (part_y if lower else 256 - part_y)
            at = py * width + px
            if AXES == 3:
                pz = tl.minimum(tl.maximum((qz >> 16) + deeper, 0), depth - 1)
                at += pz * height * width
                weight = weight * (part_z if deeper else 256 - part_z)
            value = tl.load(plane + at, mask=inside, other=0)
            total += value.to(total.dtype) * weight.to(total.dtype)
        held = tl.minimum(tl.maximum(total.to(tl.float32) * scale, 0.0), 1.0)
        tl.store(out + (to * channels + c) * pixels + i, held, mask=inside)


@triton.jit
def philox(block, stream, number, key_low, key_high, BLOCK: tl.constexpr):
    """The four words of Philox4x32-10 with counter (block, stream, sample id) and the seed as its key."""
    zero = tl.full([BLOCK], 0, tl.uint32)
    c0, c1 = block.to(tl.uint32), zero + stream.to(tl.uint32)
    c2, c3 = zero + (number & 0xFFFFFFFF).to(tl.uint32), zero + (number >> 32 & 0xFFFFFFFF).to(tl.uint32)
    k0, k1 = zero + (key_low & 0xFFFFFFFF).to(tl.uint32), zero + (key_high & 0xFFFFFFFF).to(tl.uint32)
    factor0, factor1 = tl.full([BLOCK], 0xD2511F53, tl.uint32), tl.full([BLOCK], 0xCD9E8D57, tl.uint32)
    step0, step1 = tl.full([BLOCK], 0x9E3779B9, tl.uint32), tl.full([BLOCK], 0xBB67AE85, tl.uint32)
    for _ in tl.static_range(10):
        high0, high1 = tl.umulhi(factor0, c0), tl.umulhi(factor1, c2)
        low0, low1 = factor0 * c0, factor1 * c2
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = k0 + step0, k1 + step1
    return c0, c1, c2, c3


@triton.jit
def look_kernel(
    images, out, matrices, exponents, deviations, ids, scales, channels, pixels, blocks, channel_step, pixel_step,
    stream, key_low, key_high, COLOR: tl.constexpr, GAMMA: tl.constexpr, NOISE: tl.constexpr, SCALED: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """out = ((matrix . pixel held in [0, 1]) ^ exponent + noise held in [0, 1]) scale + bias, of each channel.

    images fp32 [batch, channels, pixels]; matrices fp32 [batch, channels, channels + 1], the last column being added;
    scales fp32 [2, channels]. A lane has a block of noise, and so eight values of the flattened sample.
    """
    program = tl.program_id(0)
    sample = program // blocks
    block = program % blocks * BLOCK + tl.arange(0, BLOCK)
    first = sample.to(tl.int64) * channels * pixels
    if NOISE:
        words = philox(block, stream, tl.load(ids + sample), key_low, key_high, BLOCK)
        deviation = tl.load(deviations + sample) * 0.10846522890932808  # 1 / sqrt((16^2 - 1) / 3)
    for k in tl.static_range(8):
        p = (block >> 4) * 128 + (k & 1) * 64 + (k >> 1) * 16 + (block & 15)
        inside = p < channels * pixels
        r, i = p // pixels, p % pixels
        if COLOR:
            row = matrices + (sample * channels + r) * (channels + 1)
            value = tl.load(row + channels, mask=inside, other=0.0)
            for c in range(channels):
                seen = tl.load(images + first + c * pixels + i, mask=inside, other=0.0)
                value += tl.load(row + c, mask=inside, other=0.0) * seen
            value = tl.minimum(tl.maximum(value, 0.0), 1.0)
        else:
            value = tl.load(images + first + p, mask=inside, other=0.0)
        if GAMMA:
            raised = tl.exp2(tl.load(exponents + sample) * tl.log2(tl.maximum(value, 1e-30)))
            value = tl.where(value > 1e-30, raised, 0.0)
        if NOISE:
            half = words[k >> 1] >> 16 if k & 1 else words[k >> 1] & 0xFFFF
            total = (half & 15) + (half >> 4 & 15) + (half >> 8 & 15) + (half >> 12)
            value += (total.to(tl.int32) - 30).to(tl.float32) * deviation
        value = tl.minimum(tl.maximum(value, 0.0), 1.0)
        if SCALED:
            scale, bias = (
                tl.load(scales + r, mask=inside, other=0.0),
                tl.load(scales + channels + r, mask=inside, other=0.0),
            )
            value = value * scale + bias
        tl.store(out + first + r * channel_step + i * pixel_step, value.to(out.dtype.element_ty), mask=inside)


def augment(
    images: Tensor,
    masks: Tensor | PackedMasks | None,
    index: Tensor,
    geometry: Geometry,
    looks: tuple[Look, ...],
    seed: int,
    sample_ids: Tensor,
    finish: Finish = Finish(),  # noqa: B008 (frozen)
) -> tuple[Tensor, ...]:
    images, (channels, *sides) = images.contiguous(), images.shape[1:]
    moved, labels = _moved(images, masks, index, source_matrices(geometry, seed, sample_ids, tuple(sides)))
    made = [
        _looked(moved, drawn_look(look, seed, sample_ids, view, channels), look, seed, sample_ids, view, finish)
        for view, look in enumerate(looks)
    ]
    return (*made, *([] if labels is None else [labels]))


def _moved(
    images: Tensor, masks: Tensor | PackedMasks | None, index: Tensor, matrices: Tensor
) -> tuple[Tensor, Tensor | None]:
    (channels, *sides), batch = images.shape[1:], len(index)
    axes, (depth, height, width) = len(sides), (1, *sides)[-3:]
    maps = torch.zeros(batch, 3, 4, dtype=torch.int64, device=images.device)
    maps[:, 3 - axes :, 3 - axes :] = matrices
    moved = torch.empty((batch, channels, *sides), device=images.device)
    labels, kind, planes, stored = None, 0, 0, index
    if masks is not None:
        labels = torch.empty((batch, *sides), dtype=torch.uint8, device=images.device)
        stored = (masks.bits if isinstance(masks, PackedMasks) else masks).contiguous()
        kind, planes = (2, stored.shape[1]) if isinstance(masks, PackedMasks) else (1, 0)
    blocks = triton.cdiv(math.prod(sides), _BLOCK[axes])
    largest = (255 if images.dtype == torch.uint8 else 1) * 256**axes
    move_kernel[(batch * blocks,)](
        images, stored, index.contiguous(), maps, moved, moved if labels is None else labels, channels, depth, height,
        width, blocks, planes, 1 / largest, AXES=axes, MASKS=kind, BLOCK=_BLOCK[axes],
    )  # fmt: skip
    return moved, labels


def _looked(
    moved: Tensor, drawn: Drawn, look: Look, seed: int, sample_ids: Tensor, view: int, finish: Finish
) -> Tensor:
    batch, channels, *sides = moved.shape
    pixels = math.prod(sides)
    if drawn.sigma is not None:
        moved = blur(moved, drawn.sigma, look.blur)
    matrices = moved
    if drawn.brightness is not None:
        means = moved.flatten(2).mean(2, keepdim=True)
        matrix, bias = color_matrix(means, drawn.brightness, drawn.contrast, drawn.saturation, drawn.gains)
        matrices = torch.cat([matrix, bias.expand(-1, channels, -1)], 2).contiguous()
    out = torch.empty(moved.shape, dtype=finish.dtype, device=moved.device, memory_format=finish.layout(moved.dim()))
    scales = zoom_table((*finish.scale, *finish.bias), moved.device).to(torch.float32) if finish.scale else moved
    exponents = moved if drawn.exponent is None else drawn.exponent
    deviations = moved if drawn.deviation is None else drawn.deviation
    keys = (half + (1 << 40) for half in (seed & 0xFFFFFFFF, seed >> 32))  # always taken as 64 bits
    blocks = triton.cdiv(16 * triton.cdiv(channels * pixels, 128), _DRAWS)
    look_kernel[(batch * blocks,)](
        moved, out, matrices, exponents, deviations, sample_ids.contiguous(), scales, channels, pixels, blocks,
        1 if finish.channels_last else pixels, channels if finish.channels_last else 1, NOISE + view,
        *keys, COLOR=drawn.brightness is not None, GAMMA=drawn.exponent is not None,
        NOISE=drawn.deviation is not None, SCALED=bool(finish.scale), BLOCK=_DRAWS,
    )  # fmt: skip
    return out
