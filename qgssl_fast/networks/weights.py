"""Networks as safetensors files whose metadata says how to build them again. Nothing is pickled or unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import safetensors
import torch
from torch import Tensor, nn

from ..errors import InputError
from ..files import write_tensors

KEY = "qgssl_fast"
VERSION = 1


class Saved(Protocol):
    """A module that can be built again: `kind` names its class in files, `arguments` are those of its constructor."""

    kind: str
    arguments: dict[str, Any]

    def state_dict(self) -> dict[str, Tensor]: ...


def save_module(path: str | Path, module: Saved, extra: dict[str, Any] | None = None) -> Path:
    """Write weights, buffers and constructor arguments, whole or not at all; `extra`: plain values for the reader."""
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: weights are saved as .safetensors")
    about = {"kind": module.kind, "version": VERSION, "arguments": module.arguments, "extra": extra or {}}
    try:
        text = json.dumps(about)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: what goes with the weights must be plain values: {error}") from None
    state = module.state_dict()
    first = _first_names(state)
    tensors = {name: state[name].detach().cpu().contiguous() for name in dict.fromkeys(first.values())}
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_tensors(path, tensors, {KEY: text})


def read_about(path: str | Path, kind: str) -> dict[str, Any]:
    """A file's kind, version, arguments and extra. InputError where it is no file of ours or of another kind."""
    with _open(path) as file:
        return _about(path, file.metadata(), kind)


def load_module(path: str | Path, cls: Any) -> tuple[Any, dict[str, Any]]:
    """Build a `cls` from its file, on the CPU and in eval mode, and give the file's `extra` beside it.

    Raises InputError, naming the file, where it is missing, damaged, not ours, of another kind, or does not fit.
    """
    with _open(path) as file:
        about = _about(path, file.metadata(), cls.kind)
        try:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (safetensors.SafetensorError, OSError) as error:
            raise InputError(f"{path}: damaged: {error}") from None
    try:
        with torch.random.fork_rng(devices=[]):  # building draws weights; loading must not move the caller's chance
            module = cls(**about["arguments"])
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: cannot build its {cls.kind}: {error}") from error
    state = module.state_dict()
    first = _first_names(state)
    wanted = set(first.values())
    if wanted != set(tensors):
        odd = sorted(wanted ^ set(tensors))
        raise InputError(f"{path}: its tensors do not fit its {cls.kind}: {', '.join(odd[:3])} ({len(odd)} in all)")
    for name in sorted(wanted):
        if tensors[name].shape != state[name].shape:
            raise InputError(
                f"{path}: tensor {name} must be {list(state[name].shape)}, got {list(tensors[name].shape)}"
            )
    module.load_state_dict({name: tensors[first[name]] for name in state})
    return module.eval(), about["extra"]


def _first_names(state: dict[str, Tensor]) -> dict[str, str]:
    """Each name to the first name of the same tensor: DynUNet lists its blocks twice, and a file holds them once."""
    seen: dict[tuple[Any, ...], str] = {}
    return {
        name: seen.setdefault((t.data_ptr(), t.shape, t.stride()) if t.numel() else (name,), name)
        for name, t in state.items()
    }


def _open(path: str | Path) -> Any:
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")
    try:
        return safetensors.safe_open(path, framework="pt", device="cpu")
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a readable safetensors file: {error}") from None


def _about(path: str | Path, metadata: dict[str, str] | None, kind: str) -> dict[str, Any]:
    try:
        about = json.loads((metadata or {})[KEY])
        found, version, arguments = about["kind"], about["version"], about["arguments"]
        about.setdefault("extra", {})
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: holds no {kind}: it was not written by qgssl_fast") from None
    if found != kind:
        raise InputError(f"{path}: wanted a {kind}, it holds a {found}")
    if version != VERSION:
        raise InputError(f"{path}: written in format {version}, this qgssl_fast reads {VERSION}")
    if not isinstance(arguments, dict):
        raise InputError(f"{path}: its arguments are no mapping")
    return about


class SavedModule(nn.Module):
    """Base of the two networks that are saved: save and load in one place."""

    kind: str
    arguments: dict[str, Any]
    extra: dict[str, Any]

    def save(self, path: str | Path, **extra: Any) -> Path:
        """Write weights and all that builds the network again; `extra` (plain values) comes back as `.extra`."""
        return save_module(path, self, {**self.extra, **extra})

    @classmethod
    def load(cls, path: str | Path) -> Any:
        """Read a network that :meth:`save` wrote, on the CPU, in eval mode; InputError for any other file."""
        module, extra = load_module(path, cls)
        module.extra = extra
        return module
