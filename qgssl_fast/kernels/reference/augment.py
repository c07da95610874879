"""Augmentation as plain torch. Where pixels come from is decided in integers (Philox, Q16.16), looks are floats.

A sample depends on (seed, its id) alone. Words of the stream of geometry: 0 whether it moves, 1 angle, 2 scale, for
each axis, depth first, whether it is flipped, then the shifts. Of a look: 0, 1 blur and its sigma, 2 whether colours
change, 3 brightness, 4 contrast, 5 saturation, 6 gamma, 7, 8 noise and its deviation, then a gain for each channel.
Noise of pixel p of the flattened image: half p % 128 // 64 (the lower first) of word p % 64 // 16 of block
16 (p // 128) + p % 16.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .augment_draw import ONE, between, cos_sin, numbers, words
from .packed import PackedMasks

HALF = 1 << 15
GEOMETRY, LOOK, NOISE = 0x41000000, 0x41000001, 0x41000003  # streams of their own; + 1 for the second view's two
SCALES = 256  # intervals of the table of zooms
LUMA = (0.299, 0.587, 0.114)  # ITU-R 601-2


class Geometry(NamedTuple):
    """Probabilities as parts of 2**32, angle and shift Q16.16 (degrees, part of a side), 1 / zoom as a table Q16.16."""

    flip: int
    moves: int
    degrees: int
    translate: int
    inverse: tuple[int, ...]


class Look(NamedTuple):
    """Probabilities as parts of 2**32, then the largest strengths, as `Augmentation` has them."""

    p_blur: int
    p_color: int
    p_noise: int
    blur: float
    brightness: float
    contrast: float
    saturation: float
    color: float
    gamma: float
    noise: float


class Finish(NamedTuple):
    """What a network wants: its dtype, channels last or not, and x scale + bias of each channel (empty: as it is)."""

    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    scale: tuple[float, ...] = ()
    bias: tuple[float, ...] = ()

    def of(self, images: Tensor) -> Tensor:
        """float32 [B, C, *S] so finished."""
        if self.scale:
            scale, bias = (
                zoom_table(numbers, images.device).to(torch.float32).view(-1, *[1] * (images.dim() - 2))
                for numbers in (self.scale, self.bias)
            )
            images = images * scale + bias
        return images.to(self.dtype, memory_format=self.layout(images.dim()))

    def layout(self, dims: int) -> torch.memory_format:
        last = torch.channels_last if dims == 4 else torch.channels_last_3d
        return last if self.channels_last else torch.contiguous_format


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
    """images uint8, or float16 in [0, 1], [N, C, *S]; masks uint8 [N, *S], packed or None; index, sample_ids int64 [B].

    Returns [B, C, *S] for each look, in one geometry, then the masks uint8 [B, *S] if there are any.
    """
    matrices = source_matrices(geometry, seed, sample_ids, tuple(images.shape[2:]))
    places = [reflected(t, n) for t, n in zip(source_places(matrices, images.shape[2:]), images.shape[2:])]
    moved = sample_linear(images[index], places)
    made = [finish.of(change_look(moved, look, seed, sample_ids, view)) for view, look in enumerate(looks)]
    if masks is None:
        return tuple(made)
    chosen = masks.unpacked(index) if isinstance(masks, PackedMasks) else masks[index]
    return (*made, sample_nearest(chosen, places))


@lru_cache(maxsize=64)
def zoom_table(inverse: tuple[float, ...], device: torch.device) -> Tensor:
    """On the device once: a copy from the host in every step would be waited for."""
    return torch.tensor(inverse, device=device)


def source_matrices(g: Geometry, seed: int, sample_ids: Tensor, shape: tuple[int, ...]) -> Tensor:
    """int64 [B, d, d + 1], Q16.16: pixel (..., y, x) of the result looks at row . (..., y, x, 1), axes as in `shape`.

    source - centre = flip (R / zoom (pixel - centre) - side shift), R in the plane of the last two axes.
    """
    dims = len(shape)
    w = numbers(seed, sample_ids, GEOMETRY, 3 + 2 * dims)
    moves = (w[:, 0] < g.moves).long()
    table = zoom_table(g.inverse, w.device)
    at, part = w[:, 2] >> 24, w[:, 2] >> 8 & 0xFFFF
    inverse = table[at] + ((table[at + 1] - table[at]) * part >> 16)
    inverse = ONE + moves * (inverse - ONE)
    c, s = cos_sin(moves * between(w[:, 1], -g.degrees, g.degrees))
    a, b = inverse * c >> 16, inverse * s >> 16
    out = torch.zeros(len(w), dims, dims + 1, dtype=torch.int64, device=w.device)
    for axis, side in enumerate(shape):
        sign = 1 - 2 * (w[:, 3 + axis] < g.flip).long()
        shift = moves * between(w[:, 3 + dims + axis], -g.translate, g.translate) * side
        row = [torch.zeros_like(a)] * dims
        if axis < dims - 2:
            row[axis] = inverse
        else:
            row[dims - 2], row[dims - 1] = (a, -b) if axis == dims - 2 else (b, a)
        centre = sum(element * (n - 1) for element, n in zip(row, shape)) >> 1
        for k in range(dims):
            out[:, axis, k] = sign * row[k]
        out[:, axis, dims] = (side - 1) * HALF - sign * (centre + shift)
    return out


def source_places(matrices: Tensor, shape: torch.Size) -> list[Tensor]:
    """Q16.16 place of each pixel's source along each axis, broadcastable to [B, *S]."""
    dims = len(shape)
    found = []
    for axis in range(dims):
        total = matrices[:, axis, dims].view(-1, *[1] * dims)
        for k, side in enumerate(shape):
            step = torch.arange(side, device=matrices.device).view(*[1] * (1 + k), side, *[1] * (dims - 1 - k))
            total = total + matrices[:, axis, k].view(-1, *[1] * dims) * step
        found.append(total)
    return found


