"""Pictures have the stated size, show what they are given, and are written whole or not at all."""

import numpy as np
import pytest
import torch
from PIL import Image

from qgssl_fast.errors import InputError
from qgssl_fast.reporting import figures
from qgssl_fast.reporting.style import rgb_images, short


def pixels(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def has_colour(picture, colour):
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return bool((np.abs(picture.astype(int) - wanted).max(-1) < 4).any())


def test_training_curves(tmp_path, log_rows):
    path = figures.training_curves(log_rows, tmp_path / "new" / "curves.png")
    assert path == tmp_path / "new" / "curves.png"
    picture = pixels(path)
    assert picture.shape == (495, 1650, 3)  # three panels: two losses and a validation Dice; lambda has no number
    assert has_colour(picture, "#0072B2")
    assert has_colour(picture, "#D55E00")
    assert [file.name for file in path.parent.iterdir()] == ["curves.png"]


def test_training_curves_without_numbers(tmp_path):
    rows = [
        {"stage": "weak", "step": 1, "loss": float("nan"), "done": True},
        {"step": 2, "loss": 1.0},
        {"stage": "weak"},
    ]
    with pytest.raises(InputError, match="no rows with a stage"):
        figures.training_curves(rows, tmp_path / "curves.png")
    assert not list(tmp_path.iterdir())


def test_training_curves_by_epoch(tmp_path):
    rows = [{"stage": "weak", "epoch": 1, "loss": 1.0}, {"stage": "weak", "epoch": 2, "loss": 0.5}]
    assert pixels(figures.training_curves(rows, tmp_path / "curves.png")).shape == (495, 1650, 3)


@pytest.mark.parametrize("groups", [None, ["corrupted"] * 30 + ["weak model"] * 20])
def test_quality_scatter(tmp_path, groups):
    true = torch.linspace(0, 1, 50)
    path = figures.quality_scatter(true, true**2, tmp_path / "quality.png", groups=groups)
    panels = 2 if groups is None else 3
    assert pixels(path).shape == (585, 510 * panels, 3)


def test_quality_scatter_of_one_value(tmp_path):
    figures.quality_scatter([1.0, 1.0], [0.7, 0.7], tmp_path / "quality.png")
    with pytest.raises(InputError, match="finite"):
        figures.quality_scatter([1.0, float("nan")], [0.7, 0.7], tmp_path / "quality.png")
    with pytest.raises(InputError, match=r"\[2\], \[1\]"):
        figures.quality_scatter([1.0, 1.0], [0.7], tmp_path / "quality.png")
    with pytest.raises(InputError, match="2 values need 2 groups, got 1"):
        figures.quality_scatter([1.0, 1.0], [0.7, 0.7], tmp_path / "quality.png", groups=["a"])


def test_corruption_gallery(tmp_path, cases):
    images, true, changed, dice = cases
    labels = ["shift\x00 <b>", "a $very$ long row name that goes on", *"abcdefgh"]
    path = figures.corruption_gallery(images, true, changed, labels, dice, tmp_path / "gallery.png", columns=4)
    picture = pixels(path)
    assert picture.shape == (682, 900, 3)  # 4 columns and 3 rows of images 20 x 30
    assert has_colour(picture, "#F0E442")
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1000


def test_gallery_of_one_grey_float_image(tmp_path, cases):
    _, true, changed, dice = cases
    image = torch.rand(1, 1, 20, 30)
    path = figures.corruption_gallery(image, true[:1], changed, ["x"] * 10, dice, tmp_path / "gallery.png")
    assert pixels(path).shape == (492, 1800, 3)


def test_overlays(tmp_path, cases):
    images, true, pred, dice = cases
    names = [f"{k}.png" for k in range(10)]
    path = figures.overlays(images, true, pred, names, dice, tmp_path / "overlays.png")
    picture = pixels(path)
    assert picture.shape[1] == 1575
    assert has_colour(picture, "#56B4E9")
    assert has_colour(picture, "#F0E442")


@pytest.mark.parametrize("n", [1, 2, 3])
def test_overlays_of_few_and_of_empty_masks(tmp_path, cases, n):
    images, true, pred, dice = cases
    pred = np.zeros_like(pred)
    path = figures.overlays(images[:n], true[:n], pred[:n], ["é ü.png"] * n, dice[:n], tmp_path / "overlays.png")
    assert pixels(path).shape[1] == (787 if n == 1 else 1575)


def test_volumes_show_their_fullest_slice(tmp_path):
    true = np.zeros((2, 5, 16, 16), np.uint8)
    true[:, 3, 4:12, 4:12], true[:, 1, 0, 0] = 1, 1
    true[:, 3, 8:12, 8:12] = 2
    volume = np.zeros((2, 1, 5, 16, 16), np.uint8)
    volume[:, :, 3] = 200
    figures.overlays(volume, true, true, ["a", "b"], [1, 1], tmp_path / "overlays.png")
    gallery = figures.corruption_gallery(volume, true, true, ["a", "b"], [1, 1], tmp_path / "gallery.png")
    assert has_colour(pixels(gallery), "#C8C8C8")


def test_dice_comparison(tmp_path):
    path = figures.dice_comparison({"SUP": [0.5, 0.75], "PL-QW": torch.rand(40), "one": [1.0]}, tmp_path / "dice.png")
    assert pixels(path).shape == (457, 1350, 3)
    with pytest.raises(InputError, match="no finite values for 'SUP'"):
        figures.dice_comparison({"SUP": []}, tmp_path / "dice.png")
    with pytest.raises(InputError, match="no methods"):
        figures.dice_comparison({}, tmp_path / "dice.png")


def test_wrong_input(tmp_path, cases):
    images, true, pred, dice = cases
    path = tmp_path / "x.png"
    with pytest.raises(InputError, match=r"agree, got \[9, 20, 30\] and \[10, 20, 30\]"):
        figures.overlays(images[:9], true, pred, ["x"] * 10, dice, path)
    with pytest.raises(InputError, match="10 masks need 10 names"):
        figures.overlays(images, true, pred, ["x"], dice, path)
    with pytest.raises(InputError, match="at least one case"):
        figures.overlays(images[:0], true[:0], pred[:0], [], [], path)
    with pytest.raises(InputError, match=r"\[N, C, H, W\]"):
        figures.corruption_gallery(images[0], true, pred, ["x"] * 10, dice, path)
    with pytest.raises(TypeError, match=r"uint8 or floats in \[0, 1\], got int64"):
        figures.overlays(images.astype(np.int64), true, pred, ["x"] * 10, dice, path)
    assert not path.exists()


def test_images_as_rgb():
    grey = np.arange(4, dtype=np.uint8).reshape(1, 1, 2, 2)
    assert rgb_images("x", grey)[0, 1, 1].tolist() == [3, 3, 3]
    assert rgb_images("x", torch.tensor([[[[0.0, 1.0, 2.0, float("nan")]]]]))[0, 0, :, 0].tolist() == [0, 255, 255, 0]
    assert rgb_images("x", np.zeros((1, 5, 2, 2), np.uint8)).shape == (1, 2, 2, 3)


def test_short():
    assert short("abc", 3) == "abc"
    assert short("abcdefgh", 5) == "ab…gh"
    assert short("a\nb") == "a?b"
