"""The fused kernels: as near to float64 as plain PyTorch is, on any strides, with the same bits every time."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from qgssl_fast.errors import InputError
from qgssl_fast.kernels import native
from qgssl_fast.ops.losses import bce_dice, ce_dice, consistency, soft_dice

pytestmark = pytest.mark.skipif(native.refusal() is not None, reason=str(native.refusal()))
CASES = [("mse", 1), ("mse", 3), ("kl", 1), ("kl", 4), ("bce_dice", 1), ("ce_dice", 2), ("ce_dice", 5)]
FORMS = ["labels", "probabilities", "logits"]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def make(form, channels=1, batch=3, shape=(37, 45), dtype=torch.float32, seed=0, scale=3.0):
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, channels, *shape, generator=g).mul(scale).to(dtype)
    if form == "labels":
        return logits, torch.randint(0, max(2, channels), (batch, *shape), generator=g, dtype=torch.uint8)
    other = torch.randn(batch, channels, *shape, generator=g).mul(scale)
    if form == "probabilities":
        other = other.sigmoid() if channels == 1 else other.softmax(1)
    return logits, other.to(dtype)


def plain(kind, logits, teacher, weights, v, form):
    """What one writes in PyTorch, in the dtype of what it is given."""
    channels = logits.shape[1]
    if form == "labels":
        t = teacher[:, None] if channels == 1 else F.one_hot(teacher.long(), channels).movedim(-1, 1)
        t = t.to(logits.dtype)
    else:
        t = teacher.to(logits.dtype)
        if form == "logits":
            t = t.sigmoid() if channels == 1 else t.softmax(1)
    p = logits.sigmoid() if channels == 1 else logits.softmax(1)
    if channels == 1:
        entropy = F.binary_cross_entropy_with_logits(logits, t, reduction="none")
        own = torch.xlogy(t, t) + torch.xlogy(1 - t, 1 - t)
    else:
        entropy = -(t * F.log_softmax(logits, 1)).sum(1, keepdim=True)
        own = torch.xlogy(t, t).sum(1, keepdim=True)
    v = torch.ones_like(entropy) if v is None else v[:, None].to(logits.dtype)
    pixels = tuple(range(1, logits.ndim))

    def mean(x):
        return (v * x).sum(pixels) / v.sum(pixels)

    if kind == "mse":
        losses = mean((p - t).square().mean(1, keepdim=True))
    elif kind == "kl":
        losses = mean(own + entropy)
    else:
        p, t = (p, t) if channels == 1 else (p[:, 1:], t[:, 1:])
        both, any_of = ((v * x).flatten(2).sum(2) for x in (p * t, p + t))
        losses = 0.5 * mean(entropy) + 0.5 * (1 - ((2 * both + 1e-6) / (any_of + 1e-6)).mean(1))
    w = weights.to(logits.dtype)
    return (w * losses).sum() / w.sum()


def with_gradient(f, logits, *rest):
    logits = logits.detach().requires_grad_()
    loss = f(logits, *rest)
    return loss.detach().double(), torch.autograd.grad(loss, logits)[0].double()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("kind", "channels"), CASES)
def test_error_is_within_twice_plain_pytorch_s(kind, channels, weighted, form, dtype):
    logits, teacher = make(form, channels, dtype=dtype, shape=(61, 83))
    weights = torch.tensor([0.7, 0.2, 1.0])
    v = torch.rand(3, 61, 83, generator=torch.Generator().manual_seed(5)) if weighted else None
    exact = with_gradient(lambda z: plain(kind, z, teacher, weights, v, form), logits.double())
    # Plain PyTorch as autocast has it: half inputs, float32 arithmetic; its gradient is rounded to the logits' dtype.
    theirs = with_gradient(lambda z: plain(kind, z.float(), teacher, weights, v, form), logits)
    ours = with_gradient(
        lambda z: consistency(z, teacher, weights, kind, v, teacher_logits=form == "logits", backend="native"), logits
    )
    for name, mine, other, truth in zip(("loss", "gradient"), ours, theirs, exact):
        error, allowed = ((x - truth).abs() for x in (mine, other))
        # One unit in the last place of the result is free: a single number may come out exact by luck.
        unit = truth.abs().max() * torch.finfo(torch.float32).eps
        assert error.max() <= 2 * allowed.max() + unit, (name, error.max(), allowed.max())
        assert error.square().mean().sqrt() <= 2 * allowed.square().mean().sqrt() + unit, name


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("form", ["labels", "probabilities"])
@pytest.mark.parametrize("channels", [1, 4])
def test_soft_dice_is_the_reference(channels, form, dtype):
    probs, _ = make("probabilities", channels, dtype=dtype)
    _, target = make(form, channels, seed=3)
    probs.requires_grad_()
    if form == "probabilities":
        target.requires_grad_()
    results = []
    for backend in ("native", "reference"):
        scores = soft_dice(probs, target, backend=backend)
        wanted = [x for x in (probs, target) if x.requires_grad]
        grads = torch.autograd.grad(scores.sum(), wanted)
        results.append((scores, *grads))
    for ours, theirs in zip(*results):
        rough = 1e-6 if dtype == torch.float32 else 8e-3
        torch.testing.assert_close(ours, theirs, rtol=rough, atol=1e-6 * float(theirs.detach().abs().max()))


def strided(x: torch.Tensor) -> list[torch.Tensor]:
    """The same numbers, lying otherwise."""
    wide = torch.full((2 * x.shape[0], x.shape[1] + 2, *(side + 3 for side in x.shape[2:])), 7).to(x.dtype)
    inner = (slice(1, -2),) * (x.ndim - 2)
    wide[1::2, 1:-1][(slice(None), slice(None), *inner)] = x
    last = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
    turned = x.transpose(-1, -2).contiguous().transpose(-1, -2)
    return [
        x.contiguous(memory_format=last),
        wide[1::2, 1:-1][(slice(None), slice(None), *inner)],
        turned,
        x.repeat_interleave(2, -1)[..., ::2],
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("shape", [(19, 32), (5, 6, 17)])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("kind", "channels"), [("mse", 1), ("kl", 3), ("bce_dice", 1), ("ce_dice", 4)])
def test_strides_change_no_bit(kind, channels, form, shape, dtype):
    logits, teacher = make(form, channels, shape=shape, dtype=dtype)
    v = torch.rand(3, *shape)

    def run(z, t, w):
        return with_gradient(lambda z: consistency(z, t, None, kind, w, teacher_logits=form == "logits"), z)

    wanted = run(logits, teacher, v)
    teachers = strided(teacher[:, None]) if form == "labels" else strided(teacher)
    for z, t, w in zip(strided(logits), teachers, strided(v[:, None])):
        assert all(torch.equal(a, b) for a, b in zip(run(z, t, w), wanted))
        assert all(torch.equal(a, b) for a, b in zip(run(logits, t, w), wanted))


def test_gradient_lies_as_the_logits_do():
    logits, labels = make("labels", 4)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        z = logits.clone(memory_format=memory_format).requires_grad_()
        for loss in (ce_dice(z, labels).sum(), consistency(z, labels, None, "mse")):
            assert torch.autograd.grad(loss, z)[0].is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize(("kind", "channels"), CASES)
def test_nothing_of_the_input_s_size_but_the_gradient_is_stored(kind, channels):
    shape = (128, 160)
    logits, labels = make("labels", channels, shape=shape)
    logits = logits.contiguous(memory_format=torch.channels_last).requires_grad_()
    consistency(logits, labels, None, kind).backward()
    with torch.profiler.profile(profile_memory=True) as profile:
        torch.autograd.grad(consistency(logits, labels, None, kind), logits)
    made = sum(max(0, event.self_cpu_memory_usage) for event in profile.events())
    assert made < logits.numel() * 4 + 20_000


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("kind", "channels"), CASES)
def test_bits_depend_on_nothing(kind, channels, form):
    logits, teacher = make(form, channels, shape=(150, 157))
    weights = torch.rand(3)
    threads = torch.get_num_threads()

    def run(z=logits, t=teacher, w=weights):
        return with_gradient(lambda z: consistency(z, t, w, kind, teacher_logits=form == "logits"), z)

    wanted, first = run(), {}
    try:
        for isa, count in itertools.product(native.cpu().isas(), (1, 2, 3)):
            torch.set_num_threads(count)
            with native.using_isa(isa):
                found = run()
            if isa == "baseline":  # without fused operations
                for a, b in zip(found, first.setdefault(isa, found)):
                    assert torch.equal(a, b), (isa, count)
                for a, b in zip(found, wanted):
                    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-8)
            else:
                assert all(torch.equal(a, b) for a, b in zip(found, wanted)), (isa, count)
    finally:
        torch.set_num_threads(threads)
    if kind.endswith("dice"):
        per_sample = bce_dice if channels == 1 else ce_dice
        if form != "logits":
            whole = per_sample(logits, teacher)
            assert torch.equal(torch.cat([per_sample(logits[i : i + 1], teacher[i : i + 1]) for i in range(3)]), whole)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_labels_of_every_dtype(dtype):
    logits, labels = make("labels", 2)
    assert torch.equal(ce_dice(logits, labels.to(dtype)), ce_dice(logits, labels))
    assert torch.equal(bce_dice(logits[:, :1], labels.to(dtype)), bce_dice(logits[:, :1], labels))
    assert torch.equal(soft_dice(logits.softmax(1), labels.to(dtype)), soft_dice(logits.softmax(1), labels))


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_labels_outside_the_classes_are_of_no_class(backend):
    logits, labels = make("labels", 3)
    outside = labels.long()
    outside[labels == 1] = 2**32 + 1  # label 1 where it is cut to 32 bits
    hot = F.one_hot(labels.long(), 3).movedim(-1, 1).float()
    hot[:, 1] = 0
    torch.testing.assert_close(
        ce_dice(logits, outside, backend=backend), ce_dice(logits, hot, backend=backend), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_ignored_labels(backend):
    logits, labels = make("labels", 3)
    logits.requires_grad_()
    labels[labels == 1] = 156
    for ignored, same in ((156, 156), (-100, 2**40), (-100, -7)):  # none of the latter is a byte: nothing is ignored
        one, two = (ce_dice(logits, labels, ignore_index=index, backend=backend) for index in (ignored, same))
        assert torch.equal(one, two)
    (gradient,) = torch.autograd.grad(ce_dice(logits, labels, 156, backend=backend).sum(), logits)
    assert torch.equal(gradient == 0, (labels == 156)[:, None].expand_as(logits))
    inside = ce_dice(logits.long().float(), labels.long() - 256 * (labels == 156), ignore_index=-100, backend=backend)
    assert torch.equal(inside, ce_dice(logits.long().float(), labels, ignore_index=156, backend=backend))


def test_many_classes():
    logits, labels = make("labels", 255, batch=2, shape=(7, 9))
    wanted = with_gradient(lambda z: ce_dice(z, labels).sum(), logits.double())
    for found, exact in zip(with_gradient(lambda z: ce_dice(z, labels).sum(), logits), wanted):
        torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-8)
    with pytest.raises(InputError, match="at most 255 classes, got 256"):
        ce_dice(torch.zeros(1, 256, 2, 2), torch.zeros(1, 2, 2, dtype=torch.uint8))


def test_samples_without_weight_do_not_matter():
    logits, labels = make("labels")
    logits[1] = torch.nan
    for kind in ("bce_dice", "kl"):
        loss, gradient = with_gradient(lambda z, k=kind: consistency(z, labels, torch.tensor([1.0, 0, 1]), k), logits)
        assert torch.isfinite(loss)
        assert torch.equal(gradient[1], torch.zeros_like(gradient[1]))
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(("kind", "channels"), CASES)
def test_nan_is_not_hidden(kind, channels):
    logits, labels = make("labels", channels)
    logits[0, 0, 3, 4] = torch.nan
    assert consistency(logits, labels, None, kind).isnan()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(CASES),
    st.sampled_from(FORMS),
    st.sampled_from(DTYPES),
    st.lists(st.integers(1, 21), min_size=2, max_size=3),
    st.integers(0, 3),
    st.booleans(),
    st.integers(0, 99),
)
def test_any_shape_is_the_reference(case, form, dtype, shape, batch, weighted, seed):
    kind, channels = case
    logits, teacher = make(form, channels, batch, tuple(shape), dtype, seed)
    g = torch.Generator().manual_seed(seed)
    weights = (torch.rand(batch, generator=g) - 0.3).clamp(min=0)
    v = (torch.rand(batch, *shape, generator=g) - 0.3).clamp(min=0) if weighted else None

    def run(z, backend):
        return with_gradient(
            lambda z: consistency(z, teacher, weights, kind, v, teacher_logits=form == "logits", backend=backend), z
        )

    for ours, exact in zip(run(logits, "native"), run(logits.double(), "reference")):
        rough = torch.finfo(dtype).eps
        torch.testing.assert_close(ours, exact, rtol=1e-5 + rough, atol=1e-6)


def test_float64_is_the_reference_s():
    logits, labels = make("labels")
    with pytest.raises(InputError, match="bce_dice: backend 'native' cannot serve float64; can: reference"):
        bce_dice(logits.double(), labels, backend="native")
    with pytest.raises(InputError, match="teacher_logits=True needs a floating teacher"):
        consistency(logits, labels, None, "mse", teacher_logits=True)
