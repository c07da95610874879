"""One look for all pictures: colours, fonts, writing, and how images and masks are drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import AbstractPathEffect, withStroke

from qgssl_fast.errors import InputError
from qgssl_fast.files import replacing

DPI = 150
INK, FAINT = "#1b1f24", "#8b949e"
# Okabe and Ito 2008: told apart with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
# What the truth holds is yellow, what a mask claims is blue: strong on skin, tissue and grey images alike.
TRUTH, PREDICTION = "#F0E442", "#56B4E9"
MISSED, ADDED = "#E69F00", "#0072B2"
HALO: list[AbstractPathEffect] = [withStroke(linewidth=2.8, foreground="#000000b0")]

_LOOK: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e8eb",
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "text.parse_math": False,
}


@contextmanager
def figure(path: str | Path, width: float, height: float, title: str = "") -> Iterator[Figure]:
    """A figure of `width` x `height` inches that is written to `path` as PNG at 150 dpi when the block ends well."""
    path = Path(path)
    with matplotlib.rc_context(_LOOK):
        fig = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(fig)
        if title:
            fig.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        yield fig
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            fig.savefig(beside, format="png")


def array(what: str, values: Any) -> np.ndarray:
    """NumPy array of a tensor, array or list; a tensor may live on any device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    found = np.asarray(values)
    if found.dtype == object:
        raise TypeError(f"{what}: wanted numbers, got {type(values).__name__} of mixed things")
    return found


def rgb_images(what: str, images: Any) -> np.ndarray:
    """Images [N, C, *S] as uint8 [N, *S, 3]: one channel is grey, three are colours, of others the first is shown.

    uint8 is taken as it is; floats must be in [0, 1] (others are clipped).
    """
    values = array(what, images)
    if values.ndim not in (4, 5) or values.shape[1] == 0:
        raise InputError(f"{what}: images must be [N, C, H, W] or [N, C, D, H, W], got {list(values.shape)}")
    if np.issubdtype(values.dtype, np.floating):
        values = (np.nan_to_num(values).clip(0, 1) * 255).round().astype(np.uint8)
    elif values.dtype != np.uint8:
        raise TypeError(f"{what}: images must be uint8 or floats in [0, 1], got {values.dtype}")
    if values.shape[1] != 3:
        values = values[:, :1].repeat(3, 1)
    return np.moveaxis(values, 1, -1)


def slices(images: np.ndarray, *masks: np.ndarray) -> tuple[np.ndarray, ...]:
    """2D things as they are; of volumes the slice with the largest foreground of all the masks of a sample."""
    if masks[0].ndim == 3:
        return (images, *masks)
    area = sum((mask != 0).sum((2, 3)) for mask in masks)
    best = np.argmax(area, 1)
    index = np.arange(len(best))
    return tuple(x[index, best] for x in (images, *masks))


def same_size(what: str, images: np.ndarray, *masks: np.ndarray) -> None:
    for mask in masks:
        if mask.shape != images.shape[:-1]:
            raise InputError(
                f"{what}: images and masks must agree, got {list(images.shape[:-1])} and {list(mask.shape)}"
            )


def show(ax: Axes, image: np.ndarray, title: str = "", size: float = 9) -> None:
    ax.imshow(image, interpolation="nearest")
    ax.set_axis_off()
    if title:
        ax.set_title(title, fontsize=size, fontweight="normal", loc="center", pad=3)


def contour(ax: Axes, mask: np.ndarray, colour: str) -> None:
    """Outline of each label, closed where a mask touches the border."""
    for label in (x for x in np.unique(mask) if x):
        padded = np.pad((mask == label).astype(float), 1)
        y, x = (np.arange(-1, n - 1) for n in padded.shape)
        drawn = ax.contour(x, y, padded, levels=[0.5], colors=[colour], linewidths=1.5)
        drawn.set_path_effects(HALO)
    h, w = mask.shape
    ax.set_xlim(-0.5, w - 0.5)
    ax.set_ylim(h - 0.5, -0.5)


def blend(image: np.ndarray, mask: np.ndarray, colour: str, strength: float = 0.5) -> np.ndarray:
    """`image` (uint8 [H, W, 3]) with `colour` laid over the foreground, of probabilities by how much there is."""
    tint = np.array(to_rgb(colour)) * 255
    weight = strength * (mask if mask.dtype.kind == "f" else mask != 0)[..., None]
    return ((1 - weight) * image + weight * tint).round().astype(np.uint8)


def grey(image: np.ndarray) -> np.ndarray:
    """Luma of an RGB image as RGB, paler: a ground that lets colours on it speak."""
    luma = image @ np.array([0.299, 0.587, 0.114])
    return (90 + 0.6 * luma)[..., None].repeat(3, -1).astype(np.uint8)


def short(text: object, length: int = 24) -> str:
    """At most `length` characters, the middle left out."""
    text = "".join(ch if ch.isprintable() else "?" for ch in str(text))
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[len(text) - tail :]}"
