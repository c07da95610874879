"""A published folder to the CSV layout at one size: PNG images, masks of 0 and 255, splits by group."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from qgssl_fast.data.decode import FORMATS, MAX_PIXELS, decode_image
from qgssl_fast.data.layout import SPLITS, Case
from qgssl_fast.data.published import SETS, Pair
from qgssl_fast.data.resize import nearest, resize_image, to_channels
from qgssl_fast.data.splits import split_labelled
from qgssl_fast.errors import Faults, InputError, unknown

Progress = Callable[[int, int], None]


def import_set(
    name: str,
    source: str | Path,
    target: str | Path,
    size: tuple[int, int] = (224, 224),
    *,
    seed: int = 0,
    add: bool = False,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Write `target` from the published folder `source`; returns the number of images of each split.

    Images are resized by an antialiased bilinear filter, masks are halved at the middle of their values, then resized
    by nearest neighbour. Nothing is written into `source`; `target` must be new or empty. add: put all images into the
    unlabelled pool of the data set that `target` is. Raises InputError with all faults at once.
    """
    if name not in SETS:
        raise unknown("import", name, SETS)
    source, target = Path(source), Path(target)
    read, layout, _ = SETS[name]
    if not source.is_dir():
        raise InputError(f"{source}: no such folder; {name} is read from {layout}")
    faults = Faults()
    pairs = read(source, faults)
    if not pairs and not faults.found:
        raise InputError(f"{source}: no image of {name} in it; wanted {layout}")
    _unique(pairs, source, faults)
    if add and not (target / "train.csv").exists():
        raise InputError(f"{target}: is no data set with train.csv that could be added to")
    if not add and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target}: is not empty; name a new folder, or add to a data set")
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        rows = _convert(pairs, source, beside, size, name if add else "", faults, progress)
        faults.check(str(source))
        splits = _splits(pairs, seed, add)
        return _add(rows, beside, target) if add else _write(rows, splits, beside, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _unique(pairs: list[Pair], source: Path, faults: Faults) -> None:
    first: dict[str, Path] = {}
    for pair in pairs:
        if (before := first.setdefault(pair.name.casefold(), pair.image)) != pair.image:
            places = " and ".join(path.relative_to(source).as_posix() for path in (before, pair.image))
            faults.add(f"{pair.name}: two images of this name, {places}")


def _convert(
    pairs: list[Pair], source: Path, target: Path, size: tuple[int, int], pool: str, faults: Faults,
    progress: Progress | None,
) -> list[tuple[Pair, str, str]]:  # fmt: skip
    """Files below `target`; (pair, image path, mask path or "") of each, relative to it."""
    for folder in ("images", "masks", "unlabeled"):
        (target / folder).mkdir(parents=True, exist_ok=True)

    def one(pair: Pair) -> tuple[tuple[Pair, str, str], list[str]]:
        labelled, wrong = pair.mask is not None and not pool, []
        image = f"images/{pair.name}.png" if labelled else f"unlabeled/{f'{pool}_' if pool else ''}{pair.name}.png"
        try:
            pixels = resize_image(to_channels(decode_image(pair.image)[0], 3), size)
            Image.fromarray(pixels).save(target / image)
        except InputError as error:
            wrong.append(f"{pair.image.relative_to(source).as_posix()}: {error}")
        mask = f"masks/{pair.name}.png" if labelled else ""
        if labelled and pair.mask is not None:
            try:
                Image.fromarray(nearest(_halved(pair.mask), size)).save(target / mask)
            except InputError as error:
                wrong.append(f"{pair.mask.relative_to(source).as_posix()}: {error}")
        return (pair, image, mask), wrong

    rows = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        for row, wrong in threads.map(one, pairs):
            rows.append(row)
            for text in wrong:
                faults.add(text)
            if progress is not None:
                progress(len(rows), len(pairs))
    return rows


def _halved(path: Path) -> np.ndarray:
    """Masks of any two values, also with soft edges and JPEG's noise, as 0 and 255."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise InputError(f"{image.width}x{image.height} pixels are over the limit of {MAX_PIXELS:,}")
            values = np.asarray(image if image.mode == "P" else image.convert("L"))
    except InputError:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error ... on damaged files
        raise InputError(f"unreadable ({error or type(error).__name__})") from None
    low, high = int(values.min()), int(values.max())
    if low == high:
        raise InputError(f"mask of one value, {low}")
    return ((2 * values.astype(np.int32) > low + high) * 255).astype(np.uint8)


def _splits(pairs: list[Pair], seed: int, add: bool) -> dict[str, str]:
    """Name -> split."""
    labelled = [pair for pair in pairs if pair.mask is not None and not add]
    found = {pair.name: "unlabeled" for pair in pairs}
    found |= {pair.name: pair.split for pair in labelled if pair.split is not None}
    cases = tuple(Case(pair.name, pair.image, pair.mask, pair.group) for pair in labelled if pair.split is None)
    if cases:
        for split, members in split_labelled(cases, (0.7, 0.1, 0.2), seed)[0].items():
            found |= {case.name: split for case in members}
    return found


def _write(rows: list[tuple[Pair, str, str]], splits: dict[str, str], beside: Path, target: Path) -> dict[str, int]:
    counts = {}
    for split in SPLITS:
        listed = [row for row in rows if splits[row[0].name] == split]
        counts[split] = len(listed)
        if listed:
            _table(beside / f"{split}.csv", listed, split)
    if target.exists():
        target.rmdir()
    target.parent.mkdir(parents=True, exist_ok=True)
    beside.rename(target)
    return counts


def _table(path: Path, rows: list[tuple[Pair, str, str]], split: str) -> None:
    pool = split == "unlabeled"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image_path", *([] if pool else ["mask_path"]), "group"])
        writer.writerows([image, *([] if pool else [mask]), pair.group or ""] for pair, image, mask in rows)


def _add(rows: list[tuple[Pair, str, str]], beside: Path, target: Path) -> dict[str, int]:
    table = target / "unlabeled.csv"
    (target / "unlabeled").mkdir(exist_ok=True)
    if clash := [image for _, image, _ in rows if (target / image).exists()]:
        raise InputError(f"{target}: has {clash[0]} already ({len(clash)} such file(s))")
    header, lines = ["image_path"], []
    if table.exists():
        with table.open(encoding="utf-8-sig", newline="") as stream:
            header, *lines = list(csv.reader(stream))
    at = header.index("image_path")
    for _, image, _ in rows:
        (beside / image).rename(target / image)
        lines.append([image if k == at else "" for k in range(len(header))])
    new = beside / "unlabeled.csv"
    with new.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([header, *lines])
    new.replace(table)
    return {"unlabeled": len(lines)}
