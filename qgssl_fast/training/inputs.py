"""The data of a run on its device."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from ..data import DeviceStore, load_stores, make_phantoms, read_dataset
from ..errors import InputError
from .config import Config
from .logging import Log
from .schedule import stable_seed

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


@dataclass
class Inputs:
    """Stores by split (train, val, test, unlabeled; an absent one is empty) and what the networks must know of them."""

    root: Path
    stores: dict[str, DeviceStore]
    notes: list[str]
    mean: list[float]
    std: list[float]
    num_classes: int = 2

    @property
    def channels(self) -> int:
        return self.stores["train"].images.shape[1]


def load_inputs(config: Config, folder: Path, device: torch.device, log: Log) -> Inputs:
    """Read the data set (or make the phantoms in `folder`), check it and put it on `device`; all faults at once."""
    settings = config.images
    root = Path(config.data) if config.data is not None else _phantoms(config, folder, log)
    labelled = settings.labelled
    if labelled is not None and labelled >= 1 and float(labelled).is_integer():
        labelled = int(labelled)
    dataset = read_dataset(root, labelled=labelled, seed=config.seed, allow_empty_masks=settings.allow_empty_masks)
    count = sum(len(cases) for cases in dataset.splits.values())
    with log.progress("images", count) as advance:
        stores = load_stores(
            dataset, _plane(settings.size), settings.channels, device,
            lambda done, total: advance(1), allow_empty_masks=settings.allow_empty_masks,
        )  # fmt: skip
    pool = stores["unlabeled"]
    if settings.unlabelled is not None and settings.unlabelled < len(pool):
        generator = torch.Generator().manual_seed(stable_seed(config.seed, "unlabelled"))
        chosen = torch.randperm(len(pool), generator=generator)[: settings.unlabelled].sort().values.tolist()
        dataset.notes.append(f"{len(chosen)} of {len(pool)} unlabelled images are used (seed {config.seed})")
        stores["unlabeled"] = pool.subset(chosen)
    for split in ("train", "val"):
        if not len(stores[split]):
            raise InputError(f"{root}: the split {split!r} has no image with a mask")
    mean, std = stores["train"].statistics()
    if settings.normalization == "imagenet":
        if len(mean) != 3:
            raise InputError(f"images.normalization: imagenet is for RGB images, got {len(mean)} channel(s)")
        mean, std = IMAGENET
    notes = [*dataset.notes, *dict.fromkeys(note for store in stores.values() for note in store.notes)]
    return Inputs(root, stores, notes, mean, std)


def _plane(size: list[int]) -> tuple[int, int]:
    if len(size) != 2:
        raise InputError(f"images.size: wanted height and width (volumes cannot be trained on yet), got {size}")
    return size[0], size[1]


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