def reflected(place: Tensor, side: int) -> Tensor:
    """A place on an axis of `side` pixels that is mirrored at -1/2 and side - 1/2: in [0, side), Q16.16 + 1/2."""
    end = side << 16
    t = (place + HALF) % (2 * end)
    return torch.where(t >= end, 2 * end - 1 - t, t)


def sample_nearest(masks: Tensor, places: list[Tensor]) -> Tensor:
    """uint8 [B, *S] at the pixels that hold the places."""
    shape = masks.shape[1:]
    flat = torch.zeros((), dtype=torch.int64, device=masks.device)
    for t, side in zip(places, shape):
        flat = flat * side + (t >> 16)
    return masks.flatten(1).gather(1, flat.expand(masks.shape).flatten(1)).view(masks.shape)


def sample_linear(images: Tensor, places: list[Tensor]) -> Tensor:
    """float32 [B, C, *S] in [0, 1]: linear interpolation by weights of 1/256, of bytes exact in integers."""
    batch, _, *shape = images.shape
    whole = images.dtype == torch.uint8
    flat = images.flatten(2).to(torch.int64 if whole else torch.float32)
    zero = torch.zeros((), dtype=torch.int64, device=images.device)
    corners = [(zero, zero + 1)]
    for t, side in zip(places, shape):
        low, part = (t - HALF) >> 16, (t - HALF & 0xFFFF) >> 8
        ends = ((low.clamp(0, side - 1), 256 - part), ((low + 1).clamp(0, side - 1), part))
        corners = [(at * side + to, before * weight) for at, before in corners for to, weight in ends]
    total = torch.zeros_like(flat)
    for at, weight in corners:
        places_ = at.expand(batch, *shape).reshape(batch, 1, -1).expand(flat.shape)
        total += flat.gather(2, places_) * weight.expand(batch, *shape).reshape(batch, 1, -1)
    largest = (255 if whole else 1) * 256 ** len(shape)
    return (total.to(torch.float32) * (1 / largest)).clamp_(0, 1).view(images.shape)


class Drawn(NamedTuple):
    """A look of each sample: float32 [B], gains [B, C]; None: not asked for. The exponent is that of gamma."""

    sigma: Tensor | None
    brightness: Tensor | None
    contrast: Tensor
    saturation: Tensor
    gains: Tensor
    exponent: Tensor | None
    deviation: Tensor | None


