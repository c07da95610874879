"""The mixes of corruptions at 224x224 and on volumes, and a row of each family, beside OpenCV mask by mask.

``per_mask.py`` does the paper's rows one mask at a time in Python, the way it is usually done; the published generator
itself made 1,700 to 2,600 masks a second on one core (the two ends are two machines).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import corruption
from ..ops.corrupt import Corruption, corrupt
from ..ops.overlap import dice
from ..recipes import Recipe, load_recipe
from .case import Case, Check, Contender, Run, Work, Wrong, anything, copy_limit, need, serves
from .per_mask import PerMask
from .shapes import ellipsoids, lesions

SIDE, BATCH = 224, 256


class Draws:
    """corrupt() of the same masks with new sample ids in every call, and a bank where the recipe needs one."""

    def __init__(self, recipe: Recipe, masks: Tensor) -> None:
        self.recipe, self.masks, self.images = recipe, masks, torch.arange(len(masks))
        self.bank: corruption.MaskBank | None = None
        if any(row.operation.bank for row in recipe.reachable()) or recipe.p_weak > 0:
            self.bank = corruption.MaskBank(masks)
            self.bank.add(masks.roll(1, 1))
        self.number = 0

    def at(self, number: int, backend: str, count: int | None = None) -> Corruption:
        images = self.images[:count]
        ids = images + len(self.masks) * number
        options: dict[str, Any] = {"bank": self.bank, "image_ids": images} if self.bank is not None else {}
        return corrupt(self.masks[:count], self.recipe, sample_ids=ids, backend=backend, **options)

    def run(self, backend: str, count: int | None = None) -> Run:
        def run() -> Corruption:
            self.number += 1
            return self.at(self.number, backend, count)

        return run


def as_the_reference(draws: Draws, count: int) -> Check:
    """Two draws of the first `count` masks are the reference's, pixels and counts; the timed run itself is of more."""

    def check(got: Any) -> None:
        for number in range(2):
            mine, truth = draws.at(number, "native"), draws.at(number, "reference", count)
            for name in ("masks", "overlap"):
                differ = int((getattr(mine, name)[:count] != getattr(truth, name)).sum())
                if differ:
                    raise Wrong(f"{name}: {differ} values differ from the reference in draw {number}")

    return check


def mix(recipe: Callable[[], Recipe], masks: Callable[[], Tensor], checked: int) -> tuple[Contender, Contender]:
    """Ours and the reference."""

    def ours() -> Work:
        draws = Draws(recipe(), masks())
        serves("native")
        return Work(draws.run("native"), len(draws.masks), as_the_reference(draws, checked))

    def reference() -> Work:
        draws = Draws(recipe(), masks())
        return Work(draws.run("reference", checked), checked, anything)

    return Contender("native", "ours", ours), Contender("reference", "reference", reference)


