"""Draws the pictures of docs/corruption.md: every row of a recipe, before and after, with its Dice.

python docs/make_pictures.py [FOLDER]      default: docs/pictures
Masks are phantoms. Of a row with chance, the draw of median Dice among 31 is shown.
"""

from __future__ import annotations

import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import torch
from matplotlib.patches import Patch

import qgssl_fast as qf
from qgssl_fast.data import DeviceStore, make_phantoms
from qgssl_fast.recipes import Recipe
from qgssl_fast.recipes.softness import Softness
from qgssl_fast.reporting.style import ADDED, COLOURS, MISSED, figure, show

SIDE, DRAWS, COLUMNS = 224, 31, 4
FAMILIES = ("morph", "edge", "warp", "spots", "shape", "parts", "fill", "bank")
KEPT, GROUND = (236, 238, 240), (36, 41, 47)
CLASSES = (COLOURS[5], COLOURS[4], COLOURS[2])


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[k : k + 2], 16) for k in (1, 3, 5))


def lesions() -> torch.Tensor:
    """uint8 [N, 224, 224]: phantoms, the first of middling size and in one piece."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_phantoms(Path(folder) / "p", SIDE, {"train": 48, "val": 1, "test": 1, "unlabeled": 1}, seed=3)
        store = DeviceStore.from_cases(dataset.splits["train"], (SIDE, SIDE), channels=3)
    assert store.masks is not None
    masks = store.masks
    whole = qf.corrupt(masks, qf.load_recipe("default").only("largest_only")).quality == 1
    order = (masks.flatten(1).float().mean(1) - 0.16).abs() + 10 * ~whole
    return masks[order.argsort()]


def describe(recipe: Recipe, name: str) -> str:
    """The row's parameters with their units."""
    row = recipe.row(name)
    parts = []
    for parameter in row.operation.parameters:
        value = row.params.get(parameter.name, parameter.default)
        if value == parameter.default and parameter.default is not None:
            continue
        bare = parameter.unit.startswith(("1", "0 =")) or parameter.unit == parameter.name
        parts.append(f"{parameter.name} {value:g}" + ("" if bare else f" {parameter.unit.split(',')[0]}"))
    return textwrap.fill(", ".join(parts), 52)