def drawn_look(look: Look, seed: int, sample_ids: Tensor, view: int, channels: int) -> Drawn:
    w = numbers(seed, sample_ids, LOOK + view, 9 + channels)
    u = (w >> 8).to(torch.float32) * 2.0**-24
    v = 2 * u - 1
    blurs, done, noisy = ((w[:, k] < chance).to(torch.float32) for k, chance in chances_of(look))
    return Drawn(
        blurs * u[:, 1] * look.blur if look.p_blur and look.blur else None,
        done * v[:, 3] * look.brightness if look.p_color else None,
        1 + done * v[:, 4] * look.contrast,
        1 + done * v[:, 5] * look.saturation,
        1 + done[:, None] * v[:, 9:] * look.color,
        torch.exp(done * v[:, 6] * look.gamma) if look.p_color and look.gamma else None,
        noisy * u[:, 8] * look.noise if look.p_noise and look.noise else None,
    )


def chances_of(look: Look) -> tuple[tuple[int, int], ...]:
    """The words that decide on blur, colours and noise, and what they have to be below."""
    return (0, look.p_blur), (2, look.p_color), (7, look.p_noise)


def change_look(images: Tensor, look: Look, seed: int, sample_ids: Tensor, view: int) -> Tensor:
    """Blur, colour, gamma, noise, each within [0, 1]; a new tensor."""
    d = drawn_look(look, seed, sample_ids, view, images.shape[1])
    column = (-1, *[1] * (images.dim() - 1))
    made = images.clone()
    if d.sigma is not None:
        made = blur(made, d.sigma, look.blur)
    if d.brightness is not None:
        made = color(made, d.brightness, d.contrast, d.saturation, d.gains).clamp_(0, 1)
    if d.exponent is not None:
        made = made.pow_(d.exponent.view(column))
    if d.deviation is not None:
        made += noise(seed, sample_ids, tuple(images.shape[1:]), NOISE + view) * d.deviation.view(column)
    return made.clamp_(0, 1)


def noise(seed: int, sample_ids: Tensor, shape: tuple[int, ...], stream: int) -> Tensor:
    """Nearly normal numbers, mean 0, deviation 1, float32 [B, *shape]: four nibbles of half a word."""
    size = math.prod(shape)
    drawn = words(seed, sample_ids, stream, torch.arange(16 * -(-size // 128), device=sample_ids.device))
    w = drawn.view(len(sample_ids), -1, 16, 4).transpose(2, 3)
    halves = torch.stack([w & 0xFFFF, w >> 16], 2).flatten(1)[:, :size]
    total = (halves & 0xF) + (halves >> 4 & 0xF) + (halves >> 8 & 0xF) + (halves >> 12)
    # Four nibbles: mean 4 * 7.5, variance 4 * (16^2 - 1) / 12.
    return ((total - 30).to(torch.float32) * (1 / math.sqrt((16**2 - 1) / 3))).view(len(sample_ids), *shape)


def color(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor, gains: Tensor) -> Tensor:
    """Gains a channel, saturation, contrast about the sample's mean, brightness, as one matrix a sample.

    images float32 [B, C, *S]; brightness, contrast, saturation [B]; gains [B, C].
    """
    flat = images.flatten(2)
    matrix, bias = color_matrix(flat.mean(2, keepdim=True), brightness, contrast, saturation, gains)
    return torch.baddbmm(bias, matrix, flat).view_as(images)


def color_matrix(
    means: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor, gains: Tensor
) -> tuple[Tensor, Tensor]:
    """Matrix [B, C, C] and bias [B, 1, 1] of `color`; means [B, C, 1] of the channels."""
    channels = means.shape[1]
    weights = means.new_tensor(LUMA) if channels == 3 else means.new_full((channels,), 1 / channels)
    identity = torch.eye(channels, device=means.device)
    blend = saturation[:, None, None] * identity + (1 - saturation)[:, None, None] * weights[None, None, :]
    matrix = blend * gains[:, None, :]
    mean = (matrix @ means).mean(1, keepdim=True)
    bias = (1 - contrast)[:, None, None] * mean + brightness[:, None, None]
    return contrast[:, None, None] * matrix, bias


def blur(images: Tensor, sigma: Tensor, largest: float) -> Tensor:
    """Gaussian blur, sigma [B] in px (0 leaves a sample as it is), borders replicated; `largest` bounds sigma."""
    if not images.numel():
        return images
    radius = max(1, math.ceil(2.5 * largest))
    offsets = torch.arange(-radius, radius + 1, device=images.device).to(torch.float32)
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
