"""Losses against formulas written out here, value by value; then gradients, dtypes, edges, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qgssl_fast.ops.losses import bce_dice, ce_dice, consistency, soft_dice

EPS = 1e-6
SPATIAL = [(5, 7), (3, 4, 5)]


def make(batch=3, channels=1, shape=(5, 7), dtype=torch.float32, seed=0):
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, channels, *shape, generator=g, dtype=torch.float64).mul(2).to(dtype)
    labels = torch.randint(0, max(2, channels), (batch, *shape), generator=g, dtype=torch.uint8)
    return logits, labels


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(0))
    return e / e.sum(0)


def dice_by_hand(p, t, v):
    return (2 * (v * p * t).sum() + EPS) / ((v * p).sum() + (v * t).sum() + EPS)


def loss_by_hand(kind, logits, labels, v=None):
    """One sample; logits [K, *S], labels [*S], in float64."""
    z, y = logits.double().numpy(), labels.numpy()
    v = np.ones(y.shape) if v is None else v.double().numpy()
    p = sigmoid(z) if len(z) == 1 else softmax(z)
    t = np.stack([y == k for k in ([1] if len(z) == 1 else range(len(z)))]).astype(float)
    entropy = -(t * np.log(p)).sum(0) - (((1 - t) * np.log(1 - p)).sum(0) if len(z) == 1 else 0)
    foreground = range(len(z)) if len(z) == 1 else range(1, len(z))
    dice = np.mean([dice_by_hand(p[k], t[k], v) for k in foreground])
    if v.sum() == 0:
        return 0.0
    if kind == "mse":
        return (v * ((p - t) ** 2).mean(0)).sum() / v.sum()
    if kind == "kl":  # hard labels have no entropy of their own
        return (v * entropy).sum() / v.sum()
    return 0.5 * (v * entropy).sum() / v.sum() + 0.5 * (1 - dice)


@pytest.mark.parametrize("shape", SPATIAL)
def test_bce_dice_is_the_formula(shape):
    logits, labels = make(shape=shape)
    wanted = [loss_by_hand("bce_dice", z, y) for z, y in zip(logits, labels)]
    torch.testing.assert_close(bce_dice(logits, labels).double(), torch.tensor(wanted).double(), rtol=2e-6, atol=0)


@pytest.mark.parametrize("shape", SPATIAL)
@pytest.mark.parametrize("channels", [2, 4])
def test_ce_dice_is_the_formula(shape, channels):
    logits, labels = make(channels=channels, shape=shape)
    wanted = [loss_by_hand("ce_dice", z, y) for z, y in zip(logits, labels)]
    torch.testing.assert_close(ce_dice(logits, labels).double(), torch.tensor(wanted).double(), rtol=2e-6, atol=0)


@pytest.mark.parametrize(
    ("kind", "channels"), [("mse", 1), ("mse", 3), ("kl", 1), ("kl", 3), ("bce_dice", 1), ("ce_dice", 3)]
)
@pytest.mark.parametrize("weighted_pixels", [False, True])
def test_consistency_is_the_weighted_mean(kind, channels, weighted_pixels):
    logits, labels = make(batch=4, channels=channels)
    weights = torch.tensor([0.5, 0.0, 1.0, 0.25])
    v = torch.rand(4, 5, 7, generator=torch.Generator().manual_seed(1)) if weighted_pixels else None
    losses = [loss_by_hand(kind, logits[i], labels[i], None if v is None else v[i]) for i in range(4)]
    wanted = sum(w * x for w, x in zip(weights.tolist(), losses)) / weights.sum().item()
    assert consistency(logits, labels, weights, kind, v).item() == pytest.approx(wanted, rel=2e-6)


@pytest.mark.parametrize(("kind", "channels"), [("mse", 1), ("mse", 3), ("kl", 1), ("kl", 3)])
def test_soft_teacher(kind, channels):
    logits, _ = make(channels=channels)
    other, _ = make(channels=channels, seed=5)
    teacher = other.sigmoid() if channels == 1 else other.softmax(1)
    p, t = (logits.sigmoid(), teacher) if channels == 1 else (logits.softmax(1), teacher)
    if kind == "mse":
        wanted = ((p - t) ** 2).mean()
    elif channels == 1:
        wanted = (t * (t / p).log() + (1 - t) * ((1 - t) / (1 - p)).log()).mean()
    else:
        wanted = (t * (t / p).log()).sum(1).mean()
    torch.testing.assert_close(consistency(logits, teacher, torch.ones(3), kind), wanted, rtol=1e-5, atol=0)
    if channels == 1:
        same = consistency(logits, teacher.squeeze(1), None, kind)
        assert torch.equal(same, consistency(logits, teacher, None, kind))


def test_kl_of_equal_distributions_is_zero():
    logits, _ = make(dtype=torch.float64)
    assert consistency(logits, logits.sigmoid(), None, "kl").abs() < 1e-15


def test_hard_labels_of_any_kind_are_the_same():
    logits, labels = make()
    wanted = bce_dice(logits, labels)
    for other in (labels.bool(), labels.long(), labels.unsqueeze(1), labels.float(), labels.float().unsqueeze(1)):
        assert torch.equal(bce_dice(logits, other), wanted)
    logits, labels = make(channels=3)
    soft = torch.nn.functional.one_hot(labels.long(), 3).movedim(-1, 1).float()
    assert torch.equal(ce_dice(logits, labels), ce_dice(logits, soft))


def test_soft_dice_of_hard_masks_is_dice():
    a = torch.zeros(4, 6, 6)
    b = torch.zeros(4, 6, 6, dtype=torch.uint8)
    a[0, :3], b[0, 1:4] = 1, 1  # two of three rows in common
    a[1, 0] = 1  # one empty
    a[3], b[3] = 1, 1
    wanted = torch.tensor([2 / 3, 0, 1, 1])
    torch.testing.assert_close(soft_dice(a, b), wanted, rtol=0, atol=2e-7)
    assert soft_dice(a, b)[2] == 1  # both empty, exactly
    for probs, target in (
        (a.unsqueeze(1), b),
        (a, b.float()),
        (a.unsqueeze(1), b.float().unsqueeze(1)),
        (a.unsqueeze(1), b.unsqueeze(1)),
    ):
        assert torch.equal(soft_dice(probs, target), soft_dice(a, b))


def test_soft_dice_volumes_and_classes():
    labels = torch.randint(0, 3, (2, 4, 5, 6), dtype=torch.uint8)
    probs = torch.nn.functional.one_hot(labels.long(), 3).movedim(-1, 1).double()
    torch.testing.assert_close(soft_dice(probs, labels), torch.ones(2, 2, dtype=torch.float64))
    assert soft_dice((labels == 1).float(), labels == 1).shape == (2,)


def test_ignored_pixels_count_nowhere():
    logits, labels = make(channels=3)
    labels[:, 0] = 255
    wanted = ce_dice(logits[:, :, 1:], labels[:, 1:])
    torch.testing.assert_close(ce_dice(logits, labels, ignore_index=255), wanted, rtol=2e-6, atol=0)
    labels[0] = 255
    assert ce_dice(logits, labels, ignore_index=255)[0] == 0


CASES = [("mse", 1), ("mse", 3), ("kl", 1), ("kl", 3), ("bce_dice", 1), ("ce_dice", 3)]


@pytest.mark.parametrize(("kind", "channels"), CASES)
def test_gradients_are_right(kind, channels):
    logits, labels = make(batch=2, channels=channels, shape=(3, 4), dtype=torch.float64)
    soft = make(batch=2, channels=channels, shape=(3, 4), dtype=torch.float64, seed=9)[0]
    soft = soft.sigmoid() if channels == 1 else soft.softmax(1)
    weights, pixels = torch.tensor([0.3, 0.9]).double(), torch.rand(2, 3, 4).double()
    logits.requires_grad_()
    for teacher in (labels, soft):
        assert torch.autograd.gradcheck(lambda z, t=teacher: consistency(z, t, weights, kind, pixels), logits)
    if kind.endswith("dice"):
        per_sample = bce_dice if channels == 1 else ce_dice
        assert torch.autograd.gradcheck(lambda z: per_sample(z, labels), logits)


def test_gradient_of_soft_dice():
    probs = torch.rand(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: soft_dice(p, torch.ones(2, 4, 5, dtype=torch.uint8)), probs)


@pytest.mark.parametrize(("kind", "channels"), CASES)
def test_no_gradient_into_teacher_and_weights(kind, channels):
    logits, _ = make(channels=channels)
    logits.requires_grad_()
    teacher = torch.rand_like(logits, requires_grad=True)
    weights = torch.ones(3, requires_grad=True)
    pixels = torch.ones(3, 5, 7, requires_grad=True)
    consistency(logits, teacher, weights, kind, pixels).backward()
    assert logits.grad is not None
    assert teacher.grad is None
    assert weights.grad is None
    assert pixels.grad is None


@pytest.mark.parametrize(("kind", "channels"), CASES)
def test_zero_weights_give_zero_and_no_gradient(kind, channels):
    for saturation in (1, 1e4):
        logits, labels = make(channels=channels)
        logits = (logits * saturation).clamp(-1e4, 1e4).requires_grad_()
        for weights, pixels in ((torch.zeros(3), None), (torch.ones(3), torch.zeros(3, 5, 7))):
            loss = consistency(logits, labels, weights, kind, pixels)
            (gradient,) = torch.autograd.grad(loss, logits)
            assert loss == 0
            assert torch.equal(gradient, torch.zeros_like(logits))


def test_sample_without_weight_gets_no_gradient():
    logits, labels = make()
    logits.requires_grad_()
    consistency(logits, labels, torch.tensor([1.0, 0.0, 0.5]), "bce_dice").backward()
    assert torch.equal(logits.grad[1], torch.zeros_like(logits[1]))
    assert logits.grad[0].abs().sum() > 0


def test_sample_without_pixel_weight_has_no_weight():
    logits, labels = make()
    pixels = torch.ones(3, 1, 5, 7)
    pixels[1] = 0
    keep = [0, 2]
    wanted = consistency(logits[keep], labels[keep], None, "mse")
    torch.testing.assert_close(consistency(logits, labels, None, "mse", pixels), wanted, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("kind", "channels"), CASES)
def test_nothing_is_nan_when_saturated(kind, channels, dtype):
    for value in (1e4, -1e4):
        logits = torch.full((2, channels, 4, 4), value, dtype=dtype)
        logits[:, 0] = -value
        logits.requires_grad_()
        for label in (0, 1):
            labels = torch.full((2, 4, 4), label)
            loss = consistency(logits, labels, None, kind)
            (gradient,) = torch.autograd.grad(loss, logits)
            assert loss.dtype == torch.float32
            assert torch.isfinite(loss)
            assert torch.isfinite(gradient).all()


def test_right_and_saturated_is_zero():
    logits = torch.where(torch.eye(4) > 0, 1e4, -1e4)[None, None]
    assert bce_dice(logits, torch.eye(4, dtype=torch.uint8)[None]).item() == pytest.approx(0, abs=1e-6)
    assert bce_dice(torch.full((1, 1, 4, 4), -1e4), torch.zeros(1, 4, 4).bool()).item() == 0


@pytest.mark.parametrize(("kind", "channels"), CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_sums_are_float32(kind, channels, dtype):
    logits, labels = make(channels=channels, shape=(200, 200), dtype=dtype)
    exact = consistency(logits.double(), labels, None, kind)
    assert consistency(logits, labels, None, kind).item() == pytest.approx(exact.item(), rel=2e-6)


@pytest.mark.parametrize(("kind", "channels"), CASES)
def test_compiles_as_one_graph(kind, channels):
    torch.compiler.reset()  # its cache of a function is bounded
    logits, labels = make(channels=channels)
    weights, pixels = torch.rand(3), torch.rand(3, 5, 7)
    compiled = torch.compile(consistency, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(
        compiled(logits, labels, weights, kind, pixels), consistency(logits, labels, weights, kind, pixels)
    )


def test_per_sample_losses_compile_as_one_graph():
    for f, channels in ((bce_dice, 1), (ce_dice, 3)):
        logits, labels = make(channels=channels)
        torch.testing.assert_close(
            torch.compile(f, fullgraph=True, backend="aot_eager")(logits, labels), f(logits, labels)
        )
    compiled = torch.compile(soft_dice, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(logits.softmax(1), labels), soft_dice(logits.softmax(1), labels))


def test_empty_batch():
    logits = torch.zeros(0, 1, 4, 4, requires_grad=True)
    labels = torch.zeros(0, 4, 4, dtype=torch.uint8)
    assert bce_dice(logits, labels).shape == (0,)
    assert ce_dice(torch.zeros(0, 3, 4, 4), labels).shape == (0,)
    assert soft_dice(logits, labels).shape == (0,)
    loss = consistency(logits, labels, torch.zeros(0), "bce_dice")
    loss.backward()
    assert loss == 0


def test_strided_inputs():
    logits, labels = make(channels=4, shape=(8, 6))
    last = logits.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(ce_dice(last, labels), ce_dice(logits, labels), rtol=1e-6, atol=0)
    wide = torch.zeros(3, 8, 12, dtype=torch.uint8)
    wide[:, :, ::2] = labels
    assert torch.equal(ce_dice(logits, wide[:, :, ::2]), ce_dice(logits, labels))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 4),
    st.sampled_from([1, 2, 5]),
    st.lists(st.integers(1, 9), min_size=2, max_size=3),
    st.integers(0, 99),
    st.data(),
)
def test_any_shape(batch, channels, shape, seed, data):
    kind = data.draw(st.sampled_from(["mse", "kl", "bce_dice" if channels == 1 else "ce_dice"]))
    logits, labels = make(batch, channels, tuple(shape), seed=seed)
    wanted = np.mean([loss_by_hand(kind, z, y) for z, y in zip(logits, labels)])
    assert math.isclose(consistency(logits, labels, None, kind).item(), wanted, rel_tol=1e-5)
