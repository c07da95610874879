"""Images, slices and patches with their masks, decoded once and kept as uint8 tensors on the device that trains."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from qgssl_fast.data.checks import Progress, look_at_all
from qgssl_fast.data.decode_volume import Volume
from qgssl_fast.data.judge import Conventions, Fault, checked_classes, judge
from qgssl_fast.data.layout import SPLITS, Case, Dataset
from qgssl_fast.data.memory import Budget, check_memory
from qgssl_fast.data.resize import nearest, resize_image, to_channels
from qgssl_fast.data.volumes import (
    Sample,
    VolumeOptions,
    VolumePlan,
    readable_grids,
    settle_spacing,
    to_classes,
)
from qgssl_fast.errors import Faults, InputError

CHUNK = 256  # images that statistics() turns to float at once


@dataclass
class DeviceStore:
    """One split on one device.

    images uint8 [N, C, *S]; masks uint8 [N, *S] of class numbers, or None for a split without masks; names: one a
    sample; sizes: the files' (height, width) or (depth, height, width), to bring predictions back; conventions: how
    files were read; notes: what to say. Of volumes: cases, the files that samples are slices or patches of, owner, the
    number of each sample's case, and plan, by which whole volumes are read again.
    """

    images: Tensor
    masks: Tensor | None
    names: list[str]
    sizes: list[tuple[int, ...]]
    conventions: Conventions = field(default_factory=Conventions)
    notes: list[str] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)
    owner: list[int] = field(default_factory=list)
    plan: VolumePlan | None = None

    @staticmethod
    def from_cases(
        cases: Sequence[Case],
        size: tuple[int, ...] = (96, 96),
        channels: int | None = 3,
        device: str | torch.device = "cpu",
        progress: Progress | None = None,
        *,
        conventions: Conventions | None = None,
        allow_empty_masks: bool = False,
        classes: int | None = None,
        volumes: VolumeOptions | None = None,
    ) -> DeviceStore:
        """Decode the cases once, on all cores, and resize them to `size` (height, width).

        Images are resized by Pillow's bilinear filter (antialiased when they shrink), masks by nearest neighbour.
        channels: 1, 3, or None (1 where every image is grey). conventions: those of another store, to be read alike.
        Raises InputError with all faults of all files at once, or where the memory would not do.
        """
        labelled = [case.mask is not None for case in cases]
        if any(labelled) and not all(labelled):
            raise InputError(
                f"DeviceStore: {labelled.count(False)} of {len(cases)} cases have no mask; wanted all or none"
            )
        dataset = Dataset(_common_folder(cases), {"cases": tuple(cases)})
        return load_stores(
            dataset, size, channels, device, progress, conventions=conventions,
            allow_empty_masks=allow_empty_masks, classes=classes, volumes=volumes,
        )["cases"]  # fmt: skip

    def __len__(self) -> int:
        return len(self.names)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """The images uint8 [B, C, H, W] and masks uint8 [B, H, W] (or None) at `indices`, int64 [B] on the device."""
        return self.images.index_select(0, indices), None if self.masks is None else self.masks.index_select(0, indices)

    @property
    def truth(self) -> Tensor:
        """The masks uint8 [N, H, W] of a split that has them; InputError for one that has none."""
        if self.masks is None:
            raise InputError(f"a store of {len(self)} images has no masks")
        return self.masks

    def pairs(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The images uint8 [B, C, H, W] and masks uint8 [B, H, W] at `indices`; InputError where there are no masks."""
        return self.images.index_select(0, indices), self.truth.index_select(0, indices)

    @property
    def num_classes(self) -> int:
        """Classes of the masks, background included."""
        return self.conventions.num_classes

    def subset(self, indices: Sequence[int]) -> DeviceStore:
        """A store of the samples at `indices`."""
        chosen = torch.as_tensor(list(indices), dtype=torch.int64, device=self.images.device)
        images, masks = self.batch(chosen)
        names, sizes = [self.names[i] for i in indices], [self.sizes[i] for i in indices]
        owner = [self.owner[i] for i in indices] if self.owner else []
        return replace(self, images=images, masks=masks, names=names, sizes=sizes, owner=owner, notes=list(self.notes))

    def to(self, device: str | torch.device) -> DeviceStore:
        """The same store on another device."""
        masks = None if self.masks is None else self.masks.to(device)
        return replace(self, images=self.images.to(device), masks=masks)

    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation (at least 1/255) of each channel over all pixels, for images in [0, 1]."""
        if not len(self):
            raise InputError("DeviceStore.statistics: the store is empty")
        total = torch.zeros(2, self.images.shape[1], dtype=torch.float64, device=self.images.device)
        for chunk in self.images.split(CHUNK):
            values = chunk.to(torch.float32)
            # Sums per image fit float32's 24 bits only roughly; over images they are added in float64.
            space = tuple(range(2, values.dim()))
            total += torch.stack([values.mean(space).double().sum(0), values.square().mean(space).double().sum(0)])
        mean, square = (total / len(self)).cpu()
        deviation = (square - mean.square()).clamp_min(1.0).sqrt()
        return (mean / 255).tolist(), (deviation / 255).tolist()


def estimate_bytes(images: int, masks: int, size: tuple[int, ...], channels: int = 3) -> int:
    """Bytes that a store of so many images and masks takes on its device."""
    return (images * channels + masks) * math.prod(size)


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
) -> dict[str, DeviceStore]:
    """Check and load every split of a data set in one pass: no file is decoded twice. Keys as in `dataset.splits`.

    The checks are those of `check_dataset`, all faults at once as InputError; the rest as in `DeviceStore.from_cases`.
    Channels, bits and mask values are settled over all splits. Each store's notes say what was decided. Volumes become
    slices where `size` has two sides and patches where it has three, as `volumes` says.
    """
    checked_classes(classes)
    if dataset.volumetric:
        return _load_volumes(
            dataset, _checked_size(size), device, progress, volumes or VolumeOptions(), conventions, allow_empty_masks
        )
    if len(_checked_size(size)) != 2:
        raise InputError(f"{dataset.root}: holds images, their size must be (height, width), got {size}")
    height, width = _checked_size(size)
    if channels not in (None, 1, 3):
        raise InputError(f"load_stores: channels must be 1, 3 or None, got {channels!r}")
    listed = [(split, case) for split, cases in dataset.splits.items() for case in cases]
    needed = estimate_bytes(
        len(listed), sum(case.mask is not None for _, case in listed), (height, width), channels or 3
    )
    check_memory(needed, torch.device(device))

    images = np.empty((len(listed), height, width, channels or 3), np.uint8)
    deep: dict[int, np.ndarray] = {}  # 16-bit images wait, as float, until the set's bit depth is known
    raw_masks: dict[int, np.ndarray] = {}

    def keep(index: int, pixels: np.ndarray, values: np.ndarray | None) -> None:
        if pixels.dtype == np.uint16:
            deep[index] = resize_image(to_channels(pixels.astype(np.float32), images.shape[3]), (height, width))
        else:
            images[index] = resize_image(to_channels(pixels, images.shape[3]), (height, width))
        if values is not None:
            raw_masks[index] = nearest(values, (height, width))

    looks = look_at_all(dataset, listed, keep, progress)
    faults, settled, notes = judge(
        looks, given=conventions, channels=channels, allow_empty_masks=allow_empty_masks,
        declared=dataset.labels, classes=classes,
    )  # fmt: skip
    _refuse(dataset, faults)

    for index, values in deep.items():
        images[index] = np.rint(values * (255.0 / (2**settled.bits - 1))).clip(0, 255)
    tensor = torch.from_numpy(np.ascontiguousarray(images[..., : settled.channels].transpose(0, 3, 1, 2)))
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
            tensor[rows].to(device),
            None if without else torch.from_numpy(masks[rows]).to(device),
            [case.name for case in cases],
            [seen.shape or (height, width) for seen in looks[rows]],
            settled,
            notes,
        )
    return stores


def _load_volumes(
    dataset: Dataset,
    size: tuple[int, ...],
    device: str | torch.device,
    progress: Progress | None,
    options: VolumeOptions,
    conventions: Conventions | None,
    allow_empty_masks: bool,
) -> dict[str, DeviceStore]:
    listed = [(split, case) for split, cases in dataset.splits.items() for case in cases]
    sliced = len(size) == 2
    options, notes = settle_spacing(options, readable_grids(case for _, case in listed), sliced)
    labels = conventions.labels if conventions else tuple(dataset.labels or ())
    draft = VolumePlan(options, size, labels)
    made: dict[int, list[Sample]] = {}
    budget = Budget(torch.device(device))

    def keep(index: int, volume: Volume, values: np.ndarray | None) -> None:
        plan = draft if labels or values is None else replace(draft, labels=tuple(int(v) for v in np.unique(values)))
        made[index] = list(plan.samples(listed[index][1].name, plan.image(volume), values))
        budget.add(sum(sample[1].nbytes for sample in made[index]))

    looks = look_at_all(dataset, listed, keep, progress)
    faults, settled, said = judge(
        looks, given=conventions, allow_empty_masks=allow_empty_masks, declared=dataset.labels
    )
    _refuse(dataset, faults)
    plan = VolumePlan(options, size, settled.labels)
    samples = sum(map(len, made.values()))
    kind = "slices" if sliced else "patches"
    notes = [*notes, *said, f"{len(made)} volume(s) give {samples} {kind} of {'x'.join(map(str, size))}"]
    stores, start = {}, 0
    for split, cases in dataset.splits.items():
        rows = range(start, start + len(cases))
        start = rows.stop
        owned = [(row - rows.start, sample) for row in rows for sample in made[row]]
        without = split == SPLITS[3] or any(case.mask is None for case in cases)
        images = np.empty((len(owned), settled.channels, *size), np.uint8)
        masks = None if without else np.empty((len(owned), *size), np.uint8)
        for i, (_, (_, image, values)) in enumerate(owned):
            images[i] = image
            if masks is not None and values is not None:
                masks[i] = to_classes(values, settled.labels)
        stores[split] = DeviceStore(
            torch.from_numpy(images).to(device),
            None if masks is None else torch.from_numpy(masks).to(device),
            [sample[0] for _, sample in owned],
            [looks[rows.start + owner].shape or size for owner, _ in owned],
            settled, notes, list(cases), [owner for owner, _ in owned], plan,
        )  # fmt: skip
        for row in rows:
            del made[row]
    return stores


def _refuse(dataset: Dataset, faults: Iterable[Fault]) -> None:
    collected = Faults()
    for fault in faults:
        collected.add(str(fault))
    collected.check(str(dataset.root))


def _common_folder(cases: Sequence[Case]) -> Path:
    parents = [set(case.image.parents) for case in cases]
    shared = set.intersection(*parents) if parents else set[Path]()
    return max(shared, key=lambda path: len(path.parts), default=Path())


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
