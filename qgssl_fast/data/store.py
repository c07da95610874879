"""Images and masks, decoded once, resized, and kept as uint8 tensors on the device that trains."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from qgssl_fast.data.checks import Conventions, Progress, judge, look_at_all
from qgssl_fast.data.layout import SPLITS, Case, Dataset
from qgssl_fast.errors import Faults, InputError

CHUNK = 256  # images that statistics() turns to float at once


@dataclass
class DeviceStore:
    """One split on one device.

    images uint8 [N, C, H, W]; masks uint8 [N, H, W] of 0 and 1, or None for a split without masks; names: one a case;
    sizes: the files' (height, width), to bring predictions back; conventions: how files were read; notes: what to say.
    """

    images: Tensor
    masks: Tensor | None
    names: list[str]
    sizes: list[tuple[int, int]]
    conventions: Conventions = field(default_factory=Conventions)
    notes: list[str] = field(default_factory=list)

    @staticmethod
    def from_cases(
        cases: Sequence[Case],
        size: tuple[int, int] = (96, 96),
        channels: int | None = 3,
        device: str | torch.device = "cpu",
        progress: Progress | None = None,
        *,
        conventions: Conventions | None = None,
        allow_empty_masks: bool = False,
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
            dataset, size, channels, device, progress, conventions=conventions, allow_empty_masks=allow_empty_masks
        )["cases"]

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

    def subset(self, indices: Sequence[int]) -> DeviceStore:
        """A store of the cases at `indices`."""
        chosen = torch.as_tensor(list(indices), dtype=torch.int64, device=self.images.device)
        names, sizes = [self.names[i] for i in indices], [self.sizes[i] for i in indices]
        return DeviceStore(*self.batch(chosen), names, sizes, self.conventions, list(self.notes))

    def to(self, device: str | torch.device) -> DeviceStore:
        """The same store on another device."""
        masks = None if self.masks is None else self.masks.to(device)
        return DeviceStore(self.images.to(device), masks, self.names, self.sizes, self.conventions, self.notes)

    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation (at least 1/255) of each channel over all pixels, for images in [0, 1]."""
        if not len(self):
            raise InputError("DeviceStore.statistics: the store is empty")
        total = torch.zeros(2, self.images.shape[1], dtype=torch.float64, device=self.images.device)
        for chunk in self.images.split(CHUNK):
            values = chunk.to(torch.float32)
            # Sums per image fit float32's 24 bits only roughly; over images they are added in float64.
            total += torch.stack([values.mean((2, 3)).double().sum(0), values.square().mean((2, 3)).double().sum(0)])
        mean, square = (total / len(self)).cpu()
        deviation = (square - mean.square()).clamp_min(1.0).sqrt()
        return (mean / 255).tolist(), (deviation / 255).tolist()


def estimate_bytes(images: int, masks: int, size: tuple[int, int], channels: int = 3) -> int:
    """Bytes that a store of so many images and masks takes on its device."""
    return (images * channels + masks) * size[0] * size[1]


def load_stores(
    dataset: Dataset,
    size: tuple[int, int] = (96, 96),
    channels: int | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
    *,
    conventions: Conventions | None = None,
    allow_empty_masks: bool = False,
) -> dict[str, DeviceStore]:
    """Check and load every split of a data set in one pass: no file is decoded twice. Keys as in `dataset.splits`.

    The checks are those of `check_dataset`, all faults at once as InputError; the rest as in `DeviceStore.from_cases`.
    Channels, bits and mask values are settled over all splits. Each store's notes say what was decided.
    """
    height, width = _checked_size(size)
    if channels not in (None, 1, 3):
        raise InputError(f"load_stores: channels must be 1, 3 or None, got {channels!r}")
    listed = [(split, case) for split, cases in dataset.splits.items() for case in cases]
    needed = estimate_bytes(
        len(listed), sum(case.mask is not None for _, case in listed), (height, width), channels or 3
    )
    _check_memory(needed, torch.device(device))

    images = np.empty((len(listed), height, width, channels or 3), np.uint8)
    deep: dict[int, np.ndarray] = {}  # 16-bit images wait, as float, until the set's bit depth is known
    raw_masks: dict[int, np.ndarray] = {}

    def keep(index: int, pixels: np.ndarray, values: np.ndarray | None) -> None:
        if pixels.dtype == np.uint16:
            deep[index] = _resize(_to_channels(pixels.astype(np.float32), images.shape[3]), (height, width))
        else:
            images[index] = _resize(_to_channels(pixels, images.shape[3]), (height, width))
        if values is not None:
            raw_masks[index] = _resize_nearest(values, (height, width))

    looks = look_at_all(dataset, listed, keep, progress)
    faults, settled, notes = judge(looks, given=conventions, channels=channels, allow_empty_masks=allow_empty_masks)
    collected = Faults()
    for fault in faults:
        collected.add(str(fault))
    collected.check(str(dataset.root))

    for index, values in deep.items():
        images[index] = np.rint(values * (255.0 / (2**settled.bits - 1))).clip(0, 255)
    tensor = torch.from_numpy(np.ascontiguousarray(images[..., : settled.channels].transpose(0, 3, 1, 2)))
    masks = np.zeros((len(listed), height, width), np.uint8)
    for index, values in raw_masks.items():
        masks[index] = values == settled.foreground
    if lost := sum(looks[i].values != (settled.background,) and not masks[i].any() for i in raw_masks):
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
            [seen.size or (height, width) for seen in looks[rows]],
            settled,
            notes,
        )
    return stores


def _common_folder(cases: Sequence[Case]) -> Path:
    parents = [set(case.image.parents) for case in cases]
    shared = set.intersection(*parents) if parents else set[Path]()
    return max(shared, key=lambda path: len(path.parts), default=Path())


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    try:
        height, width = map(operator.index, size)
    except (TypeError, ValueError):
        raise TypeError(f"DeviceStore: size must be (height, width), got {size!r}") from None
    if height < 1 or width < 1:
        raise InputError(f"DeviceStore: size must be >= 1, got {height}x{width}")
    return height, width


def _check_memory(needed: int, device: torch.device) -> None:
    free = None
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    elif (table := Path("/proc/meminfo")).exists():
        free = next(
            (int(row.split()[1]) * 1024 for row in table.read_text().splitlines() if "MemAvailable" in row), None
        )
    wanted = needed if device.type == "cuda" else 2 * needed  # decoded array and tensor live side by side for a moment
    if free is not None and wanted > free:
        raise InputError(
            f"the images need {wanted / 1e9:.1f} GB of memory on {device}, {free / 1e9:.1f} GB are free: lower the size"
        )


def _to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], channels, axis=2) if channels == 3 else pixels[..., None]
    if channels == 3:
        return pixels
    return np.asarray(Image.fromarray(pixels).convert("L"))[..., None]  # ITU-R 601-2 luma


def _resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[h, w, C] uint8 or float32 to [H, W, C]; bilinear, antialiased."""
    if pixels.shape[:2] == size:
        return pixels
    target = (size[1], size[0])
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return np.asarray(Image.fromarray(pixels).resize(target, Image.Resampling.BILINEAR))
    planes = (Image.fromarray(np.ascontiguousarray(pixels[..., c])) for c in range(pixels.shape[2]))
    return np.stack([np.asarray(plane.resize(target, Image.Resampling.BILINEAR)) for plane in planes], axis=2)


def _resize_nearest(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[h, w] of any integers to [H, W]: the value at each new pixel's centre."""
    rows, columns = (((2 * np.arange(new) + 1) * old) // (2 * new) for new, old in zip(size, values.shape))
    return values[rows[:, None], columns]
