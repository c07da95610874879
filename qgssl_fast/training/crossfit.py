"""Cross-fitting of weak models: each predicts only training images that it has not learnt from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..corruption import MaskBank
from ..data import DeviceStore
from ..errors import InputError
from ..networks import Segmenter
from .config import WeakConfig
from .inputs import Inputs
from .loop import State
from .schedule import stable_seed
from .stage import Stage
from .stages import WeakStage


def train_weak(
    config: WeakConfig,
    inputs: Inputs,
    run_folder: Path,
    seed: int,
    network: Callable[[], Segmenter],
    fit: Callable[[Stage], State],
    main: bool,
) -> dict[str, Any]:
    """Train one weak model, or `config.folds`, and leave weak/bank-SPLIT.safetensors; returns the stage's figures.

    network: builds the model, always with the same weights. main: whether this process writes.
    """
    stores, folder = inputs.stores, run_folder / "weak"
    folder.mkdir(exist_ok=True)
    if config.folds == 1:
        fitted = [fit(WeakStage(config, network(), stores, folder, seed))]
    else:
        owner = whole_groups(stores["train"].owner or range(len(stores["train"])), inputs.groups)
        parts, fitted, banks = fold_indices(owner, config.folds, seed), [], []
        for k, part in enumerate(parts):
            name = f"weak/fold-{k}"
            (run_folder / name).mkdir(exist_ok=True)
            kept, held_out = without(stores["train"], part), stores["train"].subset(part)
            stage = WeakStage(config, network(), stores | {"train": kept}, run_folder / name, seed, held_out, name)
            fitted.append(fit(stage))
            banks.append(stage.banks)
        for split in banks[0] if main else ():
            truth, each = stores[split].truth, [bank[split] for bank in banks]
            if split == "train":
                joined = join_training(each, parts, truth, inputs.num_classes)
            else:
                joined = join_others(each, truth, inputs.num_classes)
            joined.save(folder / f"bank-{split}.safetensors")
    dice, seconds = sum(one.best for one in fitted) / len(fitted), sum(one.seconds for one in fitted)
    return {"val_dice": dice, "seconds": seconds, "snapshots": config.snapshots, "folds": config.folds}


def whole_groups(owner: Sequence[int], groups: Sequence[str | None]) -> list[int]:
    """For each sample the first case of its case's group: images of one patient tell of each other, too.

    owner: the case of each sample. groups: that of each case, None where it has none; empty: of no case known.
    """
    first: dict[str, int] = {}
    leads = [k if group is None else first.setdefault(group, k) for k, group in enumerate(groups)]
    return [leads[case] for case in owner] if leads else list(owner)


def fold_indices(owner: Sequence[int], folds: int, seed: int) -> list[list[int]]:
    """`folds` disjoint parts of the samples, each in order; owner: the case, or the first of its group, of each sample.

    Cases stay whole, slices of a volume would tell of each other; the parts' numbers of cases differ by one at most.
    Raises InputError where a part, or what is left of it, would be empty.
    """
    cases = sorted(set(owner))
    if not 2 <= folds <= len(cases):
        most = f"{len(cases)} (the labelled images, or their groups)"
        raise InputError(f"weak.folds: wanted 2 to {most}, or 1 for no cross-fitting, got {folds}")
    order = torch.randperm(len(cases), generator=torch.Generator().manual_seed(stable_seed(seed, "folds"))).tolist()
    parts = [{cases[k] for k in order[fold::folds]} for fold in range(folds)]
    return [[k for k, case in enumerate(owner) if case in part] for part in parts]


def without(store: DeviceStore, held_out: Sequence[int]) -> DeviceStore:
    """The images of a store that are not held out."""
    return store.subset(sorted(set(range(len(store))) - set(held_out)))


def join_training(
    banks: Sequence[MaskBank], parts: Sequence[Sequence[int]], truth: Tensor, num_classes: int
) -> MaskBank:
    """One bank of the training images: in each snapshot every image's mask is by the model that held it out.

    banks: one a fold, of the fold's own images in order. truth: uint8 [N, *S].
    """
    joined = MaskBank(truth, num_classes)
    for snapshot in range(min(bank.snapshots for bank in banks)):
        masks = torch.empty_like(truth)
        for bank, part in zip(banks, parts):
            masks[torch.as_tensor(part, device=truth.device)] = bank.weak(snapshot).to(truth.device)
        joined.add(masks)
    return joined


def join_others(banks: Sequence[MaskBank], truth: Tensor, num_classes: int) -> MaskBank:
    """One bank of images that no model has learnt from: the masks of all models, snapshot by snapshot."""
    joined = MaskBank(truth, num_classes)
    for snapshot in range(min(bank.snapshots for bank in banks)):
        for bank in banks:
            joined.add(bank.weak(snapshot).to(truth.device))
    return joined