def difference(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    picture = np.empty((*before.shape, 3), np.uint8)
    picture[:] = GROUND
    for where, colour in ((before & after, KEPT), (before & ~after, rgb(MISSED)), (after & ~before, rgb(ADDED))):
        picture[where.astype(bool)] = colour
    return picture


def median_draw(recipe: Recipe, masks: torch.Tensor, at: int) -> tuple[np.ndarray, float]:
    """Of mask number `at`: its corruption of median Dice."""
    bank = qf.MaskBank(masks)
    weak = qf.corrupt(masks, qf.load_recipe("default").only("elastic_heavy"), seed=1).masks
    bank.add(qf.corrupt(weak, qf.load_recipe("default").only("holes_and_islands"), seed=2).masks)
    images = torch.full((DRAWS,), at)
    out = qf.corrupt(masks[images], recipe, bank=bank, image_ids=images)
    chosen = int(out.quality.argsort()[DRAWS // 2])
    return out.masks[chosen].numpy(), float(out.quality[chosen])


def family_picture(family: str, masks: torch.Tensor, folder: Path) -> None:
    recipe = qf.load_recipe("default")
    rows = [row for row in recipe.rows if row.operation.family == family]
    two = masks[0].clone()
    two[160:200, 20:60] |= masks[2][92:132, 92:132]
    two[20:44, 170:200] = 1
    shown = torch.cat([masks, two[None]])
    at = len(shown) - 1 if family == "parts" else 0
    columns = min(COLUMNS, len(rows))
    lines = -(-len(rows) // columns)
    with figure(folder / f"corruption-{family}.png", 3 * columns, 1.95 * lines + 0.4) as fig:
        axes = fig.subplots(lines, columns, squeeze=False).ravel()
        for ax in axes:
            ax.set_axis_off()
        for ax, row in zip(axes, rows):
            made, dice = median_draw(recipe.only(row.name), shown, at)
            mask = shown[at].numpy()
            pair = (difference(mask, mask), np.full((SIDE, 8, 3), 255, np.uint8), difference(mask, made))
            show(ax, np.concatenate(pair, axis=1)[::2, ::2])
            ax.set_title(row.name, fontsize=9, fontweight="bold", loc="left", pad=3)
            ax.set_title(f"Dice {dice:.2f}", fontsize=9, fontweight="normal", loc="right", pad=3)
            text = ax.text(0, 1.04 * SIDE / 2, describe(recipe, row.name), fontsize=7.5, va="top")
            text.set_in_layout(False)
        marks = ((KEPT, "kept"), (rgb(MISSED), "taken off"), (rgb(ADDED), "added"))
        handles = [Patch(facecolor=np.array(c) / 255, edgecolor="#8b949e", label=label) for c, label in marks]
        fig.legend(handles=handles, loc="outside lower left", ncols=3)
        fig.get_layout_engine().set(h_pad=0.16)


def in_colours(labels: np.ndarray) -> np.ndarray:
    picture = np.empty((*labels.shape, 3), np.uint8)
    picture[:] = GROUND
    for number, colour in enumerate(CLASSES, 1):
        picture[labels == number] = rgb(colour)
    return picture


def organs() -> torch.Tensor:
    """uint8 [1, 224, 224]: three classes that touch."""
    y, x = np.mgrid[:SIDE, :SIDE]
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[((x - 112) / 70) ** 2 + ((y - 112) / 78) ** 2 < 1] = 1
    labels[((x - 96) / 38) ** 2 + ((y - 100) / 46) ** 2 < 1] = 2
    labels[((x - 146) / 26) ** 2 + ((y - 138) / 34) ** 2 < 1] = 3
    return torch.from_numpy(labels)[None]


def labels_picture(folder: Path) -> None:
    labels, recipe = organs(), qf.load_recipe("labels")
    names = ["dilation_9", "shift_small", "jagged_5", "leak_small", "leak_large", "swap_labels"]
    with figure(folder / "corruption-labels.png", 10, 2.0) as fig:
        axes = fig.subplots(1, 1 + len(names))
        show(axes[0], in_colours(labels[0].numpy())[::2, ::2], "three classes", 8.5)
        for ax, name in zip(axes[1:], names):
            out = qf.corrupt(labels, recipe.only(name), num_classes=4, seed=1)
            dice = " ".join(f"{value:.2f}" for value in out.quality[0].tolist())
            show(ax, in_colours(out.masks[0].numpy())[::2, ::2], f"{name}\nDice {dice}", 8)


def soft_picture(masks: torch.Tensor, folder: Path) -> None:
    recipe = qf.load_recipe("default").only("polygon_5")
    settings = [(1, 1.0), (7, 1.0), (15, 1.0), (15, 3.0), (31, 1.0), (31, 4.0)]
    with figure(folder / "corruption-soft.png", 10, 2.0) as fig:
        axes = fig.subplots(1, 1 + len(settings))
        hard = qf.corrupt(masks[:1], recipe)
        show(axes[0], _grey(hard.masks[0].numpy()), f"polygon_5, hard\nDice {float(hard.quality):.2f}", 8)
        for ax, (radius, sharpness) in zip(axes[1:], settings):
            soft = Softness(1.0, radius, radius, sharpness, sharpness)
            out = qf.corrupt(masks[:1], recipe.replace(softness=soft))
            title = f"radius {radius} px, sharpness {sharpness:g}\nsoft Dice {float(out.quality):.2f}"
            show(ax, _grey(out.masks[0].numpy()), title, 7)


def _grey(probabilities: np.ndarray) -> np.ndarray:
    ground, ones = np.array(GROUND), np.array(KEPT)
    return (ground + probabilities[::2, ::2, None] * (ones - ground)).round().astype(np.uint8)


def main(folder: Path, families: tuple[str, ...] = FAMILIES) -> None:
    torch.set_num_threads(1)
    masks = lesions()
    for family in families:
        family_picture(family, masks, folder)
    labels_picture(folder)
    soft_picture(masks, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures")
