"""Plots of numbers: training curves, predicted against true quality, Dice per method."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle

from qgssl_fast.errors import InputError
from qgssl_fast.reporting.style import COLOURS, FAINT, INK, array, figure, short

_STAGES = ("weak", "quality", "segmenter")
# Book-keeping of a log row, not a quantity to draw.
_NOT_DRAWN = {"stage", "step", "epoch", "time", "seconds", "rate", "eta", "seed", "best_epoch", "total", "steps"}
_FIRST = ("loss", "loss_sup", "loss_unsup", "val_loss", "val_dice", "val_mae", "val_pearson")
_NAMES = {
    "loss": "training loss",
    "loss_sup": "supervised loss",
    "loss_unsup": "unlabelled loss",
    "val_loss": "validation loss",
    "val_dice": "validation Dice",
    "val_mae": "validation MAE",
    "val_pearson": "validation Pearson",
    "lambda": "λ",
    "lr": "learning rate",
}
_DENSITY = LinearSegmentedColormap.from_list("density", ["#a6cee3", "#4292c6", "#08519c", "#04152e"])

Series = dict[str, tuple[list[float], list[float]]]


def training_curves(log_rows: Iterable[Mapping[str, Any]], path: str | Path, title: str = "Training") -> Path:
    """One panel for each stage and quantity of a run's log; the methods of a stage share its panels.

    A row is like {"stage": "segmenter/PL-QW", "step": 120, "epoch": 3, "loss": 0.31, "val_dice": 0.87}: what stands
    before the slash names the stage, what follows the curve; every other number is a quantity. Long noisy curves are
    drawn faint under their running mean; a ring marks the best validation value. 11 in wide (1650 px), 2.5 in a row of
    up to three panels. No numbers in the rows: InputError.
    """
    panels = _panels(log_rows)
    if not panels:
        raise InputError("training_curves: the log has no rows with a stage, a step or epoch, and a number")
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    methods: dict[str, dict[str, str]] = defaultdict(dict)  # stage -> method -> colour
    for (stage, _, _), series in panels.items():
        for name in series:
            methods[stage].setdefault(name, COLOURS[len(methods[stage]) % len(COLOURS)])
    with figure(path, 11, 2.5 * rows + 0.8, title) as fig:
        axes = fig.subplots(rows, columns, squeeze=False).ravel()
        for ax in axes[len(panels) :]:
            ax.set_axis_off()
        for ax, ((stage, quantity, unit), series) in zip(axes, panels.items()):
            for name, (x, y) in series.items():
                _curve(ax, np.array(x), np.array(y), methods[stage][name], name, quantity)
            ax.set_title(f"{stage}: {_NAMES.get(quantity, quantity.replace('_', ' '))}" if stage else quantity)
            ax.set_xlabel(unit)
            ax.margins(x=0.03)
            if any(series):
                ax.legend(loc="best", handlelength=1.4)
    return Path(path)


def _panels(log_rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str, str], Series]:
    found: dict[tuple[str, str, str], Series] = defaultdict(dict)
    rows = [row for row in log_rows if "stage" in row]
    # Epochs only where no row of the stage has a step: one x axis a stage.
    stepped = {str(row["stage"]).partition("/")[0] for row in rows if _number(row.get("step")) is not None}
    for row in rows:
        stage, _, method = str(row["stage"]).partition("/")
        unit = "step" if stage in stepped else "epoch"
        x = _number(row.get(unit))
        if x is None:
            continue
        for key, value in row.items():
            y = _number(value)
            if y is not None and key not in _NOT_DRAWN:
                xs, ys = found[stage, key, unit].setdefault(method, ([], []))
                xs.append(x)
                ys.append(y)

    def place(panel: tuple[str, str, str]) -> tuple[Any, ...]:
        stage, quantity, _ = panel
        return (
            _STAGES.index(stage) if stage in _STAGES else len(_STAGES),
            stage,
            _FIRST.index(quantity) if quantity in _FIRST else len(_FIRST) + (not quantity.startswith("val_")),
            quantity,
        )

    return {panel: found[panel] for panel in sorted(found, key=place)}


def _curve(ax: Axes, x: np.ndarray, y: np.ndarray, colour: str, name: str, quantity: str) -> None:
    if len(x) > 40 and not quantity.startswith("val_"):
        ax.plot(x, y, color=colour, alpha=0.25, lw=0.8)
        half = max(1, len(x) // 60)
        sums = np.cumsum(np.concatenate([[0], y]))
        low, high = (np.arange(len(y)) - half).clip(0), (np.arange(len(y)) + half + 1).clip(max=len(y))
        y = (sums[high] - sums[low]) / (high - low)
    ax.plot(x, y, color=colour, label=name or None, marker="o" if len(x) < 12 else "", ms=3)
    if quantity in ("val_dice", "val_pearson", "val_mae", "val_loss"):
        k = int(np.argmin(y) if quantity in ("val_mae", "val_loss") else np.argmax(y))
        ax.plot(x[k], y[k], "o", mfc="none", mec=colour, ms=8, mew=1.6)


def quality_scatter(
    true: Any, predicted: Any, path: str | Path, title: str = "Predicted quality", groups: Sequence[str] | None = None
) -> Path:
    """Predicted against true Dice (dark = many points), with MAE and Pearson's r, and a reliability curve.

    `true` and `predicted` [N] in [0, 1]; `groups` N names, such as "corrupted" and "weak model": a panel for each. The
    reliability curve gives the mean true Dice of the masks whose predicted Dice falls into each tenth. 3.4 in wide
    (510 px) a panel, 3.9 in high.
    """
    t, p = (array("quality_scatter", x).astype(float) for x in (true, predicted))
    if t.ndim != 1 or t.shape != p.shape or len(t) == 0:
        raise InputError(
            f"quality_scatter: true and predicted must be [N], N > 0, got {list(t.shape)}, {list(p.shape)}"
        )
    if not (np.isfinite(t).all() and np.isfinite(p).all()):
        raise InputError("quality_scatter: true and predicted must be finite")
    if groups is not None and len(groups) != len(t):
        raise InputError(f"quality_scatter: {len(t)} values need {len(t)} groups, got {len(groups)}")
    names = np.array([str(g) for g in groups] if groups is not None else [""] * len(t))
    shown = list(dict.fromkeys(names.tolist()))
    with figure(path, 3.4 * (len(shown) + 1), 3.9, title) as fig:
        axes = fig.subplots(1, len(shown) + 1, squeeze=False)[0]
        for k, name in enumerate(shown):
            mine = names == name
            _density(axes[k], t[mine], p[mine])
            axes[k].set_title(short(name) or "all masks")
            axes[k].set_xlabel("true Dice")
            _reliability(axes[-1], t[mine], p[mine], COLOURS[k % len(COLOURS)], name)
        axes[0].set_ylabel("predicted Dice")
        axes[-1].set_title("Reliability")
        axes[-1].set_xlabel("predicted Dice")
        axes[-1].set_ylabel("mean true Dice")
        if len(shown) > 1:
            axes[-1].legend(loc="lower right")
        for ax in axes:
            ax.plot([0, 1], [0, 1], color=FAINT, lw=1, ls="--", zorder=1)
            ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal", xticks=np.linspace(0, 1, 6))
    return Path(path)


def _density(ax: Axes, true: np.ndarray, predicted: np.ndarray) -> None:
    cells = 40
    i, j = ((x.clip(0, 1) * (cells - 1)).round().astype(int) for x in (true, predicted))
    counts = np.zeros((cells + 2, cells + 2))
    np.add.at(counts, (i + 1, j + 1), 1)
    shifts = [np.roll(counts, (a, b), (0, 1)) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    near = np.sum(shifts, 0)[i + 1, j + 1]
    order = np.argsort(near, kind="stable")
    size = 16 if len(true) < 300 else 9 if len(true) < 2000 else 4
    ax.scatter(true[order], predicted[order], c=np.sqrt(near[order]), s=size, cmap=_DENSITY, linewidths=0, zorder=2)
    mae = float(np.abs(true - predicted).mean())
    spread = float(true.std() * predicted.std())
    r = float(((true - true.mean()) * (predicted - predicted.mean())).mean()) / spread if spread > 1e-12 else None
    text = f"MAE {mae:.3f}\nr {'not defined' if r is None else f'{r:.3f}'}\nn {len(true)}"
    ax.text(0.96, 0.04, text, transform=ax.transAxes, ha="right", fontsize=9, bbox={"fc": "#ffffffd0", "ec": "none"})


def _reliability(ax: Axes, true: np.ndarray, predicted: np.ndarray, colour: str, name: str) -> None:
    tenth = (predicted * 10).astype(int).clip(0, 9)
    used = np.unique(tenth)
    x = np.array([predicted[tenth == k].mean() for k in used])
    y = np.array([true[tenth == k].mean() for k in used])
    share = np.array([(tenth == k).mean() for k in used])
    ax.plot(x, y, color=colour, lw=1.2, zorder=2)
    ax.scatter(x, y, s=12 + 160 * share, color=colour, alpha=0.8, linewidths=0, label=short(name) or None, zorder=3)


def dice_comparison(methods: Mapping[str, Any], path: str | Path, title: str = "Test Dice") -> Path:
    """One strip a method: a dot for each test image, a box for the quartiles and median, a diamond for the mean.

    `methods`: name -> Dice per image [N]; drawn in the order given. 9 in wide (1350 px), 0.65 in a method.
    """
    values = {name: array("dice_comparison", dice).astype(float).ravel() for name, dice in methods.items()}
    bad = [name for name, dice in values.items() if len(dice) == 0 or not np.isfinite(dice).all()]
    if not values or bad:
        what = f"no finite values for {', '.join(map(repr, bad))}" if bad else "no methods"
        raise InputError(f"dice_comparison: needs Dice values for every method, got {what}")
    with figure(path, 9, 0.65 * len(values) + 1.1, title) as fig:
        ax = fig.subplots()
        spread = np.random.default_rng(0)
        for k, dice in enumerate(values.values()):
            y, colour = len(values) - 1 - k, COLOURS[k % len(COLOURS)]
            ax.scatter(dice, y + spread.uniform(-0.22, 0.22, len(dice)), s=14, color=colour, alpha=0.4, linewidths=0)
            low, first, middle, third, high = np.percentile(dice, (5, 25, 50, 75, 95))
            ax.add_patch(Rectangle((first, y - 0.27), third - first, 0.54, fill=False, ec=INK, lw=1, zorder=3))
            ax.hlines([y, y], [low, third], [first, high], INK, lw=1, zorder=3)
            ax.vlines([low, high], y - 0.14, y + 0.14, INK, lw=1, zorder=3)
            ax.vlines(middle, y - 0.27, y + 0.27, INK, lw=1.8, zorder=3)
            ax.plot(dice.mean(), y, "D", color=colour, mec="white", ms=8, mew=1.2, zorder=4)
            mean = f"{dice.mean():.3f} ± {dice.std(ddof=1) if len(dice) > 1 else 0:.3f}"
            ax.annotate(mean, (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=9)
        ax.set_yticks(range(len(values)), [short(name) for name in values][::-1])
        ax.set(ylim=(-0.6, len(values) - 0.4), xlabel="Dice")
        lowest = min(dice.min() for dice in values.values())
        ax.set_xlim(max(-0.01, math.floor(lowest * 10 - 0.2) / 10) if lowest > 0.1 else -0.01, 1.01)
        ax.grid(axis="y", visible=False)
    return Path(path)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not math.isfinite(value):
        return None
    return float(value)
