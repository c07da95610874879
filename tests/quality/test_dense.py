"""The dense head, its guides, calibration, spread, and what a loaded predictor is checked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from qgssl_fast.errors import InputError
from qgssl_fast.quality import QualityPredictor, Taught, expected_calibration_error, make_guide, reliability
from qgssl_fast.quality.calibration import KNOTS, isotonic
from qgssl_fast.quality.dense import chance_of_labels, dense_loss
from qgssl_fast.quality.evaluate import spread_agreement
from qgssl_fast.quality.gate import find_strength


def build(classes=2, backbone="small", dims=2, **options):
    torch.manual_seed(0)
    own = {"features": [8, 8, 16]} if backbone == "small" else {}
    options = own | {"hidden": 16, "dense": 8} | options
    return QualityPredictor(backbone, dims, 3, classes, options=options).eval()


def batch(classes=2, count=4, side=24):
    g = torch.Generator().manual_seed(1)
    return torch.rand(count, 3, side, side, generator=g), torch.randint(0, classes, (count, side, side), generator=g)


@pytest.mark.parametrize("backbone", ["small", "resnet18", "densenet121", "efficientnet-b0"])
@pytest.mark.parametrize("classes", [2, 3])
def test_dense_logits_of_every_backbone(backbone, classes, tmp_path):
    model = build(classes, backbone)
    images, masks = batch(classes, 2, 40)
    quality, errors = model.dense(images, masks)
    assert errors.shape == (2, 1 if classes == 2 else 3, 40, 40)
    torch.testing.assert_close(quality, model.logits(images, masks))
    errors.sum().backward()
    assert all(p.grad is not None for p in model.decoder.parameters())
    again = QualityPredictor.load(model.save(tmp_path / "g.safetensors"))
    assert torch.equal(again.dense(images, masks)[1], errors)


def test_dense_logits_of_volumes():
    model = build(dims=3)
    images, masks = torch.rand(1, 3, 10, 12, 14), torch.randint(0, 2, (1, 10, 12, 14))
    assert model.dense(images, masks)[1].shape == (1, 1, 10, 12, 14)


def test_without_a_dense_head():
    model = build(dense=0)
    with pytest.raises(InputError, match="it has no dense head"):
        model.dense(*batch())
    for name in ("quality_map", "correction"):
        with pytest.raises(InputError, match=f"guide {name} needs a predictor with a dense head"):
            make_guide(name, model)


def test_dense_loss():
    g = torch.Generator().manual_seed(0)
    logits, errors = torch.randn(3, 1, 5, 5, generator=g), torch.randint(0, 2, (3, 5, 5), generator=g)
    e = logits[:, 0].sigmoid()
    wanted = -(errors * e.log() + (1 - errors) * (1 - e).log()).mean()
    torch.testing.assert_close(dense_loss(logits, errors.byte(), errors), wanted)
    logits = torch.randn(3, 4, 5, 5, generator=g)
    truth = torch.randint(0, 4, (3, 5, 5), generator=g)
    wanted = -logits.log_softmax(1).gather(1, truth[:, None]).mean()
    torch.testing.assert_close(dense_loss(logits, errors, truth.byte()), wanted)


@pytest.mark.parametrize("classes", [2, 4])
def test_guides_of_pixels_are_the_formulas(classes):
    model = build(classes)
    images, masks = batch(classes)
    logits = F.one_hot(masks, classes).movedim(-1, 1).float() if classes > 2 else masks[:, None] - 0.5
    taught = Taught(images, logits)
    with torch.no_grad():
        model.decoder.last[-1].weight *= 30
    dense = model.dense(images, masks)[1].detach()
    if classes == 2:
        e = dense[:, 0].sigmoid()
        label, weight = torch.where(e > 0.5, 1 - masks, masks), (2 * e - 1).abs()
    else:
        p = dense.softmax(1)
        e = 1 - p.gather(1, masks[:, None])[:, 0]
        top = p.amax(1)
        label = torch.where(top > 0.5, p.argmax(1), masks)
        weight = (2 * torch.where(top > 0.5, top, 1 - e) - 1).clamp(min=0)
    found = make_guide("quality_map", model).judge(taught)
    torch.testing.assert_close(found.pixels, (1 - 2 * e).clamp(min=0))
    assert torch.equal(found.labels, masks.byte())
    found = make_guide("correction", model).judge(taught)
    assert torch.equal(found.labels, label.byte())
    assert 0 < (label != masks).float().mean() < 1
    torch.testing.assert_close(found.pixels, weight)
    assert not found.pixels.requires_grad
    labels, weights = make_guide("quality", model).correct(images, masks)  # the drop-in
    assert torch.equal(labels, found.labels)
    assert torch.equal(weights, found.pixels)


def test_strength_of_a_correction():
    logits, masks = torch.tensor([0.6, 0.8, 0.95, 0.1]).logit().view(1, 1, 1, 4), torch.zeros(1, 1, 4)
    assert chance_of_labels(logits, masks)[1].flatten().tolist() == [1, 1, 1, 0]
    guide = make_guide("correction", build())
    guide._chances = lambda images, masks: chance_of_labels(logits, masks)
    for strength, changed, right in (
        (1.0, [1, 1, 1, 0], [0.6, 0.8, 0.95, 0.9]), (0.5, [0, 1, 1, 0], [0.4, 0.8, 0.95, 0.9]),
        (0.2, [0, 0, 1, 0], [0.4, 0.2, 0.95, 0.9]), (0.0, [0, 0, 0, 0], [0.4, 0.2, 0.05, 0.9]),
    ):  # fmt: skip
        guide.strength = strength
        labels, weights = guide.correct(None, masks)
        assert labels.flatten().tolist() == changed
        wanted = [1 - strength + strength * max(0, 2 * p - 1) for p in right]
        assert weights.flatten().tolist() == pytest.approx(wanted, abs=1e-6)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_isotonic_rises_and_keeps_the_mean(points):
    x, y = np.array(points).T
    fitted = isotonic(x, y, np.sort(x))
    assert (np.diff(fitted) >= -1e-12).all()
    assert y.min() - 1e-12 <= fitted.min()
    assert fitted.max() <= y.max() + 1e-12


def test_isotonic_by_hand():
    x, y = np.array([0.1, 0.2, 0.3, 0.9]), np.array([0.2, 0.6, 0.4, 0.8])
    assert isotonic(x, y, np.array([0.0, 0.1, 0.25, 0.9, 1.0])).tolist() == pytest.approx([0.2, 0.2, 0.5, 0.8, 0.8])


@pytest.mark.parametrize("classes", [2, 3])
def test_calibration(classes, tmp_path):
    model = build(classes)
    images, masks = batch(classes, 3)
    raw = model(images, masks, calibrated=False)
    torch.testing.assert_close(model(images, masks), raw)
    rng = np.random.default_rng(0)
    predicted = rng.random((500, classes - 1))
    true = (predicted**2 + rng.normal(0, 0.02, predicted.shape)).clip(0, 1)
    model.calibrate(predicted, true)
    assert model.calibration.shape == (classes - 1, KNOTS)
    torch.testing.assert_close(model(images, masks), raw**2, atol=0.03, rtol=0)
    again = QualityPredictor.load(model.save(tmp_path / "g.safetensors"))
    assert torch.equal(again(images, masks), model(images, masks))
    with torch.no_grad():
        fixed = model.calibrated(torch.from_numpy(predicted).float()).numpy()
    before, after = (expected_calibration_error(reliability(p, true)) for p in (predicted, fixed))
    assert after < 0.02 < 0.1 < before


def test_spread_lowers_a_weight():
    model = build(dropout=0.5)
    images, masks = batch()
    torch.manual_seed(0)
    mean, deviation = model.spread(images, masks, 6)
    assert (deviation > 0).all()
    assert not model.head.training
    torch.manual_seed(0)
    guide = make_guide("quality", model, threshold=0, temperature=1, passes=6, caution=2.0)
    torch.testing.assert_close(guide.weights(images, masks), (mean - 2 * deviation).clamp(min=0))
    with pytest.raises(InputError, match="passes and caution must be >= 0, got -1 and 1"):
        make_guide("quality", model, passes=-1)


def test_what_a_predictor_was_trained_for(tmp_path):
    path = build(3).save(tmp_path / "g.safetensors")
    QualityPredictor.load(path, channels=3, num_classes=3, spatial_dims=2, mean=(0.485, 0.456, 0.406))
    with pytest.raises(InputError) as caught:
        QualityPredictor.load(path, channels=1, num_classes=2, spatial_dims=3, mean=[100, 0.456, 0.406], std=[0.9] * 3)
    said = str(caught.value)
    assert str(path) in said
    for text in (
        "was trained for 3 image channels, wanted 1",
        "was trained for 3 classes, wanted 2",
        "was trained for 2 spatial dimensions, wanted 3",
        "normalises channel 0 by mean 0.485 and deviation 0.229, the images' mean is 100.000",
        "normalises channel 2 by deviation 0.225, the images' is 0.900",
    ):
        assert text in said


class Oracle:
    """Stands in for the dense head: knows the truth, which is the red channel."""

    def __init__(self, sure):
        self.sure = sure

    def __call__(self, images, masks):
        wrong = (images[:, 0] > 0.5) != (masks > 0)
        return None, torch.where(wrong, self.sure, -self.sure).unsqueeze(1)


@pytest.mark.parametrize(("sure", "good"), [(4.0, True), (-4.0, False)])
def test_a_gate_opens_for_what_helps(sure, good, monkeypatch):
    model = build()
    g = torch.Generator().manual_seed(0)
    truth = (torch.rand(6, 24, 24, generator=g) > 0.5).to(torch.uint8)
    images = truth.unsqueeze(1).repeat(1, 3, 1, 1) * 255
    ids = torch.arange(6).repeat_interleave(3)
    flip = torch.rand(18, 24, 24, generator=g) < torch.rand(18, 1, 1, generator=g) * 0.3
    masks = truth[ids] ^ flip
    monkeypatch.setattr(model, "dense", Oracle(sure))
    true_dice = torch.tensor([1 - f.float().mean() for f in flip])
    monkeypatch.setattr(model, "forward", lambda x, m: true_dice[: len(m)] if good else 1 - true_dice[: len(m)])
    guide = make_guide("quality+quality_map+correction+regularizer", model, quality={"threshold": 0.0})
    found = find_strength(guide, images, masks, truth, ids)
    assert set(found) == {"quality", "quality_map", "correction"}
    for one in guide.guides[:3]:
        assert one.strength == found[one.name].strength == (1.0 if good else 0.0)
        assert (found[one.name].gain > 0) == good
    assert guide.guides[3].strength == 1
    assert str(found["quality"]).startswith("strength 1.00 (Dice +" if good else "strength 0.00 (Dice +0.0000")


def test_strength_zero_is_the_unguided_guide():
    model = build()
    images, masks = batch()
    taught = Taught(images, masks[:, None] - 0.5)
    for name in ("quality", "quality_map", "correction"):
        guide = make_guide(name, model)
        guide.strength = 0.0
        found = guide.judge(taught)
        assert torch.equal(found.labels, masks.byte())
        assert (found.weights == 1).all()
        assert found.pixels is None or (found.pixels == 1).all()


def test_spread_and_error_agree_where_they_should(monkeypatch):
    model = build()
    images, masks = (torch.rand(5, 3, 16, 16) * 255).byte(), torch.zeros(5, 16, 16, dtype=torch.uint8)
    deviation = torch.tensor([0.1, 0.3, 0.2, 0.5, 0.4])
    monkeypatch.setattr(model, "spread", lambda x, m, passes: (torch.full((5,), 0.5), deviation))
    found = spread_agreement(model, images, masks, 0.5 + deviation / 2, torch.arange(5))
    assert found == {"spread": pytest.approx(0.3), "spearman_with_error": pytest.approx(1)}
    found = spread_agreement(model, images, masks, 1 - deviation / 2, torch.arange(5))
    assert found["spearman_with_error"] == pytest.approx(-1)
