"""Phantoms: textured lesions on textured tissue, from one continuous distribution of looks, written as a data set.

A lesion differs from its surroundings by light, colour, and the scale and direction of its texture, each by an amount
drawn anew for every image. So no cue serves for all images, and a dozen labels do not show what hundreds of images do.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from qgssl_fast.data.layout import SPLITS, Dataset
from qgssl_fast.data.readers import read_dataset
from qgssl_fast.errors import Faults, InputError

COUNTS = {"train": 12, "val": 16, "test": 60, "unlabeled": 240}
CHUNK = 64  # images drawn at a time

Array = np.ndarray


@dataclass(frozen=True)
class PhantomStyle:
    """What makes phantoms hard. Lengths are parts of the image's side, intensities parts of the range [0, 1]."""

    radius: tuple[float, float] = (0.13, 0.27)  # mean radius of a lesion
    roughness: float = 0.16  # amplitude of the contour's waves, as a part of the radius
    second_part: float = 0.2  # probability of a second, separate or touching part
    contrast: tuple[float, float] = (0.08, 0.26)  # light and colour difference of the lesion
    light: tuple[float, float] = (0.45, 1.0)  # share of light in that difference, the rest is hue
    dark: float = 0.6  # probability that the lesion is darker, not brighter
    texture: tuple[float, float] = (0.04, 0.14)  # standard deviation of the texture, lesion and tissue drawn apart
    texture_scale: tuple[float, float] = (0.02, 0.12)  # wavelength of the texture
    faint: float = 0.6  # how much of the contrast is lost along the faint arc of the boundary
    softness: tuple[float, float] = (0.005, 0.03)  # width of the boundary
    illumination: float = 0.25  # largest change of light across the image
    streaks: int = 5  # most hairs or vessels in an image
    distractors: int = 3  # most specular spots, and most small blotches of the lesion's colour
    noise: float = 0.02  # standard deviation of the pixel noise

    def __post_init__(self) -> None:
        faults = Faults()
        for name in ("radius", "contrast", "light", "texture", "texture_scale", "softness"):
            low, high = getattr(self, name)
            if not 0 < low <= high <= 1:
                faults.add(f"{name} must be (low, high) with 0 < low <= high <= 1, got {(low, high)}")
        for name in ("roughness", "second_part", "dark", "faint", "illumination", "noise"):
            if not 0 <= getattr(self, name) <= 1:
                faults.add(f"{name} must be in [0, 1], got {getattr(self, name)}")
        for name in ("streaks", "distractors"):
            if getattr(self, name) < 0:
                faults.add(f"{name} must be >= 0, got {getattr(self, name)}")
        faults.check("PhantomStyle")


def draw_phantoms(count: int, size: int = 64, seed: int = 0, style: PhantomStyle | None = None) -> tuple[Array, Array]:
    """`count` phantoms: images uint8 [N, size, size, 3] and masks uint8 [N, size, size] of 0 and 1.

    The first k images are the same for every count >= k.
    """
    if size < 16:
        raise InputError(f"draw_phantoms: size must be >= 16, got {size}")
    images = np.empty((count, size, size, 3), np.uint8)
    masks = np.empty((count, size, size), np.uint8)
    for start in range(0, count, CHUNK):
        part = slice(start, min(start + CHUNK, count))
        drawn = _draw(np.random.default_rng([seed, start]), size, style or PhantomStyle())
        images[part], masks[part] = drawn[0][: part.stop - start], drawn[1][: part.stop - start]
    return images, masks


