"""Losses and their gradients on one thread, beside torch eager as the published code has it, torch.compile and MONAI.

pytest benchmarks/bench_losses.py --benchmark-timer=time.process_time --benchmark-json=losses.json
python benchmarks/losses_table.py losses.json --out benchmarks/results/losses-cpu.json --docs docs/losses.md
The time is the processor's, which other work on the machine does not stretch.
Each run makes a loss and its gradient by the logits; both are compared with a float64 reference before any time is
taken (MONAI's losses are other means of the same quantities and are compared in their sign alone). `peak_bytes` in the
extra info is the most that a run holds at once beyond its inputs, the gradient included.
"""

from __future__ import annotations

import ctypes
import time as clock
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from qgssl_fast.ops.losses import ce_dice, consistency

# name: kind, shape of the logits. Probabilities of a teacher for mse, masks for bce_dice, labels for ce_dice.
CASES = {
    "weighted BCE+Dice, 32x1x224x224": ("bce_dice", (32, 1, 224, 224)),
    "weighted MSE, 32x1x224x224": ("mse", (32, 1, 224, 224)),
    "CE+Dice, 8x4x224x224": ("ce_dice", (8, 4, 224, 224)),
    "CE+Dice, 8x14x224x224": ("ce_dice", (8, 14, 224, 224)),
    "weighted BCE+Dice, 2x1x96x96x96": ("bce_dice", (2, 1, 96, 96, 96)),
    "weighted MSE, 2x1x96x96x96": ("mse", (2, 1, 96, 96, 96)),
    "CE+Dice, 1x4x96x96x96": ("ce_dice", (1, 4, 96, 96, 96)),
    "CE+Dice, 1x14x96x96x96": ("ce_dice", (1, 14, 96, 96, 96)),
}
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


@pytest.fixture(autouse=True, scope="module")
def kept_memory():
    """glibc gives freed memory back to the system and takes it again page by page, which at these sizes costs any
    contender more than its arithmetic; a training process has long come to keep it. Here it is told to."""
    trim_threshold, mmap_threshold = -1, -3
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(trim_threshold, 1 << 30)
        libc.mallopt(mmap_threshold, 1 << 25)


def inputs(kind: str, shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, generator=g) * 3
    weights = torch.rand(shape[0], generator=g)
    if kind == "mse":
        return logits, torch.rand(shape, generator=g), weights
    if kind == "bce_dice":
        return logits, (torch.rand(shape, generator=g) < 0.4).float(), weights
    return logits, torch.randint(0, shape[1], (shape[0], *shape[2:]), generator=g), torch.ones(shape[0])


def eager(kind: str) -> Loss:
    def weighted(losses: Tensor, weights: Tensor) -> Tensor:
        return (weights * losses).sum() / weights.sum().clamp_min(1e-6)

    def bce_dice(z: Tensor, t: Tensor, w: Tensor) -> Tensor:
        bce = F.binary_cross_entropy_with_logits(z, t, reduction="none").flatten(1).mean(1)
        p, t = z.sigmoid().flatten(1), t.flatten(1)
        dice = (2 * (p * t).sum(1) + 1e-6) / (p.sum(1) + t.sum(1) + 1e-6)
        return weighted(0.5 * bce + 0.5 * (1 - dice), w)

    def mse(z: Tensor, t: Tensor, w: Tensor) -> Tensor:
        return weighted((z.sigmoid() - t).square().flatten(1).mean(1), w)

    def ce_dice(z: Tensor, t: Tensor, w: Tensor) -> Tensor:
        if z.dtype == torch.float64:  # cross_entropy with labels of float64 is the same formula
            entropy = -z.log_softmax(1).gather(1, t[:, None]).flatten(1).mean(1)
        else:
            entropy = F.cross_entropy(z, t, reduction="none").flatten(1).mean(1)
        p = z.softmax(1).flatten(2)
        hot = F.one_hot(t, z.shape[1]).movedim(-1, 1).flatten(2).to(z.dtype)
        dice = (2 * (p * hot).sum(2) + 1e-6) / (p.sum(2) + hot.sum(2) + 1e-6)
        return weighted(0.5 * entropy + 0.5 * (1 - dice[:, 1:].mean(1)), w)

    return {"bce_dice": bce_dice, "mse": mse, "ce_dice": ce_dice}[kind]


def compiled(kind: str) -> Loss:
    torch.compiler.reset()
    return torch.compile(eager(kind), fullgraph=True, dynamic=False)


def ours(kind: str) -> Loss:
    if kind == "ce_dice":
        return lambda z, t, w: ce_dice(z, t).mean()
    return lambda z, t, w: consistency(z, t, w, kind)


def monai_dice_ce(kind: str) -> Loss:
    module = pytest.importorskip("monai.losses").DiceCELoss(**_monai(kind))
    return lambda z, t, w: module(z, t if kind == "bce_dice" else t[:, None])


def monai_dice(kind: str) -> Loss:
    module = pytest.importorskip("monai.losses").DiceLoss(**_monai(kind))
    return lambda z, t, w: module(z, t if kind == "bce_dice" else t[:, None])


def _monai(kind: str) -> dict[str, bool]:
    if kind == "mse":
        pytest.skip("MONAI has no such loss")
    return {"sigmoid": True} if kind == "bce_dice" else {"softmax": True, "to_onehot_y": True}


def peak_bytes(run: Callable[[], object]) -> int:
    with torch.profiler.profile(profile_memory=True) as profile:
        run()
    held = most = 0
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


@pytest.mark.parametrize("contender", [ours, eager, compiled, monai_dice_ce, monai_dice], ids=lambda f: f.__name__)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.benchmark(group="losses")
def test_loss(benchmark, case, contender):
    kind, shape = CASES[case]
    logits, target, weights = inputs(kind, shape)
    logits.requires_grad_()
    loss = contender(kind)

    def run() -> tuple[Tensor, Tensor]:
        made = loss(logits, target, weights)
        return made, torch.autograd.grad(made, logits)[0]

    exact = logits.detach().double().requires_grad_()
    wanted = eager(kind)(exact, target if kind == "ce_dice" else target.double(), weights.double())
    (gradient,) = torch.autograd.grad(wanted, exact)
    found = run()
    if "monai" in contender.__name__:
        assert found[0] > 0
        assert F.cosine_similarity(found[1].flatten().double(), gradient.flatten(), dim=0) > 0
    else:
        torch.testing.assert_close(found[0].double(), wanted, rtol=1e-5, atol=0)
        torch.testing.assert_close(found[1].double(), gradient, rtol=1e-4, atol=1e-5 * float(gradient.abs().max()))
    del found, exact, gradient
    run()
    began = clock.perf_counter()
    run()
    rounds = min(max(int(1.2 / (clock.perf_counter() - began)), 5), 100)
    benchmark.pedantic(run, warmup_rounds=3, rounds=rounds)
    if benchmark.stats is not None:
        benchmark.extra_info["milliseconds"] = benchmark.stats.stats.min * 1e3
    benchmark.extra_info["peak_bytes"] = peak_bytes(run)
    benchmark.extra_info["gradient_bytes"] = logits.numel() * 4
