"""``qgssl-fast preview``: a gallery of what a recipe does to the masks of a data set."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import torch
from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from torch import Tensor

from ..corruption import MaskBank
from ..data import Case, DeviceStore, make_phantoms, read_dataset
from ..data.layout import shuffled
from ..errors import Faults, InputError
from ..ops.corrupt import corrupt
from ..recipes import Recipe, load_recipe
from ..reporting.figures import corruption_gallery

_COLUMNS = 8


def configure(parser: ArgumentParser, words: list[str]) -> None:
    """Add the options."""
    parser.add_argument("--data", type=str | None, default=None, help="data set folder; phantoms when not given")
    parser.add_argument("--recipe", type=str, default="default", help="default, paper, or the path of a TOML file")
    parser.add_argument("--out", type=str, default="preview.png", help="PNG file to write")
    parser.add_argument("--count", type=int, default=64, help="number of corrupted masks to show")
    parser.add_argument(
        "--seed", type=int, default=0, help="chooses images and corruptions; the same seed, the same picture"
    )
    parser.add_argument(
        "--size",
        type=str,
        default="96",
        help="side, or HEIGHTxWIDTH, in pixels that images are resized to; a recipe counts in these pixels, so give "
        "training's",
    )


def run(settings: Namespace, words: list[str]) -> int:
    """Write the gallery and say what is in it; returns 0."""
    console = Console()
    sides = settings.size.split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise InputError(f"preview: size must be like 96 or 96x128, got {settings.size!r}")
    size = (int(sides[0]), int(sides[-1]))
    with console.status("corrupting"):
        notes = preview(settings.data, settings.recipe, settings.out, settings.count, settings.seed, size)
    for note in notes:
        console.print(note, highlight=False, markup=False)
    return 0


def preview(
    data: str | Path | None = None,
    recipe: str | Path = "default",
    out: str | Path = "preview.png",
    count: int = 64,
    seed: int = 0,
    size: tuple[int, int] = (96, 96),
) -> list[str]:
    """Write `out`, a gallery of `count` corruptions; returns lines that say what was done.

    Each row of the recipe that can be drawn is shown once, as long as there is room; draws of the whole mix fill what
    is left. Masks of weak models are left out, as there are none before training. `data`: a data set folder, of which
    up to `count` training images with masks are used; None: phantoms. `size`: height and width in pixels.
    InputError for what cannot be used, before anything is written.
    """
    path = Path(out)
    faults = Faults()
    if path.suffix.lower() != ".png":
        faults.add(f"out must be a .png file, got {out}")
    if path.is_dir():
        faults.add(f"out must be a file, {out} is a folder")
    if count < 1:
        faults.add(f"count must be >= 1, got {count}")
    if seed < 0:
        faults.add(f"seed must be >= 0, got {seed}")
    if min(size) < 1 or (data is None and size[0] != size[1]):
        faults.add(
            f"size must be height and width{', equal for phantoms' if data is None else ''}, got {size[0]}x{size[1]}"
        )
    faults.check("preview")
    loaded = load_recipe(recipe)
    plan = loaded.replace(p_weak=0.0)
    store, masks = _images(data, count, seed, size)
    bank = MaskBank(masks, store.num_classes)
    named = [row.name for row in plan.reachable()]
    shown = named[:count]
    image_ids = torch.arange(count) % len(store)
    recipes = [*(plan.only(name) for name in shown), plan]
    parts = [slice(k, k + 1) for k in range(len(shown))] + [slice(len(shown), count)]
    done = [
        corrupt(
            masks[image_ids[at]],
            one,
            seed=seed,
            sample_ids=torch.arange(count)[at],
            bank=bank,
            image_ids=image_ids[at],
            num_classes=store.num_classes,
        )
        for one, at in zip(recipes, parts)
    ]
    labels = [_label(one, rows) for one, part in zip(recipes, done) for rows in part.rows.tolist()]
    try:
        corruption_gallery(
            store.images[image_ids],
            masks[image_ids],
            torch.cat([part.masks for part in done]),
            labels,
            torch.cat([part.quality.reshape(*part.quality.shape[:1], store.num_classes - 1).mean(1) for part in done]),
            path,
            title=f"Recipe {loaded.name} on {Path(data).resolve().name if data is not None else 'phantoms'}",
            columns=_COLUMNS,
        )
    except OSError as error:
        raise InputError(f"preview: {path} cannot be written: {error.strerror or error}") from None
    first = (
        f"{path}: {count} corruptions of {min(count, len(store))} images of {size[0]}x{size[1]} by recipe {loaded.name}"
    )
    notes = [f"{first}, seed {seed}", *store.notes]
    if len(named) > count:
        notes.append(f"{len(named) - count} of its {len(named)} rows are not shown (--count {len(named)} shows each)")
    if loaded.p_weak > 0:
        notes.append(f"masks of weak models ({loaded.p_weak:.0%} of the mix) are not shown: they come with training")
    return notes


def _images(data: str | Path | None, count: int, seed: int, size: tuple[int, int]) -> tuple[DeviceStore, Tensor]:
    """Up to `count` labelled images, in seeded order, and their masks."""
    with ExitStack() as stack:
        if data is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "phantoms"
            counts = {"train": min(count, 64), "val": 1, "test": 1, "unlabeled": 1}
            dataset = make_phantoms(folder, size[0], counts, seed)
        else:
            dataset = read_dataset(data, allow_empty_masks=True)
        labelled: list[Case] = [case for case in dataset.splits["train"] if case.mask is not None]
        if not labelled:
            raise InputError(f"{data}: no training image with a mask")
        store = DeviceStore.from_cases(shuffled(labelled, seed)[:count], size, channels=None, allow_empty_masks=True)
    assert store.masks is not None
    return store, store.masks


def _label(recipe: Recipe, rows: list[int]) -> str:
    return " > ".join(recipe.rows[row].name for row in rows if row >= 0) or "identity"