def make_phantoms(
    root: str | Path,
    size: int = 64,
    counts: Mapping[str, int] | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    style: PhantomStyle | None = None,
) -> Dataset:
    """Write a data set of phantoms (PNG and CSV files) into the new or empty folder `root`, and read it back.

    counts: images per split (train, val, test, unlabeled), all of one distribution. progress: called with
    (done, total). style: None for the standard one.
    Raises InputError for unknown splits, negative counts, no train images, a folder that holds other files.
    """
    root, counts = Path(root), dict(COUNTS if counts is None else counts)
    if unknown := sorted(set(counts) - set(SPLITS)):
        raise InputError(f"make_phantoms: counts has {', '.join(unknown)}, wanted {', '.join(SPLITS)}")
    if min(counts.values(), default=0) < 0 or not counts.get("train"):
        raise InputError(f"make_phantoms: counts must be >= 0 and train >= 1, got {counts}")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(f"make_phantoms: {root} is not an empty folder")
    images, masks = draw_phantoms(sum(counts.values()), size, seed, style)
    for folder in ("images", "masks", "unlabeled"):
        (root / folder).mkdir(parents=True, exist_ok=True)

    rows: dict[str, list[list[str]]] = {split: [] for split in SPLITS if counts.get(split)}
    files: list[tuple[Array, str]] = []
    index = 0
    for split, listed in rows.items():
        for _ in range(counts[split]):
            name = f"{split}_{len(listed):04d}.png"
            if split == "unlabeled":
                listed.append([f"unlabeled/{name}"])
            else:
                listed.append([f"images/{name}", f"masks/{name}"])
                files.append((masks[index] * np.uint8(255), listed[-1][1]))
            files.append((images[index], listed[-1][0]))
            index += 1
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        written = pool.map(lambda file: Image.fromarray(file[0]).save(root / file[1], compress_level=1), files)
        for done, _ in enumerate(written, 1):
            if progress is not None:
                progress(done, len(files))
    # The CSV files come last: a folder that was cut short is not taken for a data set.
    for split, listed in reversed(rows.items()):
        with (root / f"{split}.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([["image_path", "mask_path"][: len(listed[0])], *listed])
    return read_dataset(root)


def _draw(rng: np.random.Generator, size: int, style: PhantomStyle) -> tuple[Array, Array]:
    """CHUNK phantoms: images uint8 [N, S, S, 3], masks uint8 [N, S, S]."""
    n, axis = CHUNK, (np.arange(size, dtype=np.float32) + 0.5) / size
    y, x = axis[None, :, None], axis[None, None, :]

    def draw(low: float, high: float, *shape: int) -> Array:
        return rng.uniform(low, high, (n, *shape, 1, 1)).astype(np.float32)

    depth, theta = _lesion(draw, x, y, style)  # > 0 inside, in parts of the side
    mask = (depth > 0).astype(np.uint8)

    # Along one arc the boundary widens and the lesion fades towards it.
    arc = np.exp(2.0 * (np.cos(theta - draw(0, 2 * np.pi)) - 1)).astype(np.float32)
    width = draw(*style.softness) * (1 + 2 * arc)
    near = np.exp(-np.square(depth / 0.06))
    alpha = (1 - style.faint * draw(0, 1) * arc * near) / (1 + np.exp((-depth / width).clip(-40, 40)))

    wavelength = np.exp(draw(*np.log(style.texture_scale), 2))
    angle, stretch = draw(0, np.pi, 2), np.exp(draw(0, 1.2, 2))
    grain = _texture(rng, size, wavelength, angle, stretch) * draw(*style.texture, 2)  # [N, 2, S, S]

    # Colours: tissue between pink, tan and red; the lesion away from it by light and by hue.
    base = np.array([0.72, 0.52, 0.44], np.float32)[None, :, None, None] + draw(-0.13, 0.13, 1) + draw(-0.08, 0.08, 3)
    sign = np.where(draw(0, 1, 1) < style.dark, -1, 1).astype(np.float32)
    hue = draw(-1, 1, 3)
    hue -= hue.mean(1, keepdims=True)
    share = draw(*style.light, 1)  # of light in the difference, the rest is hue
    direction = share * sign + np.sqrt(1 - share**2) * hue / np.sqrt(np.square(hue).mean(1, keepdims=True) + 1e-6)
    difference = draw(*style.contrast, 1) * direction

    mixed = grain[:, :1] * (1 - alpha[:, None]) + grain[:, 1:] * alpha[:, None]
    tint = 1 + draw(-0.3, 0.3, 3)  # textures have a colour, too
    image = base + difference * alpha[:, None] + mixed * tint
    image = _overlay(draw, rng, image, difference, x, y, style)
    slope = draw(0, 2 * np.pi)
    light = (x - 0.5) * np.cos(slope) + (y - 0.5) * np.sin(slope)
    image *= 1 + (draw(-1, 1) * style.illumination * light)[:, None]
    image += style.noise * rng.standard_normal(image.shape, np.float32)
    return (image.clip(0, 1) * 255 + 0.5).astype(np.uint8).transpose(0, 2, 3, 1), mask


def _lesion(draw: Callable[..., Array], x: Array, y: Array, style: PhantomStyle) -> tuple[Array, Array]:
    """Radial depth inside a closed contour r(angle) of low waves, the union of one or two parts; and the angle."""
    depth = theta = None
    for part in range(2):
        centre_y, centre_x = draw(0.3, 0.7), draw(0.3, 0.7)
        radius, turn, stretch = draw(*style.radius), draw(0, np.pi), np.exp(draw(-0.3, 0.3))
        if part:
            radius *= 0.55
        dy, dx = y - centre_y, x - centre_x
        u = (dx * np.cos(turn) + dy * np.sin(turn)) * stretch
        v = (dy * np.cos(turn) - dx * np.sin(turn)) / stretch
        around, waves = np.arctan2(v, u), np.ones_like(dx + dy)
        for k in range(2, 7):
            waves = waves + style.roughness * draw(0, 1) * (2 / k) * np.cos(k * around + draw(0, 2 * np.pi))
        inside = radius * waves.clip(0.35) - np.sqrt(u * u + v * v)
        if depth is None:
            depth, theta = inside, around
        else:
            depth = np.where(draw(0, 1) < style.second_part, np.maximum(depth, inside), depth)
    assert depth is not None
    assert theta is not None
    return depth, theta


def _texture(rng: np.random.Generator, size: int, wavelength: Array, angle: Array, stretch: Array) -> Array:
    """Noise of one wavelength (part of the side) and direction, variance 1: white noise through a ring in frequency."""
    white = rng.standard_normal((*wavelength.shape[:2], size, size), np.float32)
    fy, fx = np.fft.fftfreq(size)[:, None] * size, np.fft.rfftfreq(size)[None, :] * size  # cycles a side
    along = (fx * np.cos(angle) + fy * np.sin(angle)) * stretch
    across = (fy * np.cos(angle) - fx * np.sin(angle)) / stretch
    octaves = np.log(np.hypot(along, across) * wavelength + 1e-3)
    filtered = np.fft.irfft2(np.fft.rfft2(white) * np.exp(-np.square(octaves / 0.5)), s=(size, size))
    filtered /= filtered.std((2, 3), keepdims=True) + 1e-6
    return filtered.astype(np.float32)


def _overlay(
    draw: Callable[..., Array],
    rng: np.random.Generator,
    image: Array,
    difference: Array,
    x: Array,
    y: Array,
    style: PhantomStyle,
) -> Array:
    """Blotches of the lesion's colour, hairs or vessels, specular spots."""
    n = len(image)
    for _ in range(style.distractors):
        spread = draw(0.01, 0.035)
        blotch = np.exp(-(np.square(x - draw(0, 1)) + np.square(y - draw(0, 1))) / (2 * spread**2))
        image = image + difference * (blotch * (draw(0, 1) < 0.5))[:, None]
    number = rng.integers(0, style.streaks + 1, n)[:, None, None]
    shade = draw(-0.4, 0.15, 1) * np.array([0.8, 1, 1], np.float32)[None, :, None, None]
    for k in range(style.streaks):
        turn, bend, thick = draw(0, np.pi), draw(-1.5, 1.5), draw(0.004, 0.012)
        dy, dx = y - draw(0.1, 0.9), x - draw(0.1, 0.9)
        along, across = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
        line = np.exp(-np.square((across - bend * along * along) / thick)) * (number > k)
        image = image + shade * line[:, None]
    for _ in range(style.distractors):
        spread = draw(0.006, 0.02)
        spot = np.exp(-(np.square(x - draw(0, 1)) + np.square(y - draw(0, 1))) / (2 * spread**2))
        image = image + (1 - image) * (0.9 * spot * (draw(0, 1) < 0.4))[:, None]
    return image
