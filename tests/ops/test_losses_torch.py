"""The losses as torch operators: its rules, compilation, autocast, gradients asked for twice."""

from __future__ import annotations

import pytest
import torch

from qgssl_fast.ops.losses import consistency

CASES = [("mse", 1), ("mse", 3), ("kl", 1), ("kl", 4), ("bce_dice", 1), ("ce_dice", 2), ("ce_dice", 5)]
FORMS = ["labels", "probabilities", "logits"]


def make(form, channels=1, batch=3, shape=(37, 45), dtype=torch.float32, seed=0, scale=3.0):
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, channels, *shape, generator=g).mul(scale).to(dtype)
    if form == "labels":
        return logits, torch.randint(0, max(2, channels), (batch, *shape), generator=g, dtype=torch.uint8)
    other = torch.randn(batch, channels, *shape, generator=g).mul(scale)
    if form == "probabilities":
        other = other.sigmoid() if channels == 1 else other.softmax(1)
    return logits, other.to(dtype)


def with_gradient(f, logits, *rest):
    logits = logits.detach().requires_grad_()
    loss = f(logits, *rest)
    return loss.detach().double(), torch.autograd.grad(loss, logits)[0].double()


@pytest.mark.parametrize(("kind", "channels"), CASES)
def test_a_factor_and_two_passes(kind, channels):
    logits, labels = make("labels", channels)
    logits.requires_grad_()
    loss = consistency(logits, labels, None, kind)
    (once,) = torch.autograd.grad(loss, logits, retain_graph=True)
    (again,) = torch.autograd.grad(loss, logits, retain_graph=True)
    (half,) = torch.autograd.grad(0.5 * loss, logits)
    assert torch.equal(once, again)
    torch.testing.assert_close(half, 0.5 * once, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("kind", "channels"), CASES)
def test_gradients_of_a_leaf_add_up(kind, channels):
    logits, labels = make("labels", channels)
    (once,) = torch.autograd.grad(consistency(logits.requires_grad_(), labels, None, kind), logits)
    loss = consistency(logits, labels, None, kind)
    for times in (1, 2, 3):
        loss.backward(retain_graph=True)  # the first becomes logits.grad itself
        torch.testing.assert_close(logits.grad, times * once, rtol=1e-6, atol=0)
    assert not logits.grad.requires_grad


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("kind", "channels"), [("mse", 1), ("kl", 3), ("ce_dice", 3)])
def test_operators_keep_torch_s_rules(kind, channels, form):
    logits, teacher = make(form, channels, shape=(4, 5))
    logits.requires_grad_()
    target = teacher[:, None] if form == "labels" else teacher
    loss = "entropy_dice" if kind.endswith("dice") else kind
    common = (loss, form == "logits")
    names = torch.ops.qgssl_fast
    torch.library.opcheck(names.loss_sums, (logits, target, torch.rand(3, 1, 4, 5), *common, None, "auto"))
    for pixels, at_once in ((torch.rand(3, 1, 4, 5), False), (None, True)):
        torch.library.opcheck(names.mean_loss, (logits, target, pixels, torch.rand(3), *common, at_once, "auto"))
    if form != "logits":
        probs = logits.detach().softmax(1).requires_grad_()
        torch.library.opcheck(names.dice_sums, (probs, target, "auto"))


@pytest.mark.parametrize(("kind", "channels"), [("mse", 1), ("kl", 3), ("bce_dice", 1), ("ce_dice", 3)])
def test_compiled_gradient(kind, channels):
    torch.compiler.reset()  # its cache of a function is bounded, and other tests compile it too
    logits, labels = make("labels", channels)
    compiled = torch.compile(consistency, fullgraph=True, backend="aot_eager")
    for pixels in (None, torch.rand(3, 37, 45)):
        wanted = with_gradient(lambda z, v=pixels: 0.5 * consistency(z, labels, None, kind, v), logits)
        found = with_gradient(lambda z, v=pixels: 0.5 * compiled(z, labels, None, kind, v), logits)
        for a, b in zip(found, wanted):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_autocast_changes_nothing(dtype):
    logits, labels = make("labels", dtype=dtype)
    plainly = with_gradient(lambda z: consistency(z, labels, None, "bce_dice"), logits)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = with_gradient(lambda z: consistency(z, labels, None, "bce_dice"), logits)
        assert consistency(logits, labels, None, "mse").dtype == torch.float32
    assert all(torch.equal(a, b) for a, b in zip(plainly, inside))


@pytest.mark.parametrize(("kind", "channels"), [("mse", 1), ("ce_dice", 3)])
def test_functional_gradient(kind, channels):
    logits, labels = make("labels", channels)
    _, wanted = with_gradient(lambda z: consistency(z, labels, None, kind), logits)
    found = torch.func.grad(lambda z: consistency(z, labels, None, kind))(logits)
    assert torch.equal(found.double(), wanted)


@pytest.mark.parametrize("logit", [4.0, 11.0, 20.0, 60.0])
def test_small_entropies_count_in_full(logit):
    """Of pixels that are right: their logarithms are taken of a product of many."""
    labels = torch.arange(3 * 41 * 53).view(3, 41, 53) % 2
    logits = ((2.0 * labels - 1) * logit)[:, None]
    exact = torch.tensor(-logit, dtype=torch.float64).exp().log1p()
    found = consistency(logits, labels, None, "kl")
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=0)
