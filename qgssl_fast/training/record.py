"""run.json: all that the numbers of a run depend on beside its settings."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from .. import __version__, backend
from ..data import DeviceStore
from ..errors import InputError
from .folder import read_json, write_json

PACKAGES = ("torch", "numpy", "monai", "accelerate", "safetensors", "triton", "pillow", "nibabel")


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, commit and hardware."""
    found: dict[str, Any] = {
        "qgssl_fast": __version__, "commit": commit(), "python": platform.python_version(),
        "packages": {name: number for name in PACKAGES if (number := _version(name)) is not None},
        "device": str(device), "processor": processor(), "machine": platform.machine(), "system": platform.platform(),
        "cpus": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__,
        "backends": [row.backend for row in backend.describe() if row.serves],
    }  # fmt: skip
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        found["gpu"] = {
            "name": about.name, "gib": round(about.total_memory / 2**30, 1), "capability": [about.major, about.minor],
            "count": torch.cuda.device_count(), "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(),
        }  # fmt: skip
    return found


def write_record(
    path: Path, stores: dict[str, DeviceStore], device: torch.device, ranks: int, seed: int, command: str
) -> list[str]:
    """Write run.json, or compare with the one that is there: what changed since the run began is returned, to be said.

    Raises InputError where the data are others.
    """
    digest = data_hash(stores)
    now = {"seed": seed, "command": command, "data_hash": digest, "ranks": ranks, **environment(device)}
    before = read_json(path)
    if before is None:
        write_json(path, now)
        return []
    if before.get("data_hash") != digest:
        raise InputError(
            f"data: the images or masks are not those that {path.parent} was begun with (hash {digest}, "
            f"there {before.get('data_hash')}); name another folder"
        )
    keys = ("qgssl_fast", "commit", "packages", "device", "processor", "threads", "ranks")
    changed = [key for key in keys if before.get(key) != now[key]]
    return [f"{key}: {before.get(key)} when the run began, now {now[key]}: bits may differ" for key in changed]


def data_hash(stores: dict[str, DeviceStore]) -> str:
    """Of all images and masks as they are trained on, split by split; of a stream, of what its shards' index says."""
    digest = hashlib.blake2b(digest_size=16)
    for split, store in sorted(stores.items()):
        digest.update(f"{split} {tuple(store.images.shape)} {store.names}".encode())
        if store.stream is not None:
            digest.update(str([shard.digest for shard in store.stream.shards.shards]).encode())
        for values in (store.images, store.masks):
            for chunk in values.split(256) if values is not None else ():
                digest.update(chunk.cpu().contiguous().numpy())  # sync
    return digest.hexdigest()


def commit() -> str | None:
    """Of the checkout that the package lies in, with "+" where files differ; None outside of one."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        tracked = subprocess.run([*git, "ls-files", __file__], capture_output=True, text=True, timeout=10)
        if tracked.returncode or not tracked.stdout.strip():
            return None
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10)
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "") if head.returncode == 0 else None


def processor() -> str:
    """The processor's name, with family and model, since names of virtual machines say little."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return platform.processor()
    first = info.read_text(encoding="utf-8").split("\n\n")[0]
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
    name = fields.get("model name", platform.processor() or platform.machine())
    return f"{name}, family {fields['cpu family']} model {fields['model']}" if "cpu family" in fields else name


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
