"""``qgssl-fast doctor``: what this machine can use, which backend serves which operation, and whether it works."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import time
from collections.abc import Callable

import torch
from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from .. import __version__, backend
from ..errors import InputError

# Each registers its operations with the backend.
_OPS = ("morph", "overlap", "corrupt", "warp", "losses", "augment")
# Package -> what it is for.
_OPTIONAL = {
    "triton": "GPU kernels where the CUDA module is not built",
    "cupy": "CUDA kernels where nvcc built none (extras: cuda12, cuda13)",
    "einops": "SwinUNETR and UNETR (extra: transformers)",
    "segmentation-models-pytorch": "smp: networks with ImageNet weights (extra: pretrained)",
    "timm": "timm: predictor backbones with ImageNet weights (extra: pretrained)",
}


def configure(parser: ArgumentParser, words: list[str]) -> None:
    """There is nothing to set."""


def run(settings: Namespace, words: list[str]) -> int:
    """Show everything; 0 when the CPU path works, else 1."""
    return doctor()


def doctor(console: Console | None = None) -> int:
    """Print what there is and the result of a self-test of some seconds; returns 0 when the CPU path works, else 1."""
    console = console or Console()
    for name in _OPS:
        importlib.import_module(f"qgssl_fast.ops.{name}")
    for table in (_machine(), _backends(), _operations(), _optional(), _networks()):
        console.print(table)
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    works = {device: self_test(device, console) for device in devices}
    broken = [device for device, good in works.items() if not good]
    console.print(f"[red]broken on {', '.join(broken)}[/]" if broken else f"[green]all works on {', '.join(works)}[/]")
    return 0 if works["cpu"] else 1


def _machine() -> Table:
    table = _table("machine", "", "")
    table.add_row("qgssl_fast", __version__)
    table.add_row("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    table.add_row("torch", f"{torch.__version__} (CUDA {torch.version.cuda or 'not in this build'})")
    table.add_row("threads", f"{torch.get_num_threads()} of {os.cpu_count()} cores")
    for k in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(k)
        text = f"{found.name}, {found.total_memory / 2**30:.0f} GiB, sm_{found.major}{found.minor}"
        table.add_row(f"cuda:{k}", text)
    if not torch.cuda.is_available():
        table.add_row("GPU", "none that torch can use")
    return table


def _backends() -> Table:
    table = _table("backends", "backend", "on", "can serve", "because")
    for row in backend.describe():
        table.add_row(row.backend, row.device, _mark(row.serves), escape(row.detail if row.serves else row.reason))
    return table


def _operations() -> Table:
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    table = _table("operations", "operation", *(f"{device} is served by" for device in devices), "why not another")
    for operation in sorted(backend.operations(), key=lambda o: o.name):
        table.add_row(
            operation.name, *(backend.choose(operation.name, d) for d in devices), _others(operation, devices)
        )
    return table


def _others(operation: backend.Operation, devices: list[str]) -> str:
    """The backends that would be preferred to the one that serves on the last device, and what keeps each from it."""
    device = devices[-1]
    serving = backend.choose(operation.name, device)
    better = backend.NAMES[: backend.NAMES.index(serving)]
    lacking = [name for name in better if name not in operation.backends]
    refused = {name: backend.refusal(name, torch.device(device)) for name in better if name not in lacking}
    reasons = [f"not in {', '.join(lacking)}"] if lacking else []
    return "; ".join(reasons + [f"{name} {why_not}" for name, why_not in refused.items() if why_not])


def _optional() -> Table:
    table = _table("optional packages", "package", "version", "for")
    for package, purpose in _OPTIONAL.items():
        table.add_row(package, _version(package) or "[dim]not installed[/]", purpose)
    return table


def _networks() -> Table:
    from ..networks import list_networks
    from ..quality import list_backbones

    table = _table("networks", "name", "what it is")
    for name, text in list_networks().items():
        table.add_row(name, text)
    backbones = list_backbones()
    table.add_row("predictor backbones", ", ".join(backbones))
    return table


def self_test(device: str, console: Console) -> bool:
    """Run the checks on `device` and print a line for each; True when none failed."""
    table = _table(f"self-test on {device}", "check", "", "found", "seconds")
    good = True
    for name, check in CHECKS.items():
        start = time.perf_counter()
        try:
            found, passed = check(device), True
        except Exception as error:  # whatever it is, a doctor reports it
            found, passed = f"{type(error).__name__}: {error}", False
        good &= passed
        table.add_row(name, _mark(passed), escape(found), f"{time.perf_counter() - start:.2f}")
    console.print(table)
    return good


def _discs(device: str, count: int = 12, side: int = 65) -> Tensor:
    """uint8 [count, side, side]: discs of growing radius, the first mask empty."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    distance = (y - side // 2) ** 2 + (x - side // 3) ** 2
    return torch.stack([distance < (2 * k) ** 2 for k in range(count)]).to(torch.uint8).to(device)


