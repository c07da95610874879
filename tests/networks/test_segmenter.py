"""Every named network, in 2D and 3D: one logit tensor of the right shape, saved and loaded to the same outputs."""

from __future__ import annotations

import copy

import pytest
import torch

from qgssl_fast.errors import InputError
from qgssl_fast.networks import Segmenter, list_networks
from qgssl_fast.networks.registry import NETWORKS

SMALL = {
    "UNet": {"channels": [4, 8, 8], "num_res_units": 1},
    "BasicUNet": {"features": [4, 4, 4, 8, 8, 4]},
    "BasicUNetPlusPlus": {"features": [4, 4, 4, 8, 8, 4]},
    "AttentionUnet": {"channels": [4, 8, 8]},
    "SwinUNETR": {"feature_size": 12, "depths": [1, 1, 1, 1]},
    "UNETR": {"hidden_size": 24, "mlp_dim": 24, "num_heads": 2, "feature_size": 4},
    "SegResNet": {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]},
    "DynUNet": {"filters": [4, 4, 4, 8, 8]},
    "FlexibleUNet": {"decoder_channels": [8, 8, 8, 8, 8]},
}


def tiny(**other):
    return Segmenter(**{"network": "UNet", "image_size": (16, 16), "options": SMALL["UNet"]} | other)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_network(name, dims, tmp_path):
    pytest.importorskip("einops")
    size = (NETWORKS[name].smallest,) * dims
    if name == "SwinUNETR" and dims == 3:
        size = (64, 32, 32)  # eval mode has no normalisation limit, and 64^3 is slow
        model = Segmenter(name, dims, 1, 3, (64, 64, 64), options=SMALL[name])
        model._smallest = 32
    else:
        model = Segmenter(name, dims, 1, 3, size, options=SMALL[name])
        model.train()(torch.rand(1, 1, *size)).mean().backward()
    model.eval()
    images = torch.rand(1, 1, *size)
    with torch.no_grad():
        logits = model(images)
    assert logits.shape == (1, 3, *size)
    again = Segmenter.load(model.save(tmp_path / "f.safetensors", epoch=3))
    again._smallest = model._smallest
    with torch.no_grad():
        assert torch.equal(again(images), logits)
    assert again.extra == {"epoch": 3}


def test_two_classes_are_one_logit():
    assert tiny()(torch.rand(2, 3, 16, 16)).shape == (2, 1, 16, 16)
    assert tiny(num_classes=4)(torch.rand(2, 3, 16, 16)).shape == (2, 4, 16, 16)


def test_several_outputs_give_the_finest():
    for name in ("BasicUNetPlusPlus", "DynUNet"):
        model = Segmenter(name, image_size=(32, 32), options=SMALL[name] | {"deep_supervision": True})
        for training in (True, False):
            assert model.train(training)(torch.rand(2, 3, 32, 32)).shape == (2, 1, 32, 32)


def test_normalisation_is_inside_and_saved(tmp_path):
    model = tiny(mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 4.0)).eval()
    images = torch.rand(1, 3, 16, 16)
    by_hand = (images - torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)) / torch.tensor([1.0, 2, 4]).view(1, 3, 1, 1)
    assert torch.equal(model(images), model.network(by_hand))
    again = Segmenter.load(model.save(tmp_path / "f.safetensors"))
    assert torch.equal(again.normalize.mean, model.normalize.mean)
    assert torch.equal(again.normalize.std, model.normalize.std)


@pytest.mark.parametrize("norm", ["batch", "instance", ["group", {"num_groups": 1}]])
def test_a_copy_with_buffers_is_a_teacher(norm):
    student = tiny(options=SMALL["UNet"] | {"norm": norm})
    student.train()(torch.rand(4, 3, 16, 16))
    teacher = copy.deepcopy(student).eval()
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(teacher(images), student.eval()(images))
    buffers = dict(student.named_buffers())
    assert all(torch.equal(tensor, buffers[name]) for name, tensor in teacher.named_buffers())