def many() -> Tensor:
    return lesions(SIDE).repeat(BATCH // 64, 1, 1)


def usual_mix() -> Work:
    """The paper's mix by OpenCV; its median Dice must be ours, about."""
    peer, ours = PerMask(load_recipe("paper"), need("cv2")), load_recipe("paper").without_bank()
    masks, rng = list(lesions(SIDE).numpy()), np.random.default_rng(0)
    weak = functools.partial(masks.__getitem__, 0)  # a bank's: the weak model's own time is no part of corruption

    def check(got: Any) -> None:
        found = [peer.corrupt(mask, masks, weak, rng)[1] for mask in masks * 20]
        mine = corrupt(lesions(SIDE).repeat(20, 1, 1), ours).quality.numpy()
        if abs(np.median(found) - np.median(mine)) > 0.05:
            raise Wrong(f"median Dice {np.median(found):.3f}, ours {np.median(mine):.3f}")

    return Work(lambda: [peer.corrupt(mask, masks, weak, rng) for mask in masks], len(masks), check)


def usual_row(name: str) -> Work:
    """A row by OpenCV and NumPy; the Dice of what comes out must be ours, about."""
    recipe, rng = load_recipe("paper"), np.random.default_rng(0)
    peer, row, masks = PerMask(recipe, need("cv2")), load_recipe("paper").row(name), list(lesions(SIDE).numpy())
    return Work(lambda: [peer.row(mask, row, rng) for mask in masks], len(masks), dice_as_ours(name))


def dice_as_ours(row: str) -> Check:
    def check(got: Any) -> None:
        masks = lesions(SIDE)
        mine = corrupt(masks, load_recipe("paper").only(row)).quality.median().item()
        theirs = dice(torch.from_numpy(np.stack(got).astype(np.uint8)), masks).median().item()
        if abs(theirs - mine) > 0.06:
            raise Wrong(f"median Dice {theirs:.3f}, ours {mine:.3f}")

    return check


def labelling(module: str, label: str) -> Work:
    """The largest component by scikit-image or SciPy."""
    find: Any = getattr(need(module), label)
    masks, ring = list(lesions(SIDE).numpy()), np.ones((3, 3), int)

    def largest(mask: np.ndarray) -> np.ndarray:
        labels = find(mask, connectivity=2) if label == "label" and "skimage" in module else find(mask, ring)[0]
        return labels == 1 + np.bincount(labels.ravel())[1:].argmax()

    return Work(lambda: [largest(mask) for mask in masks], len(masks), dice_as_ours("largest_only"))


def hull() -> Work:
    convex_hull_image, masks = need("skimage.morphology").convex_hull_image, list(lesions(SIDE).numpy())
    return Work(lambda: [convex_hull_image(mask > 0) for mask in masks], len(masks), dice_as_ours("convex_hull"))


def row_case(name: str, family: str, peers: dict[str, Callable[[], Work]]) -> Case:
    contenders = mix(lambda: load_recipe("default").only(name), lambda: lesions(SIDE), 16)
    usual = Contender("opencv", "peer", functools.partial(usual_row, name))
    others = (Contender(peer, "peer", make) for peer, make in peers.items())
    size = 2 * SIDE**2
    return Case(
        f"row_{name}", family, f"row {name} ({family}), 224x224", "masks", size,
        (*contenders, usual, *others, copy_limit(size, 64)),
    )  # fmt: skip


MIX = Case(
    "mix_paper", "corrupt", "the paper's mix and Dice, 224x224", "masks", 2 * SIDE**2,
    (*mix(lambda: load_recipe("paper"), many, 64), Contender("per mask, opencv", "peer", usual_mix),
     copy_limit(2 * SIDE**2, BATCH)),
)  # fmt: skip
MIX_DEFAULT = Case(
    "mix_default", "corrupt", "the default mix and Dice, 224x224", "masks", 2 * SIDE**2,
    (*mix(lambda: load_recipe("default"), many, 64), copy_limit(2 * SIDE**2, BATCH)),
)  # fmt: skip
MIX_3D = Case(
    "mix_3d", "corrupt", "the default mix and Dice, 96^3", "volumes", 2 * 96**3,
    (*mix(lambda: load_recipe("default").without_bank(), lambda: ellipsoids(96, 16), 2), copy_limit(2 * 96**3, 16)),
)  # fmt: skip
ROWS = (
    row_case("opening_5", "morph", {}), row_case("jagged_5", "edge", {}), row_case("smooth_11", "edge", {}),
    row_case("rotate_small", "warp", {}), row_case("elastic_heavy", "warp", {}), row_case("grid_heavy", "warp", {}),
    row_case("holes_and_islands", "spots", {}), row_case("ellipse", "shape", {}),
    row_case("polygon_5", "shape", {}), row_case("convex_hull", "shape", {"scikit-image": hull}),
    row_case("largest_only", "parts", {
        "scikit-image": functools.partial(labelling, "skimage.measure", "label"),
        "scipy": functools.partial(labelling, "scipy.ndimage", "label"),
    }),
    row_case("random_50", "fill", {}),
)  # fmt: skip
CASES = (MIX, MIX_DEFAULT, MIX_3D, *ROWS)
