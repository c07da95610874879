"""Pictures of masks on images: the gallery of corruptions, best and worst predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from qgssl_fast.errors import InputError
from qgssl_fast.reporting.plots import dice_comparison, quality_scatter, training_curves
from qgssl_fast.reporting.style import (
    ADDED,
    COLOURS,
    HALO,
    MISSED,
    PREDICTION,
    TRUTH,
    array,
    blend,
    contour,
    figure,
    grey,
    rgb_images,
    same_size,
    short,
    show,
    slices,
)

__all__ = ["corruption_gallery", "dice_comparison", "overlays", "quality_scatter", "training_curves"]


def corruption_gallery(
    images: Any,
    true: Any,
    corrupted: Any,
    labels: Sequence[str],
    dice: Any,
    path: str | Path,
    title: str = "Corrupted masks",
    columns: int = 8,
) -> Path:
    """Tiles of an image with the true mask's outline and the corrupted mask filled; row name and Dice above each.

    `images` [N, C, *S] (uint8, or floats in [0, 1]) or a single one [1, C, *S] for all; `true` (likewise) and
    `corrupted` masks [N, *S], or probabilities; `labels` N names; `dice` [N]. Of a volume the fullest slice is
    shown. The picture is 1.5 in wide a column (225 px) and, for square images, 1.75 in high a row, plus a line for
    title and legend.
    """
    changed = array("corruption_gallery", corrupted)
    n = len(changed)
    if n == 0 or columns < 1:
        raise InputError(f"corruption_gallery: needs at least one mask and one column, got {n} and {columns}")
    pictures, truth = rgb_images("corruption_gallery", images), array("corruption_gallery", true)
    pictures, truth = (x.repeat(n, 0) if len(x) == 1 else x for x in (pictures, truth))
    same_size("corruption_gallery", pictures, truth, changed)
    scores = _lengths("corruption_gallery", n, labels, dice)
    pictures, truth, changed = slices(pictures, truth, changed)
    columns = min(columns, n)
    rows = math.ceil(n / columns)
    shape = min(max(pictures.shape[1] / pictures.shape[2], 0.4), 2.5)
    with figure(path, max(1.5 * columns, 5), (0.3 + 1.45 * shape) * rows + 0.75, title) as fig:
        axes = fig.subplots(rows, columns, squeeze=False).ravel()
        for ax in axes[n:]:
            ax.set_axis_off()
        for k in range(n):
            tile = pictures[k]
            if changed.dtype.kind == "f":  # probabilities of one class
                tile = blend(tile, changed[k], _filling(1))
            else:
                for value in (x for x in np.unique(changed[k]) if x):
                    tile = blend(tile, changed[k] == value, _filling(int(value)))
            show(axes[k], tile, f"{_heading(labels[k])}\nDice {scores[k]:.2f}", size=7.5)
            contour(axes[k], truth[k], TRUTH)
        marks = [
            Line2D([], [], color=TRUTH, lw=1.5, path_effects=HALO, label="true mask"),
            Patch(facecolor=_filling(1), alpha=0.5, label="corrupted mask"),
        ]
        fig.legend(handles=marks, loc="outside lower left", ncols=2)
    return Path(path)


def overlays(
    images: Any,
    true: Any,
    pred: Any,
    names: Sequence[str],
    dice: Any,
    path: str | Path,
    title: str = "Test cases",
    count: int = 3,
) -> Path:
    """The `count` worst cases (left) and the `count` best (right): image, both outlines, and where they differ.

    `images` [N, C, *S] (uint8, or floats in [0, 1]), masks `true` and `pred` [N, *S], `names` N file names, `dice` [N].
    With fewer than two times `count` cases each is shown once. Of a volume the fullest slice is shown. The picture is
    10.5 in wide (1575 px; half of it for a single case) and, for square images, 1.82 in high a row,
    plus a line for title and legend.
    """
    truth, guess = array("overlays", true), array("overlays", pred)
    n = len(truth)
    if n == 0 or count < 1:
        raise InputError(f"overlays: needs at least one case and count >= 1, got {n} cases and count {count}")
    pictures = rgb_images("overlays", images)
    same_size("overlays", pictures, truth, guess)
    scores = _lengths("overlays", n, names, dice)
    pictures, truth, guess = slices(pictures, truth, guess)
    order = np.argsort(scores, kind="stable")
    worst = order[: min(count, math.ceil(n / 2))]
    best = order[::-1][: min(count, n // 2)]
    blocks = [(name, cases) for name, cases in (("Lowest Dice", worst), ("Highest Dice", best)) if len(cases)]
    rows = len(worst)
    shape = min(max(pictures.shape[1] / pictures.shape[2], 0.4), 2.5)
    with figure(path, 5.25 * len(blocks), (0.17 + 1.65 * shape) * rows + 1.1, title) as fig:
        panes = fig.subfigures(1, len(blocks), squeeze=False)[0]
        for pane, (heading, cases) in zip(panes, blocks):
            pane.suptitle(heading, fontsize=11, fontweight="bold")
            axes = pane.subplots(rows, 3, squeeze=False)
            for ax in axes[len(cases) :].ravel():
                ax.set_axis_off()
            for row, k in zip(axes, cases):
                show(row[0], pictures[k], short(names[k]))
                show(row[1], pictures[k], f"Dice {scores[k]:.3f}")
                contour(row[1], truth[k], TRUTH)
                contour(row[1], guess[k], PREDICTION)
                show(row[2], _errors(pictures[k], truth[k], guess[k]), "errors")
        _overlay_legend(fig)
    return Path(path)


def _overlay_legend(fig: Figure) -> None:
    marks: list[Any] = [
        Line2D([], [], color=TRUTH, lw=1.5, path_effects=HALO, label="true mask"),
        Line2D([], [], color=PREDICTION, lw=1.5, path_effects=HALO, label="prediction"),
        Patch(facecolor=MISSED, label="missed"),
        Patch(facecolor=ADDED, label="added"),
        Patch(facecolor="white", edgecolor="#8b949e", label="right"),
    ]
    fig.legend(handles=marks, loc="outside lower left", ncols=5)


def _errors(image: np.ndarray, true: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """Missed and added foreground in colour, right foreground white, on the image in grey; a wrong label is missed."""
    ground = blend(grey(image), (true == pred) & (true != 0), "white", 0.6)
    ground = blend(ground, (true != pred) & (true != 0), MISSED, 0.9)
    return blend(ground, (true == 0) & (pred != 0), ADDED, 0.9)


def _heading(label: str) -> str:
    """A chain that is too long for a line is broken between its rows."""
    return short(label, 26) if len(label) <= 26 else "\n".join(short(part, 26) for part in label.split(" > "))


def _filling(label: int) -> str:
    return (ADDED, COLOURS[1], COLOURS[2], COLOURS[3])[(label - 1) % 4]


def _lengths(what: str, n: int, names: Sequence[str], dice: Any) -> np.ndarray:
    scores = array(what, dice).astype(float)
    if len(names) != n or scores.shape != (n,):
        raise InputError(f"{what}: {n} masks need {n} names and Dice [{n}], got {len(names)} and {list(scores.shape)}")
    return scores