def test_loading_leaves_chance_alone(tmp_path):
    path = tiny().save(tmp_path / "f.safetensors")
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    Segmenter.load(path)
    assert torch.equal(torch.rand(1), wanted)


def test_names_have_a_line_each():
    assert set(NETWORKS) < set(list_networks())
    assert all("\n" not in line and line for line in list_networks().values())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"network": "BasicUnet"}, r"network: no such name 'BasicUnet' \(did you mean BasicUNet\?\)"),
        ({"options": {"chanels": [4, 8]}}, r"UNet: option: no such name 'chanels' \(did you mean channels\?\)"),
        ({"options": {"out_channels": 2}}, "UNet: option: no such name 'out_channels'"),
        ({"options": {"norm": torch.nn.BatchNorm2d}}, "UNet: options must be plain values"),
        ({"options": {"channels": [4]}}, "UNet: ValueError"),
        ({"image_size": (18, 16)}, r"UNet: image sides must be a multiple of 4, at least 8, got \[18, 16\]"),
        ({"image_size": (16, 16, 16)}, "image_size must have 2 sides"),
        ({"num_classes": 1}, "num_classes must be 2 or more"),
        ({"mean": (0.5,)}, "mean: wanted 3 finite values"),
        ({"std": (0.5, 0.0, 0.5)}, "std: must be > 0"),
        ({"network": "smp:Unet"}, "wanted smp:<Architecture>:<encoder>"),
        ({"network": "smp:Unet:resnet34", "spatial_dims": 3, "image_size": (64, 64, 64)}, "spatial_dims must be 2"),
    ],
)
def test_wrong_arguments(arguments, text):
    with pytest.raises(InputError, match=text):
        tiny(**arguments)


def test_wrong_images():
    model = tiny()
    with pytest.raises(TypeError, match="UNet: images must be floating"):
        model(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))
    with pytest.raises(InputError, match=r"UNet: images must be \[B, 3, H, W\], got \[1, 1, 16, 16\]"):
        model(torch.zeros(1, 1, 16, 16))
    with pytest.raises(InputError, match="multiple of 4"):
        model(torch.zeros(1, 3, 17, 16))


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("SwinUNETR", "einops", "transformers"), ("smp:Unet:resnet34", "segmentation_models_pytorch", "pretrained")],
)
def test_missing_package_is_named(name, package, extra, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda wanted: None if wanted == package else object())
    with pytest.raises(InputError, match=rf"{name} needs {package}.*qgssl_fast\[{extra}\]"):
        Segmenter(name, image_size=(64, 64))


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - {"UNETR"}))
def test_features_of_every_network(name, monkeypatch):
    """The head's features, and dropped channels: with nothing dropped the second pass is the first."""
    pytest.importorskip("einops")
    size = (NETWORKS[name].smallest,) * 2
    model = Segmenter(name, 2, 1, 3, size, options=SMALL[name]).eval()
    images = torch.rand(2, 1, *size)
    wanted = model(images)
    logits, features = model(images, features=True)
    assert torch.equal(logits, wanted)
    assert features.ndim == 4
    assert features.shape[1] > 3
    torch.manual_seed(0)
    clean, dropped = model(images, drop=0.5)
    assert torch.equal(clean, wanted)
    assert not torch.equal(dropped, wanted)
    monkeypatch.setattr("qgssl_fast.networks.taps.F.dropout2d", lambda x, rate: x)
    assert all(torch.equal(out, wanted) for out in model(images, drop=0.5))


def test_dropped_features_are_those_of_the_clean_pass():
    """Only the decoder sees what is missing: all channels dropped leave the encoder's statistics as they were."""
    options = SMALL["UNet"] | {"norm": "batch"}
    model, twin = (tiny(options=options).train() for _ in range(2))
    twin.load_state_dict(model.state_dict())
    images = torch.rand(2, 3, 16, 16)
    _, dropped = model(images, drop=0.999)
    twin(images)
    dropped.sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), twin.buffers()) if a.is_floating_point())
    assert {m.momentum for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {0.1}
