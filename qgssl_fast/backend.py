"""Which backend serves an operation on a device, and why another does not.

Backends, in the order that ``"auto"`` prefers them:

=============  ==========================================================  =======================================
name           what                                                        serves
=============  ==========================================================  =======================================
``cuda``       CUDA kernels, built (``qgssl_fast._cuda``) or by CuPy       CUDA tensors
``triton``     Triton kernels                                              CUDA tensors (CPU under TRITON_INTERPRET=1)
``native``     C++ kernels, ``qgssl_fast._C``                              CPU tensors; CUDA ones through pinned memory
``reference``  the definition, in torch or numpy                           every tensor
=============  ==========================================================  =======================================

A module under ``ops/`` registers its operation once: the stem of its kernel modules and the backends that have it::

    backend.register("corrupt", stem="corrupt", backends=("reference",))

and asks for the kernel in each call (a dictionary look-up after the first)::

    kernel = backend.kernel("corrupt", masks.device, requested)    # kernels/reference/corrupt.py: corrupt
    out = kernel(masks, ...)

Kernels of one operation have one signature in all backends, take tensors of any strides and return new tensors on the
device of their input; a ``reference`` kernel accepts every device. ``"auto"`` takes the best backend that can serve and
warns once when that is slower than what the operation has; a backend asked for by name that cannot serve raises
:class:`~qgssl_fast.errors.InputError` with the reason and with what is there instead.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from .errors import InputError

NAMES = ("cuda", "triton", "native", "reference")


@dataclass(frozen=True)
class Operation:
    name: str
    stem: str
    backends: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """What ``doctor`` shows of one backend on one device: whether it can serve there, why not, and its particulars."""

    backend: str
    device: str
    serves: bool
    reason: str
    detail: str


_operations: dict[str, Operation] = {}
_chosen: dict[tuple[str, torch.device, str], tuple[str, Callable[..., Any]]] = {}
_warned: set[tuple[str, str]] = set()


def register(op: str, *, stem: str, backends: Iterable[str]) -> None:
    """Tell that ``kernels/<backend>/<stem>.py`` has a function `op` for each of `backends`."""
    names = tuple(backends)
    unknown = [name for name in names if name not in NAMES]
    if unknown or "reference" not in names:
        raise ValueError(f"{op}: backends must be among {NAMES} and hold 'reference', got {names}")
    _operations[op] = Operation(op, stem, names)
    for key in [key for key in _chosen if key[0] == op]:
        del _chosen[key]


def operations() -> tuple[Operation, ...]:
    """All operations registered so far."""
    return tuple(_operations.values())


def choose(op: str, device: torch.device | str, requested: str = "auto") -> str:
    """Name of the backend that serves `op` on `device`. Raises InputError when the `requested` one cannot."""
    return _find(op, torch.device(device), requested)[0]


def kernel(op: str, device: torch.device, requested: str = "auto") -> Callable[..., Any]:
    """The function that serves `op` on `device`; see :func:`choose`."""
    return _find(op, device, requested)[1]


def reset() -> None:
    """Forget all choices and warnings (for tests, and after the environment has changed)."""
    _chosen.clear()
    _warned.clear()


def describe() -> list[Row]:
    """One row for each backend and device type of this machine."""
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    rows = []
    for name in NAMES:
        for device in devices:
            why_not = refusal(name, torch.device(device))
            rows.append(Row(name, device, why_not is None, why_not or "", "" if why_not else _detail(name)))
    return rows


def refusal(name: str, device: torch.device) -> str | None:
    """Why backend `name` cannot serve tensors on `device` on this machine; None when it can."""
    if name == "reference":
        return None
    if name == "native":
        if device.type not in ("cpu", "cuda"):
            return f"serves CPU and CUDA tensors, not {device.type}"
        return _package("native").refusal()
    if name == "cuda":
        if device.type != "cuda":
            return f"serves CUDA tensors, not {device.type}"
        return _package("cuda").refusal(device)
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"serves CUDA tensors, not {device.type}"
    return None


def _find(op: str, device: torch.device, requested: str) -> tuple[str, Callable[..., Any]]:
    key = (op, device, requested)
    found = _chosen.get(key)
    if found is None:
        found = _chosen[key] = _resolve(op, device, requested)
    return found


def _resolve(op: str, device: torch.device, requested: str) -> tuple[str, Callable[..., Any]]:
    operation = _operations.get(op)
    if operation is None:
        raise InputError(f"no operation {op!r}; there are {', '.join(_operations)} (once their module is imported)")
    if requested != "auto":
        if requested not in NAMES:
            raise InputError(f"{op}: backend must be one of {('auto', *NAMES)}, got {requested!r}")
        why_not = _refusal_of(operation, requested, device)
        if why_not:
            there = [name for name in operation.backends if refusal(name, device) is None]
            cannot = f"{op}: backend {requested!r} cannot serve on {device}"
            raise InputError(f"{cannot}: {why_not}; can: {', '.join(there)}")
        return requested, _load(operation, requested, device)
    passed_over: list[str] = []
    for name in NAMES:
        if name not in operation.backends or (name == "triton" and device.type == "cpu"):
            continue
        why_not = refusal(name, device)
        if why_not is None:
            _warn_slow(device, name, passed_over)
            return name, _load(operation, name, device)
        if not (name == "cuda" and device.type != "cuda"):
            passed_over.append(f"{name}: {why_not}")
    raise AssertionError("the reference serves every device")


def _refusal_of(operation: Operation, name: str, device: torch.device) -> str | None:
    if name not in operation.backends:
        return f"it does not have {operation.name}"
    return refusal(name, device)


def _warn_slow(device: torch.device, name: str, passed_over: list[str]) -> None:
    on_host = name == "native" and device.type == "cuda"
    slow = on_host or (name == "reference" and bool(passed_over))
    if not slow or (device.type, name) in _warned:
        return
    _warned.add((device.type, name))
    how = "the CPU kernels serve CUDA tensors through pinned memory" if on_host else "the slow reference serves"
    warnings.warn(f"qgssl_fast on {device.type}: {how} ({'; '.join(passed_over)})", RuntimeWarning, stacklevel=5)


def _load(operation: Operation, name: str, device: torch.device) -> Callable[..., Any]:
    module = importlib.import_module(f"{__package__}.kernels.{name}.{operation.stem}")
    function: Callable[..., Any] = getattr(module, operation.name)
    if name == "native" and device.type == "cuda":
        return through_host(function)
    return function


def through_host(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` for CPU tensors made to serve tensors of another device: copies in and out through pinned memory.

    `out`, where it is given, takes the first of the results.
    """

    def run(*args: Any, out: torch.Tensor | None = None, **kwargs: Any) -> Any:
        device = next(arg.device for arg in args if isinstance(arg, torch.Tensor))
        made = function(*map(_to_host, args), **{key: _to_host(value) for key, value in kwargs.items()})
        if isinstance(made, torch.Tensor):
            return made.to(device)
        parts = tuple(part.to(device) if isinstance(part, torch.Tensor) else part for part in made)
        return parts if out is None else (out.copy_(parts[0]), *parts[1:])

    return run


def _to_host(value: Any) -> Any:
    if not isinstance(value, torch.Tensor) or value.device.type == "cpu":
        return value
    host = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
    return host.copy_(value)  # sync


def _package(name: str) -> Any:
    return importlib.import_module(f"{__package__}.kernels.{name}")


def _detail(name: str) -> str:
    if name in ("native", "cuda"):
        text: str = _package(name).describe()
        return text
    if name == "triton":
        return f"triton {importlib.import_module('triton').__version__}"
    return f"torch {torch.__version__}"
