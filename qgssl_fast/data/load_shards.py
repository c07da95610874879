"""Stores of the splits that shards hold: in memory what fits its budget, the unlabelled images as a stream else."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import torch

from qgssl_fast.data.checks import Progress
from qgssl_fast.data.layout import SPLITS
from qgssl_fast.data.shards import Shards, read_index
from qgssl_fast.data.store import DeviceStore, packed
from qgssl_fast.data.stream import ShardStream
from qgssl_fast.data.tiers import Placement, place
from qgssl_fast.errors import InputError
from qgssl_fast.kernels.reference.packed import bits_of, like

POOL = SPLITS[3]
READERS = 4  # shards that are read at once


def load_shards(
    url: str,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
    *,
    placement: Placement | None = None,
    seed: int = 0,
    buffer: int = 1024,
    rank: int = 0,
    world: int = 1,
) -> dict[str, DeviceStore]:
    """Stores of all splits below a folder or fsspec URL; a split without samples is empty.

    What `placement` allows is held, on the device or in host memory. Where that is not all, the unlabelled images stay
    in their shards and are read as they are trained on, in :class:`ShardStream`'s order for `seed` and `rank` of
    `world`, through a buffer of `buffer` samples. Labelled images are always held: InputError where they do not fit.
    progress: (shards read, all); those that are streamed are not read here.
    """
    index, device = read_index(url), torch.device(device)
    if not any(len(shards) for split, shards in index.items() if split != POOL):
        raise InputError(f"{url}: no shards with masks; there are {', '.join(index) or 'none'}")
    if len({(shards.image, shards.dtype, shards.conventions) for shards in index.values()}) > 1:
        raise InputError(f"{url}: the splits' samples are not alike in sides, dtype and classes")
    if odd := [split for split, shards in index.items() if shards.masks != (split != POOL)]:
        raise InputError(f"{url}: masks are wanted in train, val and test alone; odd: {', '.join(odd)}")
    tier, streamed, note = _choose(index, device, placement or Placement(), buffer, url)
    first = next(iter(index.values()))
    conventions, images = first.conventions, torch.empty((0, *first.image), dtype=getattr(torch, first.dtype))
    total, done, stores = sum(len(shards.shards) for shards in index.values()), 0, dict[str, DeviceStore]()

    def one_more() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    for split, shards in index.items():
        if streamed and split == POOL:
            stream = ShardStream(shards, seed=seed, buffer=buffer, rank=rank, world=world)
            stores[split] = DeviceStore(images, None, [], [], conventions, [note], tier="stream", target=device)
            stores[split] = replace(stores[split], stream=stream)
        else:
            found = _held(shards, one_more)
            labels = None if found.labels is None else like(found.labels, place(bits_of(found.labels), tier, device))
            stores[split] = replace(
                found, images=place(found.images, tier, device), labels=labels, tier=tier, target=device, notes=[note]
            )
    for split in SPLITS:
        labels = packed(images[:, 0].byte(), conventions.num_classes) if split != POOL else None
        stores.setdefault(split, DeviceStore(images, labels, [], [], conventions, [note]).to(device))
    return {split: stores[split] for split in SPLITS}


def _choose(
    index: dict[str, Shards], device: torch.device, placement: Placement, buffer: int, url: str
) -> tuple[str, bool, str]:
    """(tier of what is held, whether unlabelled images are streamed, what to say)."""
    if placement.tier == "disk":
        raise InputError(f"{url}: tier disk is for files; of shards device, host or stream")
    needed = {split: len(shards) * (shards.image_bytes + shards.mask_bytes) for split, shards in index.items()}
    whole, labelled = sum(needed.values()), sum(size for split, size in needed.items() if split != POOL)
    if placement.tier in ("device", "host"):
        return placement.tier, False, f"images lie in tier {placement.tier}, as asked ({whole / 1e9:.2f} GB)"
    budgets = {"device": placement.budget(device)}
    if device.type != "cpu":
        budgets["host"] = placement.budget(torch.device("cpu"))
    if placement.tier == "auto":
        for tier, budget in budgets.items():
            if whole <= budget:
                return tier, False, f"images lie in tier {tier} ({whole / 1e9:.2f} GB, {budget / 1e9:.2f} GB allowed)"
    pool = index.get(POOL)
    passing, room = 0, budgets[host := next(reversed(budgets))]
    if pool:
        # Beside the buffer: the shard that is taken in, the next one, and the file of one that is being read.
        passing = (buffer + 3 * max(shard.length for shard in pool.shards)) * pool.image_bytes
    elif placement.tier == "stream":
        raise InputError(f"{url}: tier stream is for unlabelled images, there are none")
    for tier, budget in budgets.items():
        if pool and passing <= room and labelled + passing * (tier == host) <= budget:
            why = "as asked" if placement.tier == "stream" else f"{whole / 1e9:.2f} GB, {room / 1e9:.2f} GB allowed"
            held = f"labelled images lie in tier {tier} ({labelled / 1e9:.2f} GB)"
            return tier, True, f"{held}, unlabelled ones are streamed through a buffer of {buffer} ({why})"
    raise InputError(
        f"{url}: labelled images take {labelled / 1e9:.3g} GB, a buffer of {buffer} and 3 shards of unlabelled ones "
        f"{passing / 1e9:.3g} GB, {max(budgets.values()) / 1e9:.3g} GB are allowed; labelled images are always held: "
        "qgssl-fast shard --labelled keeps the masks of fewer, --samples makes smaller shards, images.buffer less"
    )


def _held(shards: Shards, one_more: Callable[[], None]) -> DeviceStore:
    """A split in host memory; `one_more` is called after each shard."""
    images, names = torch.empty((len(shards), *shards.image), dtype=getattr(torch, shards.dtype)), list[str]()
    kept = list[torch.Tensor]()
    with ThreadPoolExecutor(min(READERS, os.cpu_count() or 1)) as pool:
        for start in range(0, len(shards.shards), READERS):
            for samples in pool.map(shards.read, range(len(shards.shards))[start : start + READERS]):
                for at, sample in enumerate(samples, len(names)):
                    images[at] = torch.from_numpy(sample.image)
                names.extend(sample.name for sample in samples)
                masks = [torch.from_numpy(sample.mask) for sample in samples if sample.mask is not None]
                if masks:
                    labels = packed(torch.stack(masks), shards.conventions.num_classes)
                    kept.append(bits_of(labels))
                one_more()
    found = like(labels, torch.cat(kept)) if kept else None
    return DeviceStore(images, found, names, [shards.image[1:]] * len(names), shards.conventions)
