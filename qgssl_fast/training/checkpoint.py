"""Checkpoints: tensors in safetensors, the rest as JSON in its header. Nothing is pickled."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..errors import InputError
from ..files import write_tensors

KIND = "qgssl_fast checkpoint"


def save(path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Write modules, optimiser and `state` (JSON) in one file, whole or not at all."""
    tensors = {f"{name}/{key}": value for name, module in modules.items() for key, value in module.state_dict().items()}
    optimized = optimizer.state_dict()["state"]
    tensors |= {f"optimizer/{i}/{key}": value for i, values in optimized.items() for key, value in values.items()}
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    header = {"kind": KIND, "state": json.dumps(state), "hash": _digest(tensors)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, tensors, header)


def load(path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Put back what :func:`save` wrote and return its `state`; InputError names a file that is no such checkpoint."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safe_open is no dict)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: wanted a checkpoint, got an unreadable file ({error})") from None
    if header.get("kind") != KIND:
        raise InputError(f"{path}: wanted a {KIND}, got another safetensors file")
    if header.get("hash") != _digest(tensors):
        raise InputError(
            f"{path}: the content does not match its hash: the file is damaged; remove it to start this stage anew"
        )
    groups: dict[str, dict[str, Tensor]] = {name: {} for name in modules}
    optimized: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, rest = key.rsplit("/", 1) if not key.startswith("optimizer/") else ("optimizer", key.split("/", 1)[1])
        if name == "optimizer":
            index, field = rest.split("/")
            optimized.setdefault(int(index), {})[field] = value
        elif name in groups:
            groups[name][rest] = value
    try:
        for name, module in modules.items():
            module.load_state_dict(groups[name])
        optimizer.load_state_dict({"state": optimized, "param_groups": optimizer.state_dict()["param_groups"]})
    except (RuntimeError, ValueError, KeyError) as error:
        raise InputError(f"{path}: the checkpoint is of another network: {error}") from None
    return json.loads(header["state"])


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for key in sorted(tensors):
        value = tensors[key]
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
