"""Decoded stores on disk, keyed by the content of their files: memory-mapped arrays and what is said of them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from qgssl_fast import __version__
from qgssl_fast.data.anew import Volumes
from qgssl_fast.data.cache import FileCache, cache_folder
from qgssl_fast.data.judge import Conventions
from qgssl_fast.data.layout import Dataset
from qgssl_fast.data.tiers import newest_first
from qgssl_fast.data.volumes import VolumeOptions, VolumePlan
from qgssl_fast.kernels.reference.packed import PackedMasks, bits_of

if TYPE_CHECKING:
    from qgssl_fast.data.store import DeviceStore

MOST_BYTES = 50_000_000_000  # of all stores that are kept; the longest unused go first


def store_key(dataset: Dataset, options: dict[str, Any]) -> str:
    """A digest of all that a decoded store depends on; "" where a file is not there or the cache is off."""
    cache = FileCache()
    if cache.why_not:
        return ""
    cases = [(split, case) for split, listed in dataset.splits.items() for case in listed]
    paths = {path for _, case in cases for path in (case.image, case.mask, *case.channels) if path}
    try:
        digests = cache.digests(sorted(paths))
    except OSError:
        return ""
    rows = [
        (split, case.name, *(digests[path] for path in (case.image, *case.channels)), digests.get(case.mask or Path()))
        for split, case in cases
    ]
    text = json.dumps([__version__, "masks as bits", options, dataset.labels, rows], default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def folder_of(key: str) -> Path | None:
    home = cache_folder()
    return None if home is None or not key else home / "stores" / key


def write_stores(key: str, stores: dict[str, DeviceStore]) -> bool:
    """Keep decoded stores (in host memory) under `key`; False where there is no room or no cache."""
    folder = folder_of(key)
    if folder is None:
        return False
    beside = folder.with_name(f".{key}.{os.getpid()}")
    try:
        beside.mkdir(parents=True, exist_ok=True)
        told: dict[str, Any] = {"splits": {}}
        for split, store in stores.items():
            np.save(beside / f"{split}-images.npy", store.images.numpy())
            if store.labels is not None:
                np.save(beside / f"{split}-masks.npy", bits_of(store.labels).numpy())
            for name, values in ({} if store.anew is None else store.anew.tensors()).items():
                np.save(beside / f"{split}-anew-{name}.npy", values.numpy())
            told["splits"][split] = {
                "names": store.names, "sizes": store.sizes, "owner": store.owner,
                "bits": isinstance(store.labels, PackedMasks),
            }  # fmt: skip
            told |= {"conventions": asdict(store.conventions), "notes": store.notes}
            told["plan"] = None if store.plan is None else asdict(store.plan)
        (beside / "store.json").write_text(json.dumps(told), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)
        _forget_the_oldest(folder.parent)
        return True
    except OSError:
        return False
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def read_stores(key: str, dataset: Dataset) -> dict[str, DeviceStore] | None:
    """The stores under `key`, their arrays mapped read-only; None where there are none."""
    from qgssl_fast.data.store import DeviceStore

    folder = folder_of(key)
    try:
        if folder is None or not (folder / "store.json").exists():
            return None
        told = json.loads((folder / "store.json").read_text(encoding="utf-8"))
        arrays = {path.stem: _mapped(path) for path in folder.glob("*.npy")}
        os.utime(folder)
    except (OSError, ValueError):
        return None
    conventions = Conventions(**told["conventions"] | {"labels": tuple(told["conventions"]["labels"])})
    plan = None
    if told["plan"]:
        given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told["plan"]["options"].items()}
        options = VolumeOptions(**given)
        plan = VolumePlan(options, tuple(told["plan"]["size"]), tuple(told["plan"]["labels"]), told["plan"]["dtype"])
    return {
        split: DeviceStore(
            arrays[f"{split}-images"], _labels(arrays, split, found["bits"]), found["names"],
            [tuple(size) for size in found["sizes"]], conventions, list(told["notes"]),
            list(dataset.splits[split]) if plan else [], found["owner"], plan, anew=_volumes(arrays, split, plan),
        )
        for split, found in told["splits"].items()
    }  # fmt: skip


def _labels(arrays: dict[str, torch.Tensor], split: str, bits: bool) -> torch.Tensor | PackedMasks | None:
    masks = arrays.get(f"{split}-masks")
    return PackedMasks(masks, tuple(arrays[f"{split}-images"].shape[2:])) if bits and masks is not None else masks


def _volumes(arrays: dict[str, torch.Tensor], split: str, plan: VolumePlan | None) -> Volumes | None:
    head = f"{split}-anew-"
    found: dict[str, Any] = {
        name.removeprefix(head): values for name, values in arrays.items() if name.startswith(head)
    }
    return Volumes(**{"labels": None, **found}, size=plan.size) if plan and found else None


def _mapped(path: Path) -> torch.Tensor:
    array = np.load(path, mmap_mode="c")  # torch wants it writable; nothing that is written goes to the file
    return torch.from_numpy(array)


def _forget_the_oldest(home: Path) -> None:
    kept = 0
    for folder in newest_first(home):
        kept += sum(path.stat().st_size for path in folder.iterdir())
        if kept > MOST_BYTES:
            shutil.rmtree(folder, ignore_errors=True)
