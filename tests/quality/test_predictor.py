"""The predictor: shapes, the forms of masks, gradients, files, first filters, errors."""

from __future__ import annotations

import sys
import types

import pytest
import torch
from torch import nn

from qgssl_fast.errors import InputError
from qgssl_fast.quality import QualityPredictor, list_backbones
from qgssl_fast.quality.backbones import widen_first_convolution

SMALL = {"features": [8, 8, 16, 16], "hidden": 16}


def small(**other):
    return QualityPredictor(**{"backbone": "small", "options": SMALL} | other).eval()


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("backbone", ["resnet18", "efficientnet-b0", "densenet121", "small"])
def test_backbone(backbone, dims, tmp_path):
    size = (64, 64) if dims == 2 else (32, 32, 32)
    model = QualityPredictor(backbone, dims, 1, 3, options={"hidden": 8}).eval()
    images, masks = torch.rand(1, 1, *size), torch.randint(0, 3, (1, *size), dtype=torch.uint8)
    with torch.no_grad():
        scores = model(images, masks)
        assert scores.shape == (1, 2)
        assert ((scores > 0) & (scores < 1)).all()
        again = QualityPredictor.load(model.save(tmp_path / "g.safetensors"))
        assert torch.equal(again(images, masks), scores)


def test_two_classes_are_one_score_each():
    assert small()(torch.rand(3, 3, 20, 30), torch.zeros(3, 20, 30, dtype=torch.uint8)).shape == (3,)


def test_every_form_of_a_mask_is_the_same():
    model = small()
    images = torch.rand(2, 3, 16, 16)
    masks = torch.randint(0, 2, (2, 16, 16), dtype=torch.uint8)
    wanted = model(images, masks)
    soft = masks.float()
    background = torch.stack([1 - soft, soft], 1)
    for other in (masks.bool(), masks.long(), masks.unsqueeze(1), soft, soft.unsqueeze(1), background):
        assert torch.equal(model(images, other), wanted)


def test_every_form_of_labels_is_the_same():
    model = small(num_classes=4)
    images = torch.rand(2, 3, 16, 16)
    labels = torch.randint(0, 4, (2, 16, 16), dtype=torch.uint8)
    every = nn.functional.one_hot(labels.long(), 4).movedim(-1, 1).float()
    wanted = model(images, labels)
    assert wanted.shape == (2, 3)
    for other in (every, every[:, 1:], labels.unsqueeze(1)):
        assert torch.equal(model(images, other), wanted)


def test_gradient_flows_into_soft_masks():
    model = small()
    soft = torch.rand(2, 16, 16, requires_grad=True)
    model(torch.rand(2, 3, 16, 16), soft).sum().backward()
    assert soft.grad is not None
    assert soft.grad.abs().sum() > 0


def test_head_is_the_published_one():
    head = QualityPredictor("small").head
    assert [type(layer).__name__ for layer in head] == ["Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert (head[0].p, head[1].out_features, head[3].p, head[4].out_features) == (0.15, 256, 0.075, 1)


@pytest.mark.parametrize("backbone", ["small", "resnet18", "efficientnet-b0", "densenet121"])
def test_mask_filter_starts_as_the_mean(backbone):
    model = QualityPredictor(backbone, options={"mask_filter": "mean", "hidden": 8})
    first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    assert first.in_channels == 4
    assert torch.equal(first.weight[:, 3], first.weight[:, :3].mean(1))


def test_widening_keeps_what_was_learnt():
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1))
    images, old = torch.rand(1, 3, 8, 8), encoder[0]
    wanted = encoder(images)
    widen_first_convolution(encoder, 3, 2, mean_filter=True)
    assert torch.equal(encoder[0].weight[:, 4], old.weight.mean(1))
    torch.testing.assert_close(encoder(torch.cat([images, torch.zeros(1, 2, 8, 8)], 1)), wanted)


def test_pretrained_weights_are_fetched_once(monkeypatch, tmp_path):
    asked = []

    def create_model(model_name, pretrained, in_chans, num_classes):
        asked.append((model_name, pretrained))
        return nn.Sequential(nn.Conv2d(in_chans, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    monkeypatch.setitem(sys.modules, "timm", types.SimpleNamespace(create_model=create_model, __spec__=object()))
    model = QualityPredictor("timm:resnet18", options={"hidden": 8}).eval()
    first = model.encoder[0]
    assert torch.equal(first.weight[:, 3], first.weight[:, :3].mean(1))
    images, masks = torch.rand(2, 3, 16, 16), torch.rand(2, 16, 16)
    assert torch.equal(
        QualityPredictor.load(model.save(tmp_path / "g.safetensors"))(images, masks), model(images, masks)
    )
    assert asked == [("resnet18", True), ("resnet18", False)]


def test_images_are_normalised_inside():
    model = small(mean=(0.2, 0.3, 0.4), std=(0.1, 0.2, 0.3))
    other = small(mean=(0, 0, 0), std=(1, 1, 1))
    other.encoder, other.head = model.encoder, model.head
    images, masks = torch.rand(2, 3, 16, 16), torch.rand(2, 16, 16)
    by_hand = (images - torch.tensor([0.2, 0.3, 0.4]).view(1, 3, 1, 1)) / torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)
    torch.testing.assert_close(model(images, masks), other(by_hand, masks))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"backbone": "resnet-18"}, r"backbone: no such name 'resnet-18' \(did you mean resnet18\?\)"),
        ({"options": {"feature": [8]}}, r"small: option: no such name 'feature' \(did you mean features\?\)"),
        ({"options": {"dropout": 1.0}}, "dropout must be 0 <= dropout < 1, got 1.0"),
        ({"options": {"hidden": 0}}, "hidden must be 1 or more, got 0"),
        ({"options": {"mask_filter": "zero"}}, "mask_filter must be mean or random, got 'zero'"),
        ({"num_classes": 1}, "num_classes must be 2 or more"),
        ({"spatial_dims": 4}, "spatial_dims must be 2 or 3, got 4"),
        ({"backbone": "timm:resnet18", "spatial_dims": 3}, "timm:resnet18: spatial_dims must be 2"),
    ],
)
def test_wrong_arguments(arguments, text):
    with pytest.raises(InputError, match=text):
        small(**arguments)


def test_wrong_images_and_masks():
    model, images = small(), torch.rand(2, 3, 16, 16)
    with pytest.raises(TypeError, match="images must be floating"):
        model(images.byte(), torch.zeros(2, 16, 16))
    with pytest.raises(InputError, match=r"images must be \[B, 3, H, W\], got \[2, 1, 16, 16\]"):
        model(images[:, :1], torch.zeros(2, 16, 16))
    with pytest.raises(InputError, match=r"masks must be \[2, \*\[16, 16\]\] like the images, got \[3, 16, 16\]"):
        model(images, torch.zeros(3, 16, 16))
    with pytest.raises(InputError, match=r"labels in one channel or probabilities in 1, got torch\.float32 in 3"):
        model(images, torch.zeros(2, 3, 16, 16))
    with pytest.raises(InputError, match=r"got torch\.uint8 in 2"):
        model(images, torch.zeros(2, 2, 16, 16, dtype=torch.uint8))


def test_missing_timm_is_named(monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"timm:resnet18 needs timm.*qgssl_fast\[pretrained\]"):
        QualityPredictor("timm:resnet18")
    assert "small" in list_backbones()
