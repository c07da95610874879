"""Images, slices and patches with their masks, decoded once and kept as small tensors on the device that trains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from qgssl_fast.data.anew import Volumes
from qgssl_fast.data.checks import Progress
from qgssl_fast.data.feed import Feeder
from qgssl_fast.data.judge import Conventions
from qgssl_fast.data.layout import Case, Dataset
from qgssl_fast.data.order import AnyOrder, Order, StreamOrder
from qgssl_fast.data.volumes import VolumeOptions, VolumePlan
from qgssl_fast.errors import InputError
from qgssl_fast.kernels.reference.packed import PackedMasks, bits_of, like, pack_masks

if TYPE_CHECKING:
    from qgssl_fast.data.stream import ShardStream

CHUNK = 256  # images that statistics() turns to float at once


@dataclass
class DeviceStore:
    """One split on one device.

    images uint8, or float16 in [0, 1], [N, C, *S]; labels: masks of class numbers, as bits or uint8 [N, *S], or None
    for a split without masks (`masks` and `truth` have them as uint8); names: one a sample; sizes: the files' (height,
    width) or (depth, height, width), to bring predictions back; conventions: how files were read; notes: what to say.
    Of volumes: cases, the
    files that samples are slices or patches of, owner, the number of each sample's case, and plan, by which whole
    volumes are read again.
    """

    images: Tensor
    labels: Tensor | PackedMasks | None
    names: list[str]
    sizes: list[tuple[int, ...]]
    conventions: Conventions = field(default_factory=Conventions)
    notes: list[str] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)
    owner: list[int] = field(default_factory=list)
    plan: VolumePlan | None = None
    tier: str = "device"
    """Where images and masks lie: on `device`, in host memory, in a mapped file ("disk"), or in shards ("stream")."""
    target: torch.device | None = None
    """Where batches go; None: where the images are."""
    anew: Volumes | None = None
    """Whole volumes, out of which steps draw patches; `images` and `labels` are those that were cut once."""
    stream: ShardStream | None = None
    """Where samples come from that are not held at all: `images` is then empty and tells their sides and dtype."""

    @property
    def device(self) -> torch.device:
        """Where batches are wanted."""
        return self.images.device if self.target is None else self.target

    @cached_property
    def _feeder(self) -> Feeder | None:
        """None where batches are taken where the images lie."""
        if self.stream is not None:
            return Feeder([self.images], self.device, self.stream.gather)
        if self.device == self.images.device and self.tier != "disk":
            return None
        return Feeder([self.images, *([] if self.labels is None else [bits_of(self.labels)])], self.device)

    @property
    def fed(self) -> bool:
        """Whether batches come from elsewhere, so that it helps to announce them by :meth:`prefetch`."""
        return self._feeder is not None

    def order(self, seed: int) -> AnyOrder:
        """Which samples steps take, as indices that :meth:`source` wants, drawn where the images lie.

        A stream has an order of its own seed, in which its samples come.
        """
        if self.stream is not None:
            return StreamOrder(self.stream.rank, self.stream.world)
        return Order(max(1, len(self)), seed, self.images.device)

    def prefetch(self, indices: Tensor) -> None:
        """Begin to bring the batch at `indices`, int64 [B] on the CPU, to the device; nothing where it is there."""
        if self._feeder is not None:
            self._feeder.prefetch(indices)

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
        dtype: str = "auto",
    ) -> DeviceStore:
        """Decode the cases once, on all cores, and resize them to `size` (height, width).

        Images are resized by Pillow's bilinear filter (antialiased when they shrink), masks by nearest neighbour.
        channels: 1, 3, or None (1 where every image is grey). conventions: those of another store, to be read alike.
        dtype: uint8, float16, or auto (float16 where files hold more than 8 bits a pixel).
        Raises InputError with all faults of all files at once, or where the memory would not do.
        """
        labelled = [case.mask is not None for case in cases]
        if any(labelled) and not all(labelled):
            raise InputError(
                f"DeviceStore: {labelled.count(False)} of {len(cases)} cases have no mask; wanted all or none"
            )
        from qgssl_fast.data.load import load_stores  # it makes what is defined here

        dataset = Dataset(_common_folder(cases), {"cases": tuple(cases)})
        return load_stores(
            dataset, size, channels, device, progress, conventions=conventions,
            allow_empty_masks=allow_empty_masks, classes=classes, volumes=volumes, dtype=dtype,
        )["cases"]  # fmt: skip

    def __len__(self) -> int:
        return len(self.names) if self.stream is None else len(self.stream.shards)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """The images [B, C, *S] and masks uint8 [B, *S] (or None) at `indices`, int64 [B].

        `indices` lie where the images lie: on the device, or on the CPU for a store in host memory.
        """
        images, labels = self._taken(indices)
        return images, labels.unpacked() if isinstance(labels, PackedMasks) else labels

    def _taken(self, indices: Tensor) -> tuple[Tensor, Tensor | PackedMasks | None]:
        """Images and labels at `indices` on the device, labels as they are kept."""
        if self._feeder is not None:
            found = self._feeder.take(indices)
            return found[0], None if self.labels is None else like(self.labels, found[1])
        bits = None if self.labels is None else like(self.labels, bits_of(self.labels).index_select(0, indices))
        return self.images.index_select(0, indices), bits

    @property
    def masks(self) -> Tensor | None:
        """All masks as uint8 [N, *S], unpacked anew at each look; None for a split that has none."""
        return self.labels.unpacked() if isinstance(self.labels, PackedMasks) else self.labels

    @property
    def truth(self) -> Tensor:
        """:attr:`masks` of a split that has them; InputError for one that has none."""
        masks = self.masks
        if masks is None:
            raise self._without()
        return masks

    def _without(self) -> InputError:
        return InputError(f"a store of {len(self)} images has no masks")

    def source(
        self, indices: Tensor, seed: int | None = None, ids: Tensor | None = None
    ) -> tuple[Tensor, Tensor | PackedMasks | None, Tensor | None]:
        """(images, masks, index) as `ops.augment` takes them: the store itself where it lies on the device, so that the
        kernel gathers; else the batch, which has no index. With a seed and sample ids: where volumes are kept whole,
        patches that are drawn by these."""
        if self.anew is not None and seed is not None and ids is not None:
            return (*self.anew.cut(indices, seed, ids), None)
        if self._feeder is None:
            return self.images, self.labels, indices
        return (*self._taken(indices), None)

    def labelled_source(
        self, indices: Tensor, seed: int | None = None, ids: Tensor | None = None
    ) -> tuple[Tensor, Tensor | PackedMasks, Tensor | None]:
        """:meth:`source` of a split that has masks; InputError for one that has none."""
        images, labels, index = self.source(indices, seed, ids)
        if labels is None:
            raise self._without()
        return images, labels, index

    def pairs(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The images [B, C, *S] and masks uint8 [B, *S] at `indices`; InputError where there are no masks."""
        images, masks = self.batch(indices)
        if masks is None:
            raise self._without()
        return images, masks

    @property
    def num_classes(self) -> int:
        """Classes of the masks, background included."""
        return self.conventions.num_classes

    def subset(self, indices: Sequence[int]) -> DeviceStore:
        """A store of the samples at `indices`."""
        chosen = torch.as_tensor(list(indices), dtype=torch.int64, device=self.images.device)
        images = self.images.index_select(0, chosen)
        labels = None if self.labels is None else like(self.labels, bits_of(self.labels).index_select(0, chosen))
        names, sizes = [self.names[i] for i in indices], [self.sizes[i] for i in indices]
        owner = [self.owner[i] for i in indices] if self.owner else []
        anew = None if self.anew is None else self.anew.select(chosen)
        return replace(
            self, images=images, labels=labels, names=names, sizes=sizes, owner=owner, notes=list(self.notes), anew=anew
        )

    def to(self, device: str | torch.device) -> DeviceStore:
        """The same store on another device."""
        labels = None if self.labels is None else self.labels.to(device)
        anew = None if self.anew is None else self.anew.to(device)
        return replace(self, images=self.images.to(device), labels=labels, tier="device", target=None, anew=anew)

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
        white = 255 if self.images.dtype == torch.uint8 else 1
        mean, square = (total / len(self)).cpu()
        deviation = (square - mean.square()).clamp_min((white / 255) ** 2).sqrt()
        return (mean / white).tolist(), (deviation / white).tolist()


def packed(masks: Tensor, classes: int) -> Tensor | PackedMasks:
    """Masks as a store keeps them: as bits, where these take no more than half of the bytes."""
    return pack_masks(masks, classes) if classes <= 16 else masks


def estimate_bytes(images: int, masks: int, size: tuple[int, ...], channels: int = 3, dtype: str = "uint8") -> int:
    """Bytes that a store of so many images of `dtype` and masks takes on its device."""
    return (images * channels * (1 if dtype == "uint8" else 2) + masks) * math.prod(size)


def _common_folder(cases: Sequence[Case]) -> Path:
    parents = [set(case.image.parents) for case in cases]
    shared = set.intersection(*parents) if parents else set[Path]()
    return max(shared, key=lambda path: len(path.parts), default=Path())
