"""Metrics against cases worked by hand, and HD95 against MONAI's where SciPy, which that needs, is there."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from qgssl_fast.errors import InputError
from qgssl_fast.reporting.metrics import hd95, plus_minus, segmentation_metrics, summarise


def box(shape: tuple[int, ...], *spans: tuple[int, int]) -> torch.Tensor:
    mask = torch.zeros(shape, dtype=torch.uint8)
    mask[tuple(slice(*span) for span in spans)] = 1
    return mask


def test_shifted_square() -> None:
    true = box((10, 10), (2, 6), (2, 6))[None]
    pred = box((10, 10), (2, 6), (4, 8))[None]
    found = segmentation_metrics(pred, true)
    assert found["dice"].tolist() == [0.5]  # 2 * 8 / 32
    assert found["iou"].tolist() == [8 / 24]
    # Twelve surface pixels each; from one square to the other: four at 0, four at 1 and four at 2 pixels.
    assert found["hd95"].tolist() == [2.0]
    assert found["dice"].dtype == np.float64


def test_empty_masks() -> None:
    empty, some = torch.zeros(6, 8, dtype=torch.uint8), box((6, 8), (1, 3), (1, 3))
    found = segmentation_metrics(torch.stack([empty, some, empty]), torch.stack([empty, empty, some]))
    assert found["dice"].tolist() == [1, 0, 0]
    assert found["iou"].tolist() == [1, 0, 0]
    assert found["hd95"].tolist() == [0, 10, 10]  # the diagonal of 6 x 8


def test_summary() -> None:
    found = summarise({"dice": np.array([0.5, 0.7]), "iou": np.array([0.4, 0.4]), "hd95": np.array([1.0, 3.0])})
    assert found["n"] == 2
    assert found["dice"] == pytest.approx(0.6, abs=1e-15)
    assert found["dice_sd"] == pytest.approx(0.1 * math.sqrt(2), abs=1e-15)
    assert found["iou_sd"] == 0
    assert found["hd95"] == 2
    assert plus_minus(0.6, 0.1414) == "0.600 ± 0.141"


def test_one_sample_has_no_spread() -> None:
    assert segmentation_metrics(box((4, 4), (0, 2), (0, 2))[None], box((4, 4), (0, 2), (0, 2))[None])["summary"] == {
        "n": 1, "dice": 1.0, "dice_sd": 0.0, "iou": 1.0, "iou_sd": 0.0, "hd95": 0.0, "hd95_sd": 0.0,
    }  # fmt: skip


def test_no_samples() -> None:
    found = segmentation_metrics(torch.zeros(0, 4, 4, dtype=torch.uint8), torch.zeros(0, 4, 4, dtype=torch.uint8))
    assert found["dice"].shape == found["hd95"].shape == (0,)
    assert found["summary"] == {"n": 0}


def test_values_of_a_binary_mask_are_zero_or_not() -> None:
    mask = box((5, 5), (1, 3), (1, 3))[None]
    assert segmentation_metrics(mask * 255, mask.bool())["dice"].tolist() == [1]


def test_multi_class() -> None:
    true = torch.zeros(2, 4, 6, dtype=torch.uint8)
    true[:, :, :2], true[:, :, 4:] = 1, 2
    pred = true.clone()
    pred[1][pred[1] == 2] = 0
    found = segmentation_metrics(pred, true, num_classes=3)
    assert found["dice"].tolist() == [[1, 1], [1, 0]]
    assert found["hd95"][0].tolist() == [0, 0]
    assert found["hd95"][1].tolist() == [0, math.hypot(4, 6)]
    assert found["summary"]["dice"] == 0.75
    assert found["summary"]["dice_per_class"] == [1.0, 0.5]


def test_volume_with_spacing() -> None:
    true, pred = (torch.zeros(1, 5, 6, 7, dtype=torch.uint8) for _ in range(2))
    true[0, 1, 2, 3] = pred[0, 3, 2, 3] = 1
    assert segmentation_metrics(pred, true, spacing=(2.5, 1, 1))["hd95"].tolist() == [5.0]
    assert segmentation_metrics(pred, true)["hd95"].tolist() == [2.0]


def test_batch_is_its_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    pred, true = (torch.randint(0, 2, (5, 9, 13), generator=generator, dtype=torch.uint8) for _ in range(2))
    whole = segmentation_metrics(pred, true)
    for k in range(5):
        alone = segmentation_metrics(pred[k : k + 1], true[k : k + 1])
        assert all(whole[name][k] == alone[name][0] for name in ("dice", "iou", "hd95"))


@pytest.mark.parametrize("shape", [(23, 31), (9, 14, 11)])
def test_hd95_is_monais(shape: tuple[int, ...]) -> None:
    pytest.importorskip("scipy")
    from monai.metrics import compute_hausdorff_distance

    generator = torch.Generator().manual_seed(len(shape))
    noise = torch.rand(6, 2, *shape, generator=generator)
    pool = torch.nn.functional.avg_pool2d if len(shape) == 2 else torch.nn.functional.avg_pool3d
    a, b = (pool(noise, 5, 1, 2) > 0.5).unbind(1)  # blobs, many of them at the border
    spacing = [0.7, 1.3, 2.1][: len(shape)]
    theirs = compute_hausdorff_distance(a[:, None], b[:, None], include_background=True, percentile=95, spacing=spacing)
    np.testing.assert_allclose(hd95(a, b, spacing), theirs[:, 0].numpy(), rtol=1e-6)


def test_wrong_input() -> None:
    mask = torch.zeros(2, 4, 4, dtype=torch.uint8)
    with pytest.raises(InputError, match=r"one shape, got \[2, 4, 4\] and \[1, 4, 4\]"):
        segmentation_metrics(mask, mask[:1])
    with pytest.raises(TypeError, match="pred must hold labels"):
        segmentation_metrics(mask.float(), mask)
    with pytest.raises(InputError, match=r"true must have labels 0\.\.2, got 0\.\.3"):
        segmentation_metrics(mask, mask + torch.tensor([[[0]], [[3]]], dtype=torch.uint8), num_classes=3)
    with pytest.raises(InputError, match=r"\[N, H, W\] or \[N, D, H, W\], got \[4, 4\]"):
        segmentation_metrics(mask[0], mask[0])
    with pytest.raises(InputError, match="2 positive numbers"):
        segmentation_metrics(mask, mask, spacing=(1, 0))
