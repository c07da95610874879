"""Run by test_triton.py in a process of its own, under TRITON_INTERPRET=1: the losses' kernels on CPU tensors."""

from __future__ import annotations

import itertools

import torch

from qgssl_fast.kernels.triton import losses as kernels
from qgssl_fast.ops.losses import ce_dice, consistency, soft_dice

GENERATOR = torch.Generator().manual_seed(0)
kernels._BLOCKS = 2  # so that small images take several programs


def rand(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=GENERATOR)


def run(backend, logits, *rest, **options):
    logits = logits.detach().requires_grad_()
    loss = consistency(logits, *rest, **options, backend=backend)
    return loss.detach(), torch.autograd.grad(loss, logits)[0]


def make(channels, shape, form, dtype):
    logits = (6 * rand(2, channels, *shape) - 3).to(dtype)
    if form == "labels":
        return logits, torch.randint(0, max(2, channels), (2, *shape), generator=GENERATOR, dtype=torch.uint8)
    other = 6 * rand(2, channels, *shape) - 3
    if form == "probabilities":
        other = other.sigmoid() if channels == 1 else other.softmax(1)
    return logits, other


def close(ours, theirs, dtype=torch.float32):
    for a, b in zip(ours, theirs):
        rough = 2e-5 if dtype == torch.float32 else 8e-3
        largest = float(b.detach().abs().max())
        torch.testing.assert_close(a.float(), b.float(), rtol=rough, atol=1e-5 * largest + 1e-9)


weights = torch.tensor([0.3, 0.9])
for (kind, channels), form, weighted in itertools.product(
    [("mse", 1), ("mse", 3), ("kl", 1), ("kl", 3), ("bce_dice", 1), ("ce_dice", 5)],
    ["labels", "probabilities", "logits"],
    [False, True],
):
    shape = (61, 83)
    logits, teacher = make(channels, shape, form, torch.float32)
    v = (rand(2, *shape) - 0.2).clamp(min=0) if weighted else None
    options = {"teacher_logits": form == "logits"}
    arguments = (logits, teacher, weights, kind, v)
    close(run("triton", *arguments, **options), run("reference", *arguments, **options))

for dtype, channels in ((torch.float16, 1), (torch.bfloat16, 4)):
    logits, labels = make(channels, (3, 17, 30), "labels", dtype)
    kind = "bce_dice" if channels == 1 else "ce_dice"
    close(run("triton", logits, labels, None, kind), run("reference", logits, labels, None, kind), dtype)

logits, labels = make(4, (33, 40), "labels", torch.float32)
wanted = run("reference", logits, labels, None, "ce_dice")
wide = torch.zeros(4, 6, 33, 40)
wide[::2, 1:-1] = logits
for same in (logits.contiguous(memory_format=torch.channels_last), wide[::2, 1:-1], logits.mT.contiguous().mT):
    close(run("triton", same, labels, None, "ce_dice"), wanted)


def cut(x):
    """The same numbers in the middle of a larger tensor."""
    wide = torch.zeros(*x.shape[:-2], x.shape[-2] + 7, x.shape[-1] + 5, dtype=x.dtype)
    wide[..., 3:-4, 2:-3] = x
    return wide[..., 3:-4, 2:-3]


def refused(*_, **__):
    raise AssertionError("a copy")


for channels, form, shape in itertools.product((1, 4), ("labels", "probabilities"), ((33, 40), (5, 12, 9))):
    logits, target = make(channels, shape, form, torch.float32)
    v = rand(2, *shape)
    kind = "bce_dice" if channels == 1 else "ce_dice"
    wanted = run("reference", logits, target, None, kind, v)
    copying = torch.Tensor.contiguous, torch.Tensor.clone, torch.Tensor.copy_
    torch.Tensor.contiguous = torch.Tensor.clone = torch.Tensor.copy_ = refused
    found = run("triton", cut(logits), cut(target), None, kind, cut(v))
    torch.Tensor.contiguous, torch.Tensor.clone, torch.Tensor.copy_ = copying
    close(found, wanted)
    probs = logits.sigmoid()
    close([soft_dice(cut(probs), cut(target), backend="triton")], [soft_dice(probs, target, backend="reference")])

logits, labels = make(4, (33, 40), "labels", torch.float32)
wanted = run("reference", logits, labels, None, "ce_dice")
for dtype in (torch.int16, torch.int64):
    close(run("triton", logits, labels.to(dtype), None, "ce_dice"), wanted)
for ignored in (2, -100, 300):
    close([ce_dice(logits, labels, ignored, backend="triton")], [ce_dice(logits, labels, ignored, backend="reference")])

for value, channels in itertools.product((1e4, -1e4), (1, 3)):
    logits = torch.full((2, channels, 9, 9), value)
    logits[:, 0] = -value
    kind = "bce_dice" if channels == 1 else "ce_dice"
    for label in (0, 1):
        labels = torch.full((2, 9, 9), label)
        close(run("triton", logits, labels, None, kind), run("reference", logits, labels, None, kind))
    loss, gradient = run("triton", logits, labels, torch.zeros(2), "mse")
    assert loss == 0
    assert not gradient.any()
assert ce_dice(torch.zeros(0, 3, 4, 4), torch.zeros(0, 4, 4, dtype=torch.uint8), backend="triton").shape == (0,)

for channels, form in itertools.product((1, 4), ("labels", "probabilities")):
    probs, target = make(channels, (70, 70), form, torch.float32)
    probs = probs.sigmoid()
    results = []
    for backend in ("triton", "reference"):
        inputs = [x.detach().requires_grad_(x.is_floating_point()) for x in (probs, target)]
        scores = soft_dice(*inputs, backend=backend)
        results.append((scores.detach(), *torch.autograd.grad(scores.sum(), [x for x in inputs if x.requires_grad])))
    close(*results)

print("triton losses interpreted: ok")
