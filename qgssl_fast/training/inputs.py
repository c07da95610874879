"""The data of a run on its device."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..data import (
    Dataset,
    DeviceStore,
    Placement,
    VolumeOptions,
    is_sharded,
    load_shards,
    load_stores,
    make_phantoms,
    read_dataset,
    read_index,
    write_splits,
)
from ..errors import Faults, InputError
from .config import Config, ImagesConfig, VolumesConfig
from .folder import write_json
from .logging import Log
from .ranks import world
from .schedule import stable_seed

Found = tuple[str, dict[str, DeviceStore], list[str], list[str | None]]  # where from, stores, what to say, groups
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


@dataclass
class Inputs:
    """Stores by split (train, val, test, unlabeled; an absent one is empty) and what the networks must know of them.

    groups: the patient, lesion or sequence of each training case, None where it has none; empty: of no case known.
    """

    root: str
    stores: dict[str, DeviceStore]
    notes: list[str]
    mean: list[float]
    std: list[float]
    groups: list[str | None] = field(default_factory=list)

    @property
    def num_classes(self) -> int:
        return self.stores["train"].num_classes

    @property
    def channels(self) -> int:
        return self.stores["train"].images.shape[1]


def load_inputs(config: Config, folder: Path, device: torch.device, log: Log) -> Inputs:
    """Read the data set (or make the phantoms in `folder`), check it and put it on `device`; all faults at once."""
    if config.data is not None and is_sharded(config.data):
        root, stores, notes, groups = _from_shards(config, config.data, folder, device, log)
    else:
        root, stores, notes, groups = _from_files(config, folder, device, log)
    for split in ("train", "val"):
        if not len(stores[split]):
            raise InputError(f"{root}: the split {split!r} has no image with a mask")
    mean, std = stores["train"].statistics()
    if config.images.normalization == "imagenet":
        if len(mean) != 3:
            raise InputError(f"images.normalization: imagenet is for RGB images, got {len(mean)} channel(s)")
        mean, std = IMAGENET
    notes = [*notes, *dict.fromkeys(note for store in stores.values() for note in store.notes)]
    return Inputs(root, stores, notes, mean, std, groups)


def _from_files(config: Config, folder: Path, device: torch.device, log: Log) -> Found:
    settings = config.images
    root = Path(config.data) if config.data is not None else _phantoms(config, folder, log)
    dataset = read_splits(root, settings, config.seed)
    write_splits(dataset, folder / "splits.json")
    count = sum(len(cases) for cases in dataset.splits.values())
    with log.progress("images", count) as advance:
        stores = load_stores(
            dataset, tuple(settings.size), settings.channels, device,
            lambda done, total: advance(1), allow_empty_masks=settings.allow_empty_masks,
            classes=settings.classes, volumes=volume_options(settings.volumes, config.seed),
            placement=Placement(settings.tier, settings.budget_gb), dtype=settings.dtype,
        )  # fmt: skip
    return str(root), stores, dataset.notes, [case.group for case in dataset.splits["train"]]


def _from_shards(config: Config, url: str, folder: Path, device: torch.device, log: Log) -> Found:
    settings, index, (rank, ranks) = config.images, read_index(url), world()
    faults = Faults()
    for shards in list(index.values())[:1]:
        sides, classes = shards.image[1:], shards.conventions.num_classes
        for key, wanted, came in (
            ("size", tuple(settings.size), sides), ("channels", settings.channels, shards.image[0]),
            ("classes", settings.classes, classes), ("dtype", settings.dtype, shards.dtype),
        ):  # fmt: skip
            if wanted not in (None, "auto", came):
                faults.add(f"images.{key}: the shards hold {came}, got {wanted}")
    for key in ("labelled", "unlabelled", "allow_empty_masks", "volumes"):
        if getattr(settings, key) != getattr(ImagesConfig(), key):
            faults.add(f"images.{key}: settled when the shards were written (qgssl-fast shard --{key})")
    faults.check(url)
    with log.progress("shards", sum(len(shards.shards) for shards in index.values())) as advance:
        stores = load_shards(
            url, device, lambda done, total: advance(1), placement=Placement(settings.tier, settings.budget_gb),
            seed=stable_seed(config.seed, "shards"), buffer=settings.buffer, rank=rank, world=ranks,
        )  # fmt: skip
    told: dict[str, Any] = {split: [{"name": name} for name in store.names] for split, store in stores.items()}
    if stores["unlabeled"].stream is not None:
        told["unlabeled"] = [{"shard": shard.name} for shard in index["unlabeled"].shards]
    write_json(folder / "splits.json", told)
    notes = ["volumes come as the shards' patches: figures are of these"] if len(settings.size) == 3 else []
    return url, stores, notes, []


def read_splits(root: str | Path, settings: Any, seed: int) -> Dataset:
    """The data set with the parts of it that `settings` (labelled, unlabelled, allow_empty_masks) leave labelled."""
    labelled = settings.labelled
    if isinstance(labelled, (int, float)) and labelled >= 1 and float(labelled).is_integer():
        labelled = int(labelled)
    dataset = read_dataset(root, labelled=labelled, seed=seed, allow_empty_masks=settings.allow_empty_masks)
    _take_pool(dataset, settings.unlabelled, seed)
    return dataset


def volume_options(settings: VolumesConfig, seed: int) -> VolumeOptions:
    """The settings as readers take them; InputError with all that is wrong with them."""
    given: list[Any] = [None if v is None else tuple(v) for v in (settings.spacing, settings.window)]
    spacing, window = given
    s = settings
    return VolumeOptions(spacing, s.intensity, window, s.patches, s.foreground, seed, s.anew)


def _take_pool(dataset: Dataset, most: int | None, seed: int) -> None:
    """Leave at most so many unlabelled cases, a seeded choice, and say so."""
    pool = dataset.splits["unlabeled"]
    if most is None or most >= len(pool):
        return
    generator = torch.Generator().manual_seed(stable_seed(seed, "unlabelled"))
    chosen = torch.randperm(len(pool), generator=generator)[:most].sort().values.tolist()
    dataset.splits["unlabeled"] = tuple(pool[i] for i in chosen)
    dataset.notes.append(f"{most} of {len(pool)} unlabelled images are used (seed {seed})")


def _phantoms(config: Config, folder: Path, log: Log) -> Path:
    root = folder / "phantoms"
    if not root.exists():
        if config.images.size[0] != config.images.size[1]:
            raise InputError(f"images.size: phantoms are square, got {config.images.size}")
        beside = folder / ".phantoms.part"
        shutil.rmtree(beside, ignore_errors=True)
        counts = vars(config.phantoms)
        files = 2 * sum(counts.values()) - counts["unlabeled"]  # an image, and a mask where it is labelled
        with log.progress("phantoms", files) as advance:
            make_phantoms(beside, config.images.size[0], counts, config.seed, lambda done, total: advance(1))
        beside.rename(root)
    return root