def _check_morph(device: str) -> str:
    from ..ops.morph import dilate, erode

    masks, compared = _discs(device), []
    for name in ("native", "cuda", "triton"):
        if backend.refusal(name, torch.device(device)) is None:
            compared.append(name)
            for op in (erode, dilate):
                for radius in (1, 3, 70):
                    _same(
                        op(masks, radius, backend=name), op(masks, radius, backend="reference"), f"{name} {op.__name__}"
                    )
    return f"{', '.join(compared)} equal to the reference" if compared else "only the reference is here"


def _check_warp(device: str) -> str:
    from ..ops.warp import affine, elastic

    masks, compared = _discs(device), []
    matrices = torch.tensor([[[0.9, -0.3, 7.0], [0.3, 0.9, -5.0]]], device=device).expand(len(masks), 2, 3)
    for name in ("native", "cuda", "triton"):
        if backend.refusal(name, torch.device(device)) is None:
            compared.append(name)
            turned, bent = affine(masks, matrices, backend=name), elastic(masks, 3.0, 5.0, backend=name)
            _same(turned, affine(masks, matrices, backend="reference"), f"{name} affine")
            _same(bent, elastic(masks, 3.0, 5.0, backend="reference"), f"{name} elastic")
    return f"{', '.join(compared)} equal to the reference" if compared else "only the reference is here"


def _check_corrupt(device: str) -> str:
    from ..ops.corrupt import corrupt, replay
    from ..recipes import load_recipe

    masks, recipe = _discs(device, 24), load_recipe("default").without_bank()
    ids = torch.arange(24, device=device)
    whole = corrupt(masks, recipe, seed=1, sample_ids=ids)
    parts = [corrupt(masks[k : k + 5], recipe, seed=1, sample_ids=ids[k : k + 5]).masks for k in range(0, 24, 5)]
    _same(torch.cat(parts), whole.masks, "a batch in parts")
    again = replay(masks, recipe, whole.rows, seed=1, sample_ids=ids)
    _same(again.masks, whole.masks, "the replay")
    on_host = corrupt(masks.cpu(), recipe, seed=1, sample_ids=ids.cpu())
    _same(whole.masks.cpu(), on_host.masks, f"{device} beside the CPU")
    return f"parts and replay equal; mean Dice {whole.quality.mean().item():.2f}"


def _check_losses(device: str) -> str:
    from ..ops.losses import bce_dice, consistency

    target = _discs(device)
    logits = (target[:, None].float() * 2e4 - 1e4).flip(0).requires_grad_()
    weights = torch.linspace(0, 1, len(target), device=device)
    loss = bce_dice(logits, target).sum() + consistency(logits, target, weights, kind="bce_dice")
    (gradient,) = torch.autograd.grad(loss, logits)
    if not (torch.isfinite(loss) and torch.isfinite(gradient).all()):
        raise ArithmeticError("a loss or its gradient is not finite for logits of 1e4")
    return "finite, gradients too, for logits of ±10,000 and an empty mask"


def _check_predictor(device: str) -> str:
    from ..quality import QualityPredictor

    predictor = QualityPredictor("small", in_channels=1).to(device).eval()
    masks = _discs(device)
    with torch.no_grad():
        quality = predictor(masks[:, None].float(), masks)
    if quality.shape != (len(masks),) or not ((quality > 0) & (quality < 1)).all():
        raise ArithmeticError(f"wanted {len(masks)} scores in (0, 1), got {quality.tolist()}")
    return f"{len(masks)} scores in (0, 1)"


CHECKS: dict[str, Callable[[str], str]] = {
    "erosion and dilation": _check_morph,
    "affine maps and elastic fields": _check_warp,
    "corruption": _check_corrupt,
    "losses": _check_losses,
    "quality predictor": _check_predictor,
}


def _same(found: Tensor, wanted: Tensor, what: str) -> None:
    if not torch.equal(found, wanted):
        raise InputError(f"{what} differs in {int((found != wanted).sum())} of {wanted.numel()} pixels")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", show_header=any(columns))
    for column in columns:
        table.add_column(column)
    return table


def _mark(good: bool) -> str:
    return "[green]yes[/]" if good else "[red]no[/]"


def _version(package: str) -> str | None:
    # CuPy is published as cupy-cuda12x and so on.
    for name in (package, f"{package}-cuda13x", f"{package}-cuda12x"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
