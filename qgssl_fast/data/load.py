"""A data set, checked and decoded in one pass over its files, as stores of its splits."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from qgssl_fast.data.anew import Wholes
from qgssl_fast.data.checks import Progress, look_at_all
from qgssl_fast.data.decode_volume import Volume
from qgssl_fast.data.judge import Conventions, Fault, checked_classes, judge
from qgssl_fast.data.layout import SPLITS, Dataset
from qgssl_fast.data.memory import allocate
from qgssl_fast.data.resize import nearest, resize_image, to_channels
from qgssl_fast.data.store import DeviceStore, estimate_bytes, packed
from qgssl_fast.data.store_cache import read_stores, store_key, write_stores
from qgssl_fast.data.tiers import Placement, place
from qgssl_fast.data.volumes import (
    VolumeOptions,
    VolumePlan,
    most_channels,
    readable_grids,
    settle_spacing,
    to_classes,
)
from qgssl_fast.errors import Faults, InputError
from qgssl_fast.kernels.reference.packed import PackedMasks, bits_of, like

DTYPES = ("auto", "uint8", "float16")


def load_stores(
    dataset: Dataset,
    size: tuple[int, ...] = (96, 96),
    channels: int | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
    *,
    conventions: Conventions | None = None,
    allow_empty_masks: bool = False,
    classes: int | None = None,
    volumes: VolumeOptions | None = None,
    placement: Placement | None = None,
    dtype: str = "auto",
) -> dict[str, DeviceStore]:
    """Check and load every split of a data set in one pass: no file is decoded twice. Keys as in `dataset.splits`.

    The checks are those of `check_dataset`, all faults at once as InputError; the rest as in `DeviceStore.from_cases`.
    Channels, bits and mask values are settled over all splits. Each store's notes say what was decided. Volumes become
    slices where `size` has two sides and patches where it has three, as `volumes` says.
    dtype: uint8, float16 in [0, 1], or auto: float16 where any image of the set has more than 8 bits a pixel.
    placement: where the stores lie; decoded stores are kept in the cache (see `data/store_cache.py`) and found there
    again, so that a second run decodes nothing.
    """
    checked_classes(classes)
    size, placement, target = _checked_size(size), placement or Placement(), torch.device(device)
    if dtype not in DTYPES:
        raise InputError(f"load_stores: dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    options = {
        "size": size, "channels": channels, "conventions": conventions, "empty": allow_empty_masks, "classes": classes,
        "volumes": volumes if dataset.volumetric else None, "dtype": dtype,
    }  # fmt: skip
    key = store_key(dataset, options)
    stores = read_stores(key, dataset) if key else None
    filed = stores is not None
    if stores is None:
        if dataset.volumetric:
            given = (volumes or VolumeOptions(), conventions, allow_empty_masks, dtype)
            stores = _load_volumes(dataset, size, progress, *given)
        else:
            stores = _load_images(dataset, size, channels, progress, conventions, allow_empty_masks, classes, dtype)
        if key and write_stores(key, stores):
            filed, stores = True, read_stores(key, dataset) or stores
    elif progress is not None:
        progress(len(dataset), len(dataset))
    return _placed(stores, placement, target, filed)


def _placed(
    stores: dict[str, DeviceStore], placement: Placement, device: torch.device, filed: bool
) -> dict[str, DeviceStore]:
    tensors = [t for store in stores.values() for t in (store.images, store.labels) if t is not None]
    needed = sum(bits_of(t).nbytes for t in tensors)
    wholes = sum(store.anew.nbytes for store in stores.values() if store.anew is not None)
    tier, note = placement.choose(needed + wholes, device, filed)
    notes = [note]
    if wholes and tier != "device":
        tier, note = placement.choose(needed, device, filed)
        notes = [
            note,
            f"patches stay where they were cut once: whole volumes ({wholes / 1e9:.2f} GB) do not fit as well",
        ]
    keep = wholes > 0 and len(notes) == 1

    def placed(values: Tensor | PackedMasks | None) -> Tensor | PackedMasks | None:
        return None if values is None else like(values, place(bits_of(values), tier, device, filed))

    return {
        split: replace(
            store, images=place(store.images, tier, device, filed), labels=placed(store.labels), tier=tier,
            target=device, notes=[*store.notes, *notes],
            anew=store.anew.map(lambda t: place(t, tier, device, filed)) if keep and store.anew is not None else None,
        )
        for split, store in stores.items()
    }  # fmt: skip


def _load_images(
    dataset: Dataset,
    size: tuple[int, ...],
    channels: int | None,
    progress: Progress | None,
    conventions: Conventions | None,
    allow_empty_masks: bool,
    classes: int | None,
    dtype: str,
) -> dict[str, DeviceStore]:
    if len(size) != 2:
        raise InputError(f"{dataset.root}: holds images, their size must be (height, width), got {size}")
    height, width = size
    if channels not in (None, 1, 3):
        raise InputError(f"load_stores: channels must be 1, 3 or None, got {channels!r}")
    listed = [(split, case) for split, cases in dataset.splits.items() for case in cases]
    with_masks = sum(case.mask is not None for _, case in listed)
    needed = estimate_bytes(len(listed), with_masks, (height, width), channels or 3)
    images = allocate((len(listed), channels or 3, height, width), np.uint8, needed)
    deep: dict[int, np.ndarray] = {}  # 16-bit images wait, as float, until the set's bit depth is known
    raw_masks: dict[int, np.ndarray] = {}

    def keep(index: int, pixels: np.ndarray, values: np.ndarray | None) -> None:
        if pixels.dtype == np.uint16:
            deep[index] = resize_image(to_channels(pixels.astype(np.float32), images.shape[1]), (height, width))
        else:
            images[index] = resize_image(to_channels(pixels, images.shape[1]), (height, width)).transpose(2, 0, 1)
        if values is not None:
            raw_masks[index] = nearest(values, (height, width))

    looks = look_at_all(dataset, listed, keep, progress)
    faults, settled, notes = judge(
        looks, given=conventions, channels=channels, allow_empty_masks=allow_empty_masks,
        declared=dataset.labels, classes=classes,
    )  # fmt: skip
    _refuse(dataset, faults)

    dtype = ("float16" if settled.bits > 8 else "uint8") if dtype == "auto" else dtype
    if (images.shape[1], images.dtype) != (settled.channels, dtype):
        needed = estimate_bytes(len(listed), with_masks, (height, width), settled.channels, dtype)
        bytes_, images = images, allocate((len(listed), settled.channels, height, width), dtype, needed)
        for made, image in zip(images, bytes_):
            made[:] = image[: settled.channels] / np.float32(255) if dtype == "float16" else image[: settled.channels]
    for index, values in deep.items():
        unit = values.transpose(2, 0, 1)[: settled.channels] * np.float32(1 / (2**settled.bits - 1))
        images[index] = np.rint(255 * unit).clip(0, 255) if dtype == "uint8" else unit.clip(0, 1)
    notes += _kept_as(dtype, settled.bits > 8)
    tensor = torch.from_numpy(images)
    masks = np.zeros((len(listed), height, width), np.uint8)
    for index, values in raw_masks.items():
        masks[index] = to_classes(values, settled.labels)
    if lost := sum(looks[i].values != settled.labels[:1] and not masks[i].any() for i in raw_masks):
        notes.append(f"{lost} mask(s) have no foreground left at {height}x{width}")

    stores, start = {}, 0
    for split, cases in dataset.splits.items():
        rows = slice(start, start + len(cases))
        start = rows.stop
        without = split == SPLITS[3] or any(case.mask is None for case in cases)
        stores[split] = DeviceStore(
            tensor[rows],
            None if without else packed(torch.from_numpy(masks[rows]), settled.num_classes),
            [case.name for case in cases],
            [seen.shape or (height, width) for seen in looks[rows]],
            settled,
            notes,
        )
    return stores


def _load_volumes(
    dataset: Dataset,
    size: tuple[int, ...],
    progress: Progress | None,
    options: VolumeOptions,
    conventions: Conventions | None,
    allow_empty_masks: bool,
    dtype: str,
) -> dict[str, DeviceStore]:
    listed = [(split, case) for split, cases in dataset.splits.items() for case in cases]
    grids = readable_grids(case for _, case in listed)
    options, notes = settle_spacing(options, [grid for grid in grids if grid], len(size) == 2)
    labels = conventions.labels if conventions else tuple(dataset.labels or ())
    deep = any(grid.deep for grid in grids if grid)
    dtype = ("float16" if deep else "uint8") if dtype == "auto" else dtype
    draft = VolumePlan(options, size, labels, dtype)
    counts = [0 if grid is None else draft.count(grid) for grid in grids]
    starts = np.concatenate([[0], np.cumsum(counts)])
    channels = most_channels(case for _, case in listed)
    needed = int(starts[-1]) * (channels * np.dtype(dtype).itemsize + 2) * math.prod(size)
    images = allocate((int(starts[-1]), channels, *size), dtype, needed)
    raw = allocate((int(starts[-1]), *size), np.uint16, needed)
    names: dict[int, list[str]] = {}
    wholes = Wholes(draft, listed, grids)

    def keep(index: int, volume: Volume, values: np.ndarray | None) -> None:
        plan = draft if labels or values is None else replace(draft, labels=tuple(int(v) for v in np.unique(values)))
        if volume.image.shape[0] != channels:
            return  # a fault, told with the others
        names[index] = []
        whole = plan.image(volume)
        wholes.keep(index, whole, values)
        for row, (name, image, part) in enumerate(plan.samples(listed[index][1].name, whole, values)):
            images[starts[index] + row] = image
            raw[starts[index] + row] = 0 if part is None else part
            names[index].append(name)

    looks = look_at_all(dataset, listed, keep, progress)
    faults, settled, said = judge(
        looks, given=conventions, allow_empty_masks=allow_empty_masks, declared=dataset.labels
    )
    _refuse(dataset, faults)
    plan = VolumePlan(options, size, settled.labels, dtype)
    kind = "slices" if plan.sliced else "patches"
    notes = [
        *notes,
        *said,
        *wholes.notes,
        *_kept_as(dtype, deep),
        f"{len(listed)} volume(s) give {len(images)} {kind} of {'x'.join(map(str, size))}",
    ]
    stores, first = {}, 0
    for split, cases in dataset.splits.items():
        mine = range(first, first + len(cases))
        first = mine.stop
        rows = slice(int(starts[mine.start]), int(starts[mine.stop]))
        without = split == SPLITS[3] or any(case.mask is None for case in cases)
        masks = None if without else np.empty((rows.stop - rows.start, *size), np.uint8)
        if masks is not None:
            for at in range(len(masks)):
                masks[at] = to_classes(raw[rows.start + at], settled.labels)
        stores[split] = DeviceStore(
            torch.from_numpy(images[rows]),
            None if masks is None else packed(torch.from_numpy(masks), settled.num_classes),
            [name for k in mine for name in names[k]], [looks[k].shape or size for k in mine for _ in names[k]],
            settled, notes, list(cases), [k - mine.start for k in mine for _ in names[k]], plan,
            anew=wholes.of(mine, split, plan, [len(names[k]) for k in mine]),
        )  # fmt: skip
    return stores


def _kept_as(dtype: str, deep: bool) -> list[str]:
    if dtype == "uint8":
        return ["files hold more than 8 bits a pixel; images are kept as uint8, as asked"] if deep else []
    return [f"images are kept as float16 ({'files hold more than 8 bits a pixel' if deep else 'as asked'})"]


def _refuse(dataset: Dataset, faults: Iterable[Fault]) -> None:
    collected = Faults()
    for fault in faults:
        collected.add(str(fault))
    collected.check(str(dataset.root))


def _checked_size(size: tuple[int, ...]) -> tuple[int, ...]:
    try:
        sides = tuple(map(operator.index, size))
    except (TypeError, ValueError):
        raise TypeError(f"DeviceStore: size must be (height, width) or (depth, height, width), got {size!r}") from None
    if len(sides) not in (2, 3):
        raise InputError(f"DeviceStore: size must have two or three sides, got {size}")
    if min(sides) < 1:
        raise InputError(f"DeviceStore: size must be >= 1, got {'x'.join(map(str, sides))}")
    return sides
