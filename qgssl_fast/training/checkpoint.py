"""Checkpoints: tensors in safetensors, the rest as JSON in its header, a hash of both. Nothing is pickled.

The newest file is `checkpoint.safetensors`, the one before it `checkpoint-before.safetensors`: it stays until the next
is safe, and is used where the newest turns out damaged.
"""

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
NEWEST, BEFORE = "checkpoint.safetensors", "checkpoint-before.safetensors"


def save(folder: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Write all of it into `folder`; the newest file becomes the one before. OSError where there is no space left."""
    held = {f"{name}/{key}": value for name, module in modules.items() for key, value in module.state_dict().items()}
    optimized = optimizer.state_dict()["state"]
    held |= {f"optimizer/{i}/{key}": value for i, values in optimized.items() for key, value in values.items()}
    held = {key: value.detach().cpu().contiguous().clone() for key, value in held.items()}  # sync
    text = json.dumps(state)
    header = {"kind": KIND, "state": text, "hash": _digest(held, text)}
    folder.mkdir(parents=True, exist_ok=True)
    newest, fresh = folder / NEWEST, folder / "checkpoint-new.safetensors"
    write_tensors(fresh, held, header)
    if newest.exists():
        newest.replace(folder / BEFORE)
    fresh.replace(newest)


def load_newest(
    folder: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Any] | None, list[str]]:
    """Put back the newest checkpoint that is whole and of these networks; None where there is none.

    Also gives what is to be said of files that are not: each is named, and the one before it is tried.
    """
    said: list[str] = []
    for name in ("checkpoint-new.safetensors", NEWEST, BEFORE):
        path = folder / name
        if path.exists():
            try:
                return _put_back(path, *_read(path), modules, optimizer), said
            except InputError as error:
                said.append(f"{error}; it is left out")
    return None, said


def remove(folder: Path) -> None:
    """Forget the checkpoints of a stage that is done."""
    for name in ("checkpoint-new.safetensors", NEWEST, BEFORE):
        (folder / name).unlink(missing_ok=True)


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safe_open is no dict)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: wanted a checkpoint, got an unreadable file ({error})") from None
    if header.get("kind") != KIND:
        raise InputError(f"{path}: wanted a {KIND}, got another safetensors file")
    if header.get("hash") != _digest(tensors, header.get("state", "")):
        raise InputError(f"{path}: the content does not match its hash: the file is damaged")
    return header, tensors


def _put_back(
    path: Path,
    header: dict[str, str],
    tensors: dict[str, Tensor],
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer,
) -> dict[str, Any]:
    groups: dict[str, dict[str, Tensor]] = {name: {} for name in modules}
    optimized: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, rest = key.split("/", 1)
        if name == "optimizer":
            index, field = rest.split("/")
            optimized.setdefault(int(index), {})[field] = value
        else:
            groups.setdefault(name, {})[rest] = value
    for name in {**groups, **modules}:  # all is compared before anything is changed
        held = modules[name].state_dict() if name in modules else {}
        _compare(path, name, groups.get(name, {}), {key: value.shape for key, value in held.items()})
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, values in optimized.items():
        moments = {key: value for key, value in values.items() if value.ndim}  # and the number of steps, a scalar
        shape = parameters[number].shape if number < len(parameters) else torch.Size([-1])
        _compare(path, f"optimizer/{number}", moments, dict.fromkeys(moments, shape))
    for name, module in modules.items():
        module.load_state_dict(groups[name])
    optimizer.load_state_dict({"state": optimized, "param_groups": optimizer.state_dict()["param_groups"]})
    state: dict[str, Any] = json.loads(header["state"])
    return state


def _compare(path: Path, name: str, found: dict[str, Tensor], wanted: dict[str, torch.Size]) -> None:
    odd = [key for key in {**found, **wanted} if key not in found or found[key].shape != wanted.get(key)]
    if odd:
        raise InputError(f"{path}: the checkpoint is of another network: {name}/{odd[0]} does not fit")


def _digest(tensors: dict[str, Tensor], text: str) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for key in sorted(tensors):
        value = tensors[key]
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
