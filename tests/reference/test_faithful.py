"""The paper recipe does to real masks what the published rows did to them.

The truth is ph2_train_256.json: exact counts for rows without chance, 101 quantiles of Dice and of the area ratio for
the others and for the mix, of the 140 training masks of PH2 at 256x256.
"""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import qgssl_fast as qf
from qgssl_fast.corruption import MaskBank

RECIPE = qf.load_recipe("paper")
EXACT = ("bounding_box", "largest_only", "invert", "empty", "full", "opening_5", "closing_5")
EXACT += tuple(f"{name}_{side}" for name in ("erosion", "dilation") for side in (5, 7, 9, 11))
CLOSE = ("convex_hull", "ellipse", "polygon_3", "polygon_5", "polygon_8", "circular_blob")
CLOSE += ("gaussian_blob", "gaussian_blob_large", "smooth_11", "smooth_15")
RANDOM = ("holes_small", "holes_large", "islands_small", "holes_and_islands", "holes_many", "rect_dropout", "random_50")
RANDOM += ("shift_small", "shift_medium", "shift_large", "shift_very_large", "jagged_3", "jagged_5", "drop_component")
RANDOM += ("elastic_light", "elastic_heavy", "grid_light", "grid_heavy", "grid_very_heavy", "random_affine")
RANDOM += ("scale_down", "scale_up", "rotate_small", "rotate_large", "scale_very_small", "scale_very_large")
DRAWS = 20  # of each mask, as the published figures have
CHUNK = 20  # masks at once: more do not fit the cache


@pytest.fixture(scope="module")
def published(data_root):
    path = data_root.parent / "reference" / "ph2_train_256.json"
    if not path.is_file():
        pytest.skip(f"no {path.name} beside the data")
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def masks(data_root, published):
    files = [data_root / "ph2" / name for name in published["masks"]]
    found = torch.stack([torch.from_numpy(np.asarray(Image.open(file).convert("L")) > 127) for file in files])
    assert found.flatten(1).sum(1).tolist() == published["area"]
    return found.to(torch.uint8)


def counts(masks, recipe, draws=1, bank=None):
    """tp, area, true area of each corrupted mask, by the backend that serves: all give the same bytes."""
    found = []
    for draw in range(draws):
        for first in range(0, len(masks), CHUNK):
            index = torch.arange(first, first + CHUNK)
            ids = index + draw * len(masks)
            found.append(qf.corrupt(masks[index], recipe, sample_ids=ids, bank=bank, image_ids=index).overlap[:, 0])
    return torch.cat(found).numpy().T.astype(float)


def dice(tp, area, true):
    return np.where(area + true > 0, 2 * tp / np.maximum(area + true, 1), 1.0)


def distance(sample, quantiles):
    """Kolmogorov distance of a sample from a distribution that is given by quantiles."""
    sample, quantiles = np.sort(sample), np.array(quantiles)
    level = np.linspace(0, 1, len(quantiles))
    at = np.concatenate([sample, quantiles])
    between = np.interp(at, quantiles, level)
    last = len(level) - 1
    low = np.where(np.isin(at, quantiles), level[np.minimum(np.searchsorted(quantiles, at, "left"), last)], between)
    high = np.where(np.isin(at, quantiles), level[np.searchsorted(quantiles, at, "right") - 1], between)
    ours = np.searchsorted(sample, at, "right") / len(sample)
    return max((ours - high).max(), (low - ours).max(), 0.0)


@pytest.mark.parametrize("row", EXACT)
def test_exact_rows(row, masks, published):
    tp, area, _ = counts(masks, RECIPE.only(row))
    truth = published["exact"][row]
    assert tp.tolist() == truth["tp"]
    assert area.tolist() == truth["area"]


@pytest.mark.parametrize("row", CLOSE)
def test_close_rows(row, masks, published):
    tp, area, true = counts(masks, RECIPE.only(row))
    truth = published["exact"][row]
    off = np.abs(dice(tp, area, true) - dice(np.array(truth["tp"]), np.array(truth["area"]), true))
    assert off.mean() <= 0.01
    assert off.max() <= 0.03


@pytest.mark.parametrize("row", RANDOM)
def test_random_rows(row, masks, published):
    tp, area, true = counts(masks, RECIPE.only(row), DRAWS)
    truth = published["random"][row]
    assert distance(dice(tp, area, true), truth["dice"]) <= 0.05
    assert distance(area / true, truth["area_ratio"]) <= 0.08


@pytest.mark.parametrize(
    ("name", "changes"),
    [("published_run", {}), ("code_defaults", {"identity": 0.12, "cross_image": 0.18})],
)
def test_mix(name, changes, masks, published):
    recipe = RECIPE.replace(categories={**RECIPE.categories, **changes}, p_weak=0.0)  # the mixes had no weak models
    tp, area, true = counts(masks, recipe, 10, MaskBank(masks))
    assert distance(dice(tp, area, true), published["mix"][name]["dice"]) <= 0.03


def test_the_distance_sees_a_difference():
    quantiles = np.linspace(0, 1, 101)
    assert distance(np.linspace(0, 1, 2000), quantiles) < 0.01
    assert distance(np.linspace(0, 0.9, 2000), quantiles) == pytest.approx(0.1, abs=0.01)
    assert distance(np.linspace(0.2, 1, 2000), quantiles) == pytest.approx(0.2, abs=0.01)
    tied = np.concatenate([np.linspace(0, 1, 51), np.ones(50)])
    assert distance(np.ones(10), tied) == pytest.approx(0.5, abs=0.015)
