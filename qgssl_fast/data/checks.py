"""Looks into every file of a data set and tells all faults at once; the store runs the same look on what it decodes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from qgssl_fast import __version__
from qgssl_fast.data.cache import FileCache, stamp
from qgssl_fast.data.decode import decode_image, decode_mask
from qgssl_fast.data.decode_volume import Volume, misplaced, read_image, read_labels, size
from qgssl_fast.data.judge import MOST_VALUES, Conventions, Fault, Look, checked_classes, judge
from qgssl_fast.data.layout import Case, Dataset
from qgssl_fast.errors import InputError

__all__ = ["Conventions", "Fault", "Look", "Progress", "check_dataset", "judge", "look", "look_at_all"]

Progress = Callable[[int, int], None]  # called with (done, total), from the thread that asked
Keep = Callable[[int, Any, np.ndarray | None], None]


def look(case: Case, split: str, dataset: Dataset) -> tuple[Look, Any, np.ndarray | None]:
    """Decode one case: what it shows, its pixels (of volumes a Volume), its mask's values; None where unreadable."""
    seen = Look(split, dataset.where(case.image), dataset.where(case.mask) if case.mask else None)
    return (_look_volume if case.volumetric else _look_image)(case, seen)


def _look_image(case: Case, seen: Look) -> tuple[Look, np.ndarray | None, np.ndarray | None]:
    pixels = values = None
    try:
        pixels, notes = decode_image(case.image)
        seen.notes += notes
        seen.shape, seen.grey = (pixels.shape[0], pixels.shape[1]), pixels.ndim == 2
        seen.peak = int(pixels.max()) if pixels.dtype == np.uint16 else 0
        seen.digest = _digest(pixels)
        if bool((pixels == pixels[:1, :1]).all()):
            seen.faults.append(Fault(seen.image, "constant image, every pixel is the same"))
    except InputError as error:
        seen.faults.append(Fault(seen.image, str(error)))
    if case.mask is not None and seen.mask is not None:
        try:
            values, notes = decode_mask(case.mask)
            seen.notes += notes
            seen.values = _distinct(values)
            if seen.shape is not None and values.shape != seen.shape:
                wanted, came = ("x".join(map(str, (s[1], s[0]))) for s in (seen.shape, values.shape))
                seen.faults.append(Fault(seen.mask, f"is {came} pixels, its image {seen.image} is {wanted}"))
        except InputError as error:
            seen.faults.append(Fault(seen.mask, str(error)))
    return seen, pixels, values


def _look_volume(case: Case, seen: Look) -> tuple[Look, Volume | None, np.ndarray | None]:
    volume = labels = None
    try:
        volume = read_image(case)
        seen.notes += volume.notes
        seen.shape, seen.channels, seen.volume = volume.grid.shape, volume.image.shape[0], True
        bad = volume.image.size - int(np.isfinite(volume.image).sum())
        if bad:
            seen.faults.append(Fault(seen.image, f"holds {bad} NaN or infinite value(s)"))
        elif any(channel.min() == channel.max() for channel in volume.image):
            seen.faults.append(Fault(seen.image, "constant image, every voxel of a channel is the same"))
        seen.digest = _digest(volume.image)
    except InputError as error:
        seen.faults.append(Fault(seen.image, str(error)))
    if case.mask is not None and seen.mask is not None:
        try:
            found = read_labels(case.mask)
            labels = found.labels
            seen.notes += found.notes
            seen.values = _distinct(labels)
            if volume is not None:
                if found.grid.shape != volume.grid.shape:
                    text = f"is {size(found.grid)} voxels, its image {seen.image} is {size(volume.grid)}"
                    seen.faults.append(Fault(seen.mask, text))
                elif why := misplaced(volume.grid, found.grid):
                    seen.faults.append(Fault(seen.mask, why))
        except InputError as error:
            seen.faults.append(Fault(seen.mask, str(error)))
    return seen, volume, labels


def _digest(values: np.ndarray) -> bytes:
    content = hashlib.blake2b(repr((values.shape, values.dtype.str)).encode(), digest_size=16)
    content.update(np.ascontiguousarray(values).data)
    return content.digest()


def _distinct(values: Any) -> tuple[int, ...]:
    found = np.flatnonzero(np.bincount(values.ravel(), minlength=1))
    return tuple(int(v) for v in found[:MOST_VALUES])


def look_at_all(
    dataset: Dataset,
    cases: Iterable[tuple[str, Case]],
    keep: Keep | None = None,
    progress: Progress | None = None,
) -> list[Look]:
    """Decode every case once, on all cores; `keep` takes the i-th case's pixels and mask before they are let go."""

    def one(item: tuple[int, tuple[str, Case]]) -> Look:
        index, (split, case) = item
        seen, pixels, values = look(case, split, dataset)
        if keep is not None and pixels is not None and not seen.faults:
            keep(index, pixels, values)
        return seen

    listed = list(cases)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        looks = []
        for seen in pool.map(one, enumerate(listed)):
            looks.append(seen)
            if progress is not None:
                progress(len(looks), len(listed))
    return looks


def check_dataset(
    dataset: Dataset,
    *,
    allow_empty_masks: bool = False,
    classes: int | None = None,
    progress: Progress | None = None,
    cache: FileCache | None = None,
) -> list[Fault]:
    """Decode every file of the data set and list all faults, none where all is well.

    Unreadable or oversized files, image and mask of different sizes (of volumes also spacing, orientation, affine),
    masks that are empty (unless allowed) or hold unknown labels, constant images, NaN, the same pixels in two splits,
    classes that a split has not. classes: values that masks of images have, default two. progress: (done, total).
    cache: files whose size and time of change it knows are not opened again.
    """
    cases = [(split, case) for split, listed in dataset.splits.items() for case in listed]
    keys = [_key(case, dataset) for _, case in cases]
    known = cache.get(key for key in keys if key) if cache else {}
    new = [item for item, key in zip(cases, keys) if key not in known]
    ahead = len(cases) - len(new)
    told = None if progress is None else lambda done, total: progress(ahead + done, len(cases))
    fresh = iter(look_at_all(dataset, new, progress=told))
    looks = [Look.from_json(known[key], split) if key in known else next(fresh) for (split, _), key in zip(cases, keys)]
    if cache:
        cache.put({key: seen.to_json() for key, seen in zip(keys, looks) if key and key not in known})
    return judge(looks, allow_empty_masks=allow_empty_masks, declared=dataset.labels, classes=checked_classes(classes))[
        0
    ]


def _key(case: Case, dataset: Dataset) -> str:
    """All that a look depends on; "" for files that are not there."""
    files = [case.image, *case.channels, *([case.mask] if case.mask else [])]
    try:
        return " ".join([f"look {__version__}", dataset.where(case.image), *map(stamp, files)])
    except OSError:
        return ""
